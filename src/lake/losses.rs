//! What a snapshot would soft-delete, counted before anything of it is written.
//!
//! A list that broke off looks like one whose rows are gone. Who decides needs the
//! numbers of each list before the first row is rewritten, so the old keys are read
//! once more, without the other columns. Deciding after the rewrite was the
//! alternative: then a single list of a table could not be kept as it was.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{Field, Schema};
use futures::TryStreamExt;

use super::fate::{ParentFate, Parents};
use super::keys::{KeyMap, hash_texts, hashes};
use super::open_old;
use super::slice::Slice;
use crate::error::Result;
use crate::schema::{From, Policy, Table};

/// What a snapshot says of the rows of one list that are in the lake and not deleted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Loss {
    pub(crate) rows: u64,
    /// Rows that the source did not list.
    pub(crate) missing: u64,
    /// The sum of the hashes of their keys: equal for the same keys in any order.
    pub(crate) digest: u128,
    /// The bindings of the list, as messages name it: `project_id=proj_1`. Empty if nothing is missing.
    pub(crate) shown: String,
    pub(crate) parent: ParentState,
}

/// Whether the parent of a list was read in this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ParentState {
    #[default]
    Read,
    /// Its rows stay, whatever is missing.
    Kept,
    /// It is in the lake no longer: its rows go with it.
    Gone,
}

impl Loss {
    pub(crate) fn add(&mut self, other: &Loss) {
        self.rows += other.rows;
        self.missing += other.missing;
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

/// The losses of a table, by the hash of the values bound into a list.
pub(crate) type Losses = KeyMap<Loss>;

/// The hash that stands for the list of a table with only one.
pub(crate) fn only_list() -> u128 {
    hash_texts([])
}

impl Slice {
    /// Counts what each list of a snapshot would soft-delete. All new rows must have been added.
    /// Returns nothing for other policies, and for fewer than `least` old rows.
    pub(crate) async fn losses(&mut self, parents: Option<&Parents>, least: u64) -> Result<Losses> {
        let mut losses = Losses::default();
        let none = self.table.policy != Policy::Snapshot;
        let Some(old) = (if none { None } else { open_old(&self.lake, &self.table, self.day).await? }) else {
            return Ok(losses);
        };
        if old.rows() < least {
            return Ok(losses);
        }
        let scan = Scan::new(&self.table, parents);
        self.mark().await?;
        let mut rows = old.columns(Arc::clone(&scan.schema))?;
        while let Some(batch) = rows.try_next().await? {
            let keys = hashes(&batch, &scan.key)?;
            let lists = hashes(&batch, &scan.list)?;
            for row in 0..batch.num_rows() {
                let arrived = self.has_arrived(row, keys[row])?;
                if scan.is_alive(&batch, row) {
                    let loss = losses.entry(lists[row]).or_default();
                    loss.rows += 1;
                    if !arrived {
                        scan.lose(&batch, row, keys[row], loss);
                    }
                }
            }
            self.pass(batch.num_rows())?;
        }
        self.rewind();
        for (list, loss) in &mut losses {
            loss.parent = match parents.map(|parents| parents.of(*list, None)) {
                None | Some(Some(ParentFate::Read)) => ParentState::Read,
                Some(Some(ParentFate::Keep)) => ParentState::Kept,
                Some(None) => ParentState::Gone,
            };
        }
        Ok(losses)
    }
}

/// The columns that say whose a row is and whether it is alive, and where each one is in a batch of them.
struct Scan {
    schema: Arc<Schema>,
    key: Vec<usize>,
    list: Vec<usize>,
    deleted: Option<usize>,
    ended: Option<usize>,
}

impl Scan {
    fn new(table: &Table, parents: Option<&Parents>) -> Scan {
        let list = parents.map_or(&[][..], |parents| &parents.columns);
        let (deleted, ended) = (table.position(&From::Deleted), table.position(&From::VersionEnd));
        let mut columns: Vec<usize> = table.key.iter().chain(list).copied().chain(deleted).chain(ended).collect();
        columns.sort_unstable();
        columns.dedup();
        let place = |column: &usize| columns.iter().position(|c| c == column).unwrap_or_default();
        let field = |column: &usize| {
            let column = &table.columns[*column];
            Field::new(&column.name, column.kind.arrow(), true)
        };
        Scan {
            key: table.key.iter().map(place).collect(),
            list: list.iter().map(place).collect(),
            deleted: deleted.as_ref().map(place),
            ended: ended.as_ref().map(place),
            schema: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
        }
    }

    /// Whether this is a current row that is not deleted.
    fn is_alive(&self, batch: &RecordBatch, row: usize) -> bool {
        let deleted = self.deleted.map(|index| batch.column(index).as_boolean());
        let is_deleted = deleted.is_some_and(|flags| flags.is_valid(row) && flags.value(row));
        !is_deleted && self.ended.is_none_or(|index| batch.column(index).is_null(row))
    }

    fn lose(&self, batch: &RecordBatch, row: usize, key: u128, loss: &mut Loss) {
        if loss.missing == 0 {
            let bound = self.list.iter().filter_map(|index| {
                let values = batch.column(*index).as_string_opt::<i32>().filter(|values| values.is_valid(row))?;
                Some(format!("{}={}", self.schema.field(*index).name(), crate::console::plain(values.value(row))))
            });
            loss.shown = bound.collect::<Vec<_>>().join(" ");
        }
        loss.missing += 1;
        loss.digest = loss.digest.wrapping_add(key);
    }
}
