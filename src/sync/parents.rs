//! The rows of a parent table, as far as its children need them, from the objects in the lake.
//!
//! Read as a stream, a few columns wide: how many parents there are does not matter
//! (docs/decisions/0004). Rows that are deleted or no longer current are no parents.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{Field, Schema};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::part::Part;
use super::units::hash;
use crate::error::{Error, Result};
use crate::lake::{Lake, open_old};
use crate::schema::{Catalog, From, Table};

/// Where a child table finds its parents.
pub(super) struct ParentRows {
    table: Arc<Table>,
    pub(super) of: Arc<Table>,
    /// Each value that the child wants bound, and the parent's column that holds it.
    names: Vec<(String, usize)>,
    /// The column that says when a parent last changed.
    changed: Option<usize>,
}

/// One parent: what it binds, and whether its children are not wanted at all (`[children] skip`).
pub(super) struct ParentRow {
    pub(super) row: usize,
    pub(super) bound: Vec<(String, String)>,
    pub(super) skipped: bool,
    /// When it last changed, where the child's file says how one sees that; in microseconds.
    pub(super) changed: Option<i64>,
}

impl ParentRows {
    /// None for a table that has no parent.
    pub(super) fn of(catalog: &Catalog, table: &Arc<Table>) -> Result<Option<ParentRows>> {
        let Some(parent) = &table.parent else { return Ok(None) };
        let of =
            catalog.get(&parent.table).ok_or_else(|| Error::usage(format!("there is no table `{}`", parent.table)))?;
        let names = names(table, of);
        let changed = table.unchanged_since.as_ref().and_then(|name| of.column(name));
        Ok(Some(ParentRows { table: Arc::clone(table), of: Arc::clone(of), names, changed }))
    }

    /// The parent's objects, oldest day first, in the columns that [`ParentRows::rows`] needs.
    pub(super) async fn batches<'a>(&self, lake: &'a Lake) -> Result<BoxStream<'a, Result<RecordBatch>>> {
        let days: Vec<_> = match self.of.slices {
            None => vec![None],
            Some(_) => lake.days(&self.of).await?.into_iter().map(Some).collect(),
        };
        let wanted = self.wanted();
        let of = Arc::clone(&self.of);
        let batches = stream::iter(days).then(move |day| {
            let (wanted, of) = (Arc::clone(&wanted), Arc::clone(&of));
            async move {
                match open_old(lake, &of, day).await? {
                    Some(old) => old.columns(wanted),
                    None => Ok(stream::empty().boxed()),
                }
            }
        });
        Ok(batches.try_flatten().boxed())
    }

    fn wanted(&self) -> Arc<Schema> {
        let marks = |c: &crate::schema::Column| matches!(c.from, From::SyncedAt | From::Deleted | From::Current);
        let marks = self.of.columns.iter().enumerate().filter(|(_, c)| marks(c)).map(|(index, _)| index);
        let skips = self.of.skip_children.iter().map(|(index, _)| *index);
        let mut columns: BTreeMap<usize, Field> = BTreeMap::new();
        for index in self.names.iter().map(|(_, i)| *i).chain(marks).chain(skips).chain(self.changed) {
            let column = &self.of.columns[index];
            columns.insert(index, Field::new(&column.name, column.kind.arrow(), true));
        }
        Arc::new(Schema::new(columns.into_values().collect::<Vec<_>>()))
    }

    /// The parents of a batch that are there and have what the child's path needs.
    pub(super) fn rows<'a>(&'a self, batch: &'a RecordBatch) -> impl Iterator<Item = ParentRow> + 'a {
        let is = |from: From, value: bool| self.of.position(&from).and_then(|i| flags(batch, &self.of, i, value));
        let (deleted, past) = (is(From::Deleted, true), is(From::Current, false));
        let dead = move |row: usize| [&deleted, &past].iter().any(|f| f.as_ref().is_some_and(|f| f[row]));
        (0..batch.num_rows()).filter(move |row| !dead(*row)).filter_map(|row| self.row(batch, row))
    }

    fn row(&self, batch: &RecordBatch, row: usize) -> Option<ParentRow> {
        let text = |index: usize| text(batch, &self.of, index, row);
        let bound = self.names.iter().filter_map(|(name, index)| Some((name.clone(), text(*index)?.to_string())));
        let bound: Vec<(String, String)> = bound.collect();
        // A parent without the value that its children need has none.
        let has = |name: &str| name.starts_with("key.") || bound.iter().any(|(b, _)| b == name);
        if !self.table.request.path.names().all(has) {
            return None;
        }
        let skip = |(index, values): &(usize, Vec<String>)| text(*index).is_some_and(|v| values.iter().any(|s| s == v));
        let changed = self.changed.and_then(|index| moment(batch, &self.of, index, row));
        Some(ParentRow { row, bound, skipped: self.of.skip_children.iter().any(skip), changed })
    }
}

/// How many parents in the lake will be asked about, of those for which `fits` holds; none for a table without parents.
pub(crate) async fn count(
    catalog: &Catalog,
    lake: &Lake,
    table: &Arc<Table>,
    part: Option<&Part>,
    fits: impl Fn(&[(String, String)]) -> bool,
) -> Result<Option<u64>> {
    let Some(parents) = ParentRows::of(catalog, table)? else { return Ok(None) };
    let mut batches = parents.batches(lake).await?;
    let mut count = 0;
    while let Some(batch) = batches.try_next().await? {
        let known =
            |parent: &ParentRow| part.is_some_and(|part| part.is_unchanged(hash(table, &parent.bound), parent.changed));
        let asked = parents.rows(&batch).filter(|p| !p.skipped && fits(&p.bound) && !known(p));
        count += asked.count() as u64;
    }
    Ok(Some(count))
}

fn names(table: &Table, of: &Table) -> Vec<(String, usize)> {
    let path = table.parent.iter().flat_map(|p| &p.values);
    let path = path.filter_map(|(name, column)| Some((name.clone(), of.column(column)?)));
    let keys = of.columns.iter().enumerate().filter_map(|(index, c)| match &c.from {
        From::Bound(name) if name.starts_with("key.") => Some((name.clone(), index)),
        _ => None,
    });
    path.chain(keys).collect()
}

fn text<'a>(batch: &'a RecordBatch, of: &Table, column: usize, row: usize) -> Option<&'a str> {
    let array = batch.column_by_name(&of.columns[column].name)?.as_string_opt::<i32>()?;
    array.is_valid(row).then(|| array.value(row))
}

fn moment(batch: &RecordBatch, of: &Table, column: usize, row: usize) -> Option<i64> {
    let array = batch.column_by_name(&of.columns[column].name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    array.is_valid(row).then(|| array.value(row))
}

/// For each row, whether the column is there and says `value`.
fn flags(batch: &RecordBatch, of: &Table, column: usize, value: bool) -> Option<Vec<bool>> {
    let array = batch.column_by_name(&of.columns[column].name)?.as_boolean_opt()?;
    Some((0..batch.num_rows()).map(|row| array.is_valid(row) && array.value(row) == value).collect())
}
