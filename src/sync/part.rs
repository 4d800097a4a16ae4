//! What a sync may leave unread, because the lake holds it and the source says that it stays as it is.
//!
//! Two ways, each said by the table's file: a list that comes newest first is read
//! down to rows that are known (`[newest_first]`), and a parent that did not change
//! since its children were read is not asked about (`[unchanged]`). What is known is
//! taken from the rows in the lake and from nothing else, so that a lost state or a
//! crash can make a sync ask too much, and never too little. Deletes and late changes
//! are found by the full passes in between (docs/decisions/0010).

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use chrono::{DateTime, Utc};

use super::units::Unit;
use crate::decode::Decoder;
use crate::error::Result;
use crate::fetch::Enough;
use crate::lake::{KeyMap, KeySet, Lake, TableState, hashes};
use crate::plan::{Wish, is_full_pass};
use crate::schema::{From, NewestFirst, Table};

/// How late a row may turn up in its list, and how far two clocks may be apart, in microseconds.
const LATE: i64 = 3_600_000_000;

/// What is known of a table that is read in part in this run.
pub(crate) struct Part {
    newest: Option<Newest>,
    /// For each parent, when its children were last read: the newest `_synced_at` among them.
    read: KeyMap<i64>,
}

/// What is known of a table's lists.
struct Newest {
    /// The key and the moment alone: all that is looked at in a page.
    table: Arc<Table>,
    by: usize,
    /// Of each row that is in the lake, its key and its moment.
    known: KeySet,
    lists: KeyMap<Edges>,
    /// What is older was listed when the table was last read.
    settled: i64,
}

/// Moments of one list's rows in the lake.
#[derive(Clone, Copy)]
struct Edges {
    newest: i64,
    oldest_unfinished: i64,
}

impl Part {
    /// None when the table is to be read whole.
    pub(crate) async fn of(
        lake: &Lake,
        table: &Table,
        state: Option<&TableState>,
        now: DateTime<Utc>,
        wish: Wish,
    ) -> Result<Option<Arc<Part>>> {
        let Some(state) = state.filter(|_| table.is_read_in_part()) else { return Ok(None) };
        // A cursor that is later than now was written by a run with a wrong clock: nothing is known by it.
        if state.cursor.is_none_or(|cursor| cursor > now)
            || is_full_pass(state.last_full_refresh_at, table.full_every, now, wish)
        {
            return Ok(None);
        }
        let newest = match (&table.newest_first, state.cursor) {
            (Some(newest), Some(cursor)) => Some(known(lake, table, newest, cursor.timestamp_micros() - LATE).await?),
            _ => None,
        };
        let read = match &table.unchanged_since {
            Some(_) => read(lake, table).await?,
            None => KeyMap::default(),
        };
        Ok(Some(Arc::new(Part { newest, read })))
    }

    /// Whether the children of a parent that changed at `moment` were read since.
    pub(super) fn is_unchanged(&self, parent: u128, moment: Option<i64>) -> bool {
        let read = self.read.get(&parent);
        read.zip(moment).is_some_and(|(read, moment)| moment.saturating_add(LATE) < *read)
    }

    /// What says, page by page, whether the rest of a list is known; none for lists that are read to their end.
    pub(super) fn enough(self: &Arc<Part>, table: &Table, unit: &Arc<Unit>, now: i64) -> Option<Enough> {
        let newest = self.newest.as_ref()?;
        let edges = *newest.lists.get(&unit.hash(table))?;
        let decoder = Decoder::new(Arc::clone(&newest.table), now);
        let (part, unit) = (Arc::clone(self), Arc::clone(unit));
        let mut scan = Scan { decoder, edges, last: None };
        Some(Box::new(move |page| {
            // What cannot be read is told by those who take the rows; here it is not enough.
            part.newest.as_ref().is_some_and(|newest| scan.page(newest, &unit, page).unwrap_or(false))
        }))
    }
}

/// One list on its way down.
struct Scan {
    decoder: Decoder,
    edges: Edges,
    /// The moment of the last row so far: `Err` once the list turned out not to be in order.
    last: Option<std::result::Result<i64, Unsorted>>,
}

#[derive(Clone, Copy)]
struct Unsorted;

impl Scan {
    /// Whether everything below this page is known.
    fn page(&mut self, newest: &Newest, unit: &Unit, text: &str) -> Result<bool> {
        self.decoder.page(text, &|name| unit.value(name).map(str::to_string))?;
        let batch = self.decoder.take()?;
        let Some(last) = self.in_order(moments(&batch, newest.by)) else { return Ok(false) };
        let keys = hashes(&batch, &(0..batch.num_columns()).collect::<Vec<_>>())?;
        let rows = moments(&batch, newest.by).zip(keys);
        let reached = last < newest.settled && last < self.edges.oldest_unfinished;
        for (_, key) in rows.filter(|(moment, _)| reached && moment.is_some_and(|m| m < newest.settled)) {
            if !newest.known.contains(key)? {
                return Ok(false);
            }
        }
        Ok(reached)
    }

    /// The moment of the page's last row; none when the list is not what it is said to be:
    /// its first row is the newest one, and no row is newer than the one before it.
    fn in_order(&mut self, moments: impl Iterator<Item = Option<i64>>) -> Option<i64> {
        for moment in moments {
            let fits = match (self.last, moment) {
                (None, Some(moment)) => moment >= self.edges.newest,
                (Some(Ok(last)), Some(moment)) => moment <= last,
                _ => false,
            };
            self.last = Some(moment.filter(|_| fits).ok_or(Unsorted));
        }
        self.last?.ok()
    }
}

fn moments(batch: &RecordBatch, column: usize) -> impl Iterator<Item = Option<i64>> + '_ {
    batch.column(column).as_primitive::<TimestampMicrosecondType>().iter()
}

/// Reads what the lake holds of the lists.
async fn known(lake: &Lake, table: &Table, newest: &NewestFirst, settled: i64) -> Result<Newest> {
    let mut identity: Vec<usize> = table.key.iter().copied().chain([newest.by]).collect();
    identity.sort_unstable();
    identity.dedup();
    let mut known = Newest {
        by: identity.iter().position(|c| *c == newest.by).unwrap_or_default(),
        table: Arc::new(table.narrowed(&identity)),
        known: KeySet::default(),
        lists: KeyMap::default(),
        settled,
    };
    let parents = table.parent_columns();
    let finals = newest.final_if.iter().map(|(column, _)| *column);
    let columns = Columns::of(table, identity.iter().copied().chain(parents.iter().copied()).chain(finals));
    lake.scan(table, &columns.names, (None, None), |batch| {
        let keys = hashes(batch, &columns.places(&identity))?;
        let lists = hashes(batch, &columns.places(&parents))?;
        let rows = moments(batch, columns.place(newest.by)).zip(keys.into_iter().zip(lists)).enumerate();
        for (row, (moment, (key, list))) in rows.filter(|(row, _)| columns.is_alive(batch, *row)) {
            known.known.insert(key)?;
            let edges = known.lists.entry(list).or_insert(Edges { newest: i64::MIN, oldest_unfinished: i64::MAX });
            // A row without a moment can be anywhere: then nothing is surely below all that is unfinished.
            let moment = moment.unwrap_or(i64::MIN);
            edges.newest = edges.newest.max(moment);
            if moment == i64::MIN || !columns.is_final(batch, newest, row) {
                edges.oldest_unfinished = edges.oldest_unfinished.min(moment);
            }
        }
        Ok(())
    })
    .await?;
    Ok(known)
}

/// Reads when the children of each parent were last read.
async fn read(lake: &Lake, table: &Table) -> Result<KeyMap<i64>> {
    let (parents, synced) = (table.parent_columns(), table.position(&From::SyncedAt));
    let columns = Columns::of(table, parents.iter().copied().chain(synced));
    let mut read = KeyMap::default();
    lake.scan(table, &columns.names, (None, None), |batch| {
        let hashes = hashes(batch, &columns.places(&parents))?;
        let moments = moments(batch, synced.map_or(0, |synced| columns.place(synced)));
        for (row, (parent, moment)) in hashes.into_iter().zip(moments).enumerate() {
            if columns.is_alive(batch, row) {
                let newest = read.entry(parent).or_insert(i64::MIN);
                *newest = moment.map_or(*newest, |moment| moment.max(*newest));
            }
        }
        Ok(())
    })
    .await?;
    Ok(read)
}

/// The columns that are read, and where each one stands in a batch of them.
struct Columns<'a> {
    table: &'a Table,
    indices: Vec<usize>,
    names: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    /// These columns, and those that say whether a row is still one.
    fn of(table: &'a Table, wanted: impl Iterator<Item = usize>) -> Columns<'a> {
        let marks = [From::Deleted, From::Current].iter().filter_map(|mark| table.position(mark)).collect::<Vec<_>>();
        let mut indices: Vec<usize> = wanted.chain(marks).collect();
        indices.sort_unstable();
        indices.dedup();
        let names = indices.iter().map(|index| table.columns[*index].name.as_str()).collect();
        Columns { table, indices, names }
    }

    fn place(&self, column: usize) -> usize {
        self.indices.iter().position(|index| *index == column).unwrap_or_default()
    }

    fn places(&self, columns: &[usize]) -> Vec<usize> {
        columns.iter().map(|column| self.place(*column)).collect()
    }

    fn is_alive(&self, batch: &RecordBatch, row: usize) -> bool {
        let says = |mark: &From, value: bool| {
            let column = self.table.position(mark).map(|index| batch.column(self.place(index)).as_boolean());
            column.is_some_and(|c| c.is_valid(row) && c.value(row) == value)
        };
        !says(&From::Deleted, true) && !says(&From::Current, false)
    }

    fn is_final(&self, batch: &RecordBatch, newest: &NewestFirst, row: usize) -> bool {
        newest.final_if.iter().all(|(column, values)| {
            let column = batch.column(self.place(*column)).as_string::<i32>();
            column.is_valid(row) && values.iter().any(|value| value == column.value(row))
        })
    }
}
