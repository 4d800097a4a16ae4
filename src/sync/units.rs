//! Which lists a table is made of: one, or one for each parent and each key.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::Run;
use super::parents::{ParentRow, ParentRows};
use super::part::Part;
use crate::error::Result;
use crate::fetch::Client;
use crate::lake::{ParentFate, Parents, hash_texts};
use crate::schema::{From, Policy, Table};

/// One client of a surface, and what its key stands for (`key.project`, …).
pub(crate) struct Source {
    pub(crate) client: Arc<Client>,
    /// As the user named it: a project may have any name.
    pub(crate) configured: Vec<(String, String)>,
    /// As its rows carry it: a project's id, once a response told it.
    pub(crate) values: Vec<(String, String)>,
}

/// One list: the values bound into its requests, and who asks.
#[derive(Clone)]
pub(super) struct Unit {
    pub(super) client: Arc<Client>,
    pub(super) bound: Vec<(String, String)>,
}

impl Unit {
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        value(&self.bound, name)
    }

    /// As it is named in the state: what is bound into its rows, such as `workspace_id=ws_1`.
    pub(super) fn scope(&self, table: &Table) -> String {
        scope(table, &self.bound)
    }

    /// As it is named in messages: `project_id=proj_1`.
    pub(super) fn shown(&self, table: &Table) -> String {
        let columns = table.columns.iter().filter_map(|c| match &c.from {
            From::Bound(name) => Some(format!("{}={}", c.name, crate::console::plain(self.value(name)?))),
            _ => None,
        });
        columns.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn hash(&self, table: &Table) -> u128 {
        hash(table, &self.bound)
    }
}

/// A parent row: its list, and whether it is to be read.
pub(super) enum Step {
    Read(Unit),
    Keep(u128),
    /// Its children are known: it did not change since they were read.
    Unchanged(u128),
}

/// The parents as a run starts with them: nobody is read yet. A list that may be read
/// in part has one even where there is but one list: it says what becomes of the rest.
pub(super) fn parents(table: &Table) -> Option<Parents> {
    let columns = table.parent_columns();
    let absent = if table.parent.is_some() { None } else { Some(ParentFate::Keep) };
    (!columns.is_empty() || table.is_read_in_part()).then(|| Parents { columns, absent, ..Parents::default() })
}

/// The lists of a table, one after the other, without holding them all.
pub(super) async fn steps<'a>(
    run: &'a Run,
    table: &'a Arc<Table>,
    part: Option<&'a Arc<Part>>,
) -> Result<BoxStream<'a, Result<Step>>> {
    let Some(parents) = ParentRows::of(&run.catalog, table)? else {
        let units = run.sources(table).map(|s| Unit { client: Arc::clone(&s.client), bound: s.values.clone() });
        return Ok(stream::iter(units.map(|u| Ok(Step::Read(u))).collect::<Vec<_>>()).boxed());
    };
    let batches = parents.batches(&run.lake).await?;
    let steps = batches.map(move |batch| {
        let batch = batch?;
        let steps = parents.rows(&batch).map(|parent| Ok(step(run, table, part, &parents, &batch, parent)));
        Ok(stream::iter(steps.collect::<Vec<_>>()))
    });
    Ok(steps.try_flatten().boxed())
}

/// Whether a parent's children are asked for in this run.
fn step(
    run: &Run,
    table: &Table,
    part: Option<&Arc<Part>>,
    parents: &ParentRows,
    batch: &RecordBatch,
    parent: ParentRow,
) -> Step {
    let of = &parents.of;
    // Not every row of these tables is read at each run, and is a parent all the same.
    let listed = of.policy == Policy::Merge || of.is_read_in_part() || was_read(run, of, batch, parent.row);
    let unchanged = |unit: &Unit| part.is_some_and(|part| part.is_unchanged(unit.hash(table), parent.changed));
    match unit(run, table, &parent.bound) {
        Some(unit) if listed && !parent.skipped && unchanged(&unit) => Step::Unchanged(unit.hash(table)),
        Some(unit) if listed && !parent.skipped => Step::Read(unit),
        _ => Step::Keep(hash(table, &parent.bound)),
    }
}

/// Who asks for a parent's children: the client whose key stands for the same project or workspace.
pub(super) fn unit(run: &Run, table: &Table, bound: &[(String, String)]) -> Option<Unit> {
    let fits = |(name, value): &(String, String)| bound.iter().all(|(n, v)| n != name || v == value);
    let source = run.sources(table).find(|s| s.values.iter().all(fits))?;
    let mut bound = bound.to_vec();
    for (name, value) in &source.values {
        if !bound.iter().any(|(n, _)| n == name) {
            bound.push((name.clone(), value.clone()));
        }
    }
    Some(Unit { client: Arc::clone(&source.client), bound })
}

/// The name of a scope in the state.
pub(crate) fn scope(table: &Table, bound: &[(String, String)]) -> String {
    let columns = table.columns.iter().filter_map(|c| match &c.from {
        From::Bound(name) => Some(format!("{}={}", c.name, value(bound, name)?)),
        _ => None,
    });
    columns.collect::<Vec<_>>().join(" ")
}

fn value<'a>(bound: &'a [(String, String)], name: &str) -> Option<&'a str> {
    bound.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

/// Of the values that make a row somebody's child, as the lake hashes its columns.
pub(super) fn hash(table: &Table, bound: &[(String, String)]) -> u128 {
    hash_texts(table.columns.iter().filter_map(|c| match &c.from {
        From::Bound(name) => Some(value(bound, name)),
        _ => None,
    }))
}

/// Whether the parent itself was read in this run. One that was not is archived
/// further up or could not be read, and its children stay as they are.
fn was_read(run: &Run, of: &Table, batch: &RecordBatch, row: usize) -> bool {
    let synced = of.position(&From::SyncedAt).and_then(|i| batch.column_by_name(&of.columns[i].name));
    let synced = synced.and_then(|a| a.as_primitive_opt::<TimestampMicrosecondType>());
    synced.is_some_and(|a| a.is_valid(row) && a.value(row) == run.micros())
}
