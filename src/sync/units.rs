//! Which lists a table is made of: one, or one for each parent and each key.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{Field, Schema};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::Run;
use crate::error::{Error, Result};
use crate::fetch::Client;
use crate::lake::{ParentFate, Parents, hash_texts, open_old};
use crate::schema::{From, Policy, Table};

/// One client of a surface, and what its key stands for (`key.project`, …).
pub(crate) struct Source {
    pub(crate) client: Arc<Client>,
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
}

/// The parents as a run starts with them: nobody is read yet.
pub(super) fn parents(table: &Table) -> Option<Parents> {
    let columns = table.parent_columns();
    let absent = if table.parent.is_some() { None } else { Some(ParentFate::Keep) };
    (!columns.is_empty()).then(|| Parents { columns, absent, ..Parents::default() })
}

/// The lists of a table, one after the other, without holding them all.
pub(super) async fn steps<'a>(run: &'a Run, table: &'a Arc<Table>) -> Result<BoxStream<'a, Result<Step>>> {
    let Some(parent) = &table.parent else {
        let units = run.sources(table).map(|s| Unit { client: Arc::clone(&s.client), bound: s.values.clone() });
        return Ok(stream::iter(units.map(|u| Ok(Step::Read(u))).collect::<Vec<_>>()).boxed());
    };
    let of =
        run.catalog.get(&parent.table).ok_or_else(|| Error::usage(format!("there is no table `{}`", parent.table)))?;
    let names = names(table, of);
    let wanted = wanted(of, &names)?;
    let days: Vec<_> = match of.slices {
        None => vec![None],
        Some(_) => run.lake.days(of).await?.into_iter().map(Some).collect(),
    };
    let batches = stream::iter(days).then(move |day| {
        let wanted = Arc::clone(&wanted);
        async move {
            match open_old(&run.lake, of, day).await? {
                Some(old) => old.columns(wanted),
                None => Ok(stream::empty().boxed()),
            }
        }
    });
    let steps = batches.try_flatten().map(move |batch| {
        let steps = rows(run, table, of, &names, &batch?)?;
        Ok(stream::iter(steps.into_iter().map(Ok)))
    });
    Ok(steps.try_flatten().boxed())
}

/// Each value that the child wants bound, and the parent's column that holds it.
fn names(table: &Table, of: &Table) -> Vec<(String, usize)> {
    let path = table.parent.iter().flat_map(|p| &p.values);
    let path = path.filter_map(|(name, column)| Some((name.clone(), of.column(column)?)));
    let keys = of.columns.iter().enumerate().filter_map(|(index, c)| match &c.from {
        From::Bound(name) if name.starts_with("key.") => Some((name.clone(), index)),
        _ => None,
    });
    path.chain(keys).collect()
}

fn wanted(of: &Table, names: &[(String, usize)]) -> Result<Arc<Schema>> {
    let marks =
        of.columns.iter().enumerate().filter(|(_, c)| matches!(c.from, From::SyncedAt | From::Deleted | From::Current));
    let skips = of.skip_children.iter().map(|(index, _)| *index);
    let mut columns: BTreeMap<usize, Field> = BTreeMap::new();
    for index in names.iter().map(|(_, i)| *i).chain(marks.map(|(i, _)| i)).chain(skips) {
        let column = &of.columns[index];
        columns.insert(index, Field::new(&column.name, column.kind.arrow(), true));
    }
    Ok(Arc::new(Schema::new(columns.into_values().collect::<Vec<_>>())))
}

fn rows(run: &Run, table: &Table, of: &Table, names: &[(String, usize)], batch: &RecordBatch) -> Result<Vec<Step>> {
    let column = |index: usize| batch.column_by_name(&of.columns[index].name);
    let text = |index: usize, row: usize| {
        let array = column(index)?.as_string_opt::<i32>()?;
        array.is_valid(row).then(|| array.value(row))
    };
    let flag = |from: &From, row: usize| {
        let array = of.position(from).and_then(column)?.as_boolean_opt()?;
        array.is_valid(row).then(|| array.value(row))
    };
    let mut steps = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        if flag(&From::Deleted, row) == Some(true) || flag(&From::Current, row) == Some(false) {
            continue;
        }
        let bound = names.iter().filter_map(|(name, index)| Some((name.clone(), text(*index, row)?.to_string())));
        let bound: Vec<(String, String)> = bound.collect();
        // A parent without the value that its children need has none.
        let has = |name: &str| name.starts_with("key.") || bound.iter().any(|(b, _)| b == name);
        if !table.request.path.names().all(has) {
            continue;
        }
        let skip =
            |(index, values): &(usize, Vec<String>)| text(*index, row).is_some_and(|v| values.iter().any(|s| s == v));
        let asked = (of.policy == Policy::Merge || was_read(run, of, batch, row)) && !of.skip_children.iter().any(skip);
        steps.push(match unit(run, table, &bound) {
            Some(unit) if asked => Step::Read(unit),
            _ => Step::Keep(hash(table, &bound)),
        });
    }
    Ok(steps)
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

fn value<'a>(bound: &'a [(String, String)], name: &str) -> Option<&'a str> {
    bound.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

/// Of the values that make a row somebody's child, as the lake hashes its columns.
fn hash(table: &Table, bound: &[(String, String)]) -> u128 {
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
