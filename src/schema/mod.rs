//! What a table is: one checked value for each file of `schemas/`.
//!
//! [`Catalog::load`] reads the embedded files, then those of `--schemas DIR`,
//! which add tables or override them by name. Everything that can be wrong with
//! a file is found here, before anything is started. From a [`Table`] come the
//! request, the Arrow schema, the docs page and each warehouse's DDL.
//!
//! Pure but for the reading of `--schemas DIR`.

mod check;
mod columns;
mod file;
mod parents;
mod part;
mod text;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};

use crate::console::typed;
use crate::error::{Error, Result};

pub(crate) use file::{Parameter, Parameters, caret, suggestion};
pub(crate) use text::{Pointer, Template, duration_seconds, glob};
pub(crate) use words::{EmptyDays, Format, Method, Policy, Surface, Type};

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

/// Where a column's value comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum From {
    /// Pointers into the record (`up` = 0) or into the record that encloses it (1, 2, …).
    Record(Vec<(usize, Pointer)>),
    /// A value bound into the request: `projects.id`, `key.project`.
    Bound(String),
    /// The member whose name is the value of that column.
    NamedBy(usize),
    /// The record's position in its list, from 0.
    Position,
    SyncedAt,
    Extra,
    Deleted,
    VersionStart,
    VersionEnd,
    Current,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Type,
    pub(crate) from: From,
    /// As it stands in the file; none for the columns the engine adds.
    pub(crate) from_text: Option<String>,
    /// The version of the table that brought it.
    pub(crate) since: u32,
    pub(crate) doc: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: Template,
    pub(crate) query: Parameters,
    pub(crate) body: Parameters,
    pub(crate) headers: Parameters,
    /// The lists in an answer, outermost first; none = the answer itself is the one record.
    pub(crate) rows: Vec<Pointer>,
    /// A list inside a record that is missing or null is an empty one.
    pub(crate) rows_may_be_absent: bool,
    pub(crate) passes: Vec<Parameters>,
    pub(crate) optional_passes: bool,
    pub(crate) optional: Vec<String>,
    pub(crate) absent: Vec<u16>,
}

/// A list of files to download, whose lines are the records.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// Names in braces that are not bound are members of the file's record.
    pub(crate) path: Template,
    pub(crate) id: Pointer,
    /// When the file was closed; the settled cursor does not pass a file that failed.
    pub(crate) time: Pointer,
    pub(crate) size: Option<Pointer>,
    pub(crate) sha256: Option<Pointer>,
    /// Where the source says how new its newest record is: asked with the request's own query.
    pub(crate) freshness: Option<(Template, Pointer)>,
}

/// Files that a table's rows tell of; their bytes are kept on request.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    /// Names in braces are columns.
    pub(crate) path: Template,
    /// Parameters, each with the column that holds its value.
    pub(crate) query: Vec<(String, usize)>,
    pub(crate) id: usize,
    /// How long the source has a file, in seconds.
    pub(crate) kept: i64,
}

/// How one list goes on: send X, taken from Y, while Z.
#[derive(Clone, Debug)]
pub(crate) struct Paging {
    pub(crate) send: String,
    pub(crate) from: Option<Pointer>,
    pub(crate) last: Option<Pointer>,
    pub(crate) while_: Option<Pointer>,
    pub(crate) until_empty: bool,
    pub(crate) empty_ends: bool,
    pub(crate) size: Parameters,
}

/// How a table is cut by UTC day. Durations are in seconds.
#[derive(Clone, Debug)]
pub(crate) struct Slices {
    pub(crate) by: usize,
    /// The timestamp column with the exclusive end of a bucket.
    pub(crate) end: Option<usize>,
    /// What an answer says of a day without rows; of use for replaced days only.
    pub(crate) empty_days: EmptyDays,
    pub(crate) since: String,
    pub(crate) until: String,
    pub(crate) format: Format,
    pub(crate) window: i64,
    pub(crate) lookback: i64,
    pub(crate) history: i64,
    /// How far back the source can be asked: what is older is gone there. `None` if nobody knows of a limit.
    pub(crate) retention: Option<i64>,
}

/// A list that comes newest first, and whose old rows no longer change.
#[derive(Clone, Debug)]
pub(crate) struct NewestFirst {
    /// The timestamp column that the list is sorted by.
    pub(crate) by: usize,
    /// Values of columns that mark a row as final, all of them; none: every row is.
    pub(crate) final_if: Vec<(usize, Vec<String>)>,
}

/// Soft deletes of one sync that are held back: of at least so many rows, and of more than this
/// share of the rows that are not deleted yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HoldBack {
    /// From 0 to 1; nothing is more than all rows, so 1 holds nothing back.
    pub(crate) share: f64,
    pub(crate) rows: u64,
}

impl Default for HoldBack {
    fn default() -> HoldBack {
        HoldBack { share: 0.5, rows: 20 }
    }
}

/// The table whose rows are this table's parents.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    pub(crate) table: String,
    /// For each `{…}` of the path: its name and the parent's column that holds it.
    pub(crate) values: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) surface: Surface,
    pub(crate) doc: String,
    /// Indices of the columns that identify a row; none = exactly one row.
    pub(crate) key: Vec<usize>,
    pub(crate) policy: Policy,
    pub(crate) only_if_named: bool,
    pub(crate) retired: Option<String>,
    pub(crate) ignore: Vec<(usize, Pointer)>,
    pub(crate) request: Request,
    pub(crate) paging: Option<Paging>,
    pub(crate) files: Option<Files>,
    pub(crate) contents: Option<Contents>,
    /// The lists in what is decoded (an answer, or a line of a file), outermost first.
    pub(crate) record_rows: Vec<Pointer>,
    pub(crate) slices: Option<Slices>,
    pub(crate) parent: Option<Parent>,
    /// The table whose answers this one is decoded from.
    pub(crate) same_as: Option<String>,
    /// Values of these columns mark rows whose children are not asked for.
    pub(crate) skip_children: Vec<(usize, Vec<String>)>,
    pub(crate) newest_first: Option<NewestFirst>,
    /// The parent's column that says when it last changed: before that was read, its children are not asked for.
    pub(crate) unchanged_since: Option<String>,
    /// Seconds between two full passes of a table that is read in part.
    pub(crate) full_every: i64,
    /// Snapshots: which soft deletes wait for a confirmation.
    pub(crate) hold_back: HoldBack,
    /// In the order of the file, the engine's own included.
    pub(crate) columns: Vec<Column>,
    pub(crate) history: bool,
}

impl Table {
    /// The version that its newest column brought.
    pub(crate) fn version(&self) -> u32 {
        self.columns.iter().map(|c| c.since).max().unwrap_or(1)
    }

    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    pub(crate) fn position(&self, from: &From) -> Option<usize> {
        self.columns.iter().position(|c| c.from == *from)
    }

    pub(crate) fn arrow(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|c| Field::new(&c.name, c.kind.arrow(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The same table, keeping each version of a row.
    pub(crate) fn with_history(mut self) -> Result<Table> {
        if self.policy != Policy::Snapshot {
            return Err(Error::usage(format!("{}: history = true is for snapshot tables", self.name))
                .hint("the rows of this table are events or buckets: they have no versions"));
        }
        let at = self.columns.iter().position(|c| c.from == From::Deleted).map_or(self.columns.len(), |i| i + 1);
        self.columns.splice(at..at, columns::history_columns());
        self.history = true;
        Ok(self)
    }

    /// Whether a sync may leave rows unread that the source still has, but for the full passes.
    pub(crate) fn is_read_in_part(&self) -> bool {
        self.newest_first.is_some() || self.unchanged_since.is_some()
    }

    /// The same table with these columns alone, in this order. The key must be among them.
    pub(crate) fn narrowed(&self, columns: &[usize]) -> Table {
        let place = |index: &usize| columns.iter().position(|c| c == index);
        Table {
            columns: columns.iter().map(|index| self.columns[*index].clone()).collect(),
            key: self.key.iter().filter_map(place).collect(),
            ..self.clone()
        }
    }

    /// What a key must stand for to be asked for this table: `key.project`, `key.workspace`, …
    pub(crate) fn key_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter_map(|c| match &c.from {
            From::Bound(name) if name.starts_with("key.") => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether a key that stands for these values can be asked for this table.
    pub(crate) fn can_be_asked_with(&self, values: &[(String, String)]) -> bool {
        self.key_names().all(|name| values.iter().any(|(n, _)| n == name))
    }

    /// Indices of the columns that say which parent a row belongs to.
    pub(crate) fn parent_columns(&self) -> Vec<usize> {
        let bound = |c: &Column| matches!(c.from, From::Bound(_));
        self.columns.iter().enumerate().filter(|(_, c)| bound(c)).map(|(i, _)| i).collect()
    }
}

/// Every known table by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    tables: BTreeMap<String, Arc<Table>>,
    /// The folder of `--schemas`, for commands that messages print.
    extra: Option<PathBuf>,
}

impl Catalog {
    pub(crate) fn load(extra: Option<&Path>) -> Result<Catalog> {
        let mut sources: BTreeMap<String, check::Source> = BTreeMap::new();
        for (surface, name, path, text) in EMBEDDED {
            let surface = check::surface(surface, path)?;
            sources.insert((*name).to_string(), check::Source::parse(surface, name, path, text)?);
        }
        if let Some(dir) = extra {
            check::read_dir(dir, &mut sources)?;
        }
        let tables = check::tables(&sources)?;
        let tables = tables.into_iter().map(|t| (t.name.clone(), Arc::new(t))).collect();
        Ok(Catalog { tables, extra: extra.map(Path::to_path_buf) })
    }

    /// A catalog of one file that stands alone.
    pub(crate) fn alone(text: &str) -> Result<Catalog> {
        let source = check::Source::parse(Surface::Admin, "alone", "alone.toml", text)?;
        let tables = check::tables(&BTreeMap::from([("alone".to_string(), source)]))?;
        Ok(Catalog { tables: tables.into_iter().map(|t| (t.name.clone(), Arc::new(t))).collect(), extra: None })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    pub(crate) fn replace(&mut self, table: Table) {
        self.tables.insert(table.name.clone(), Arc::new(table));
    }

    /// The error for a name or pattern that no table has, with the nearest one.
    pub(crate) fn unknown(&self, name: &str) -> Error {
        let error = Error::usage(format!("there is no table `{name}`"));
        let schemas = self.extra.as_ref().map(|dir| format!(" --schemas {}", typed(&dir.to_string_lossy())));
        error
            .meant(name, self.tables.keys().map(String::as_str))
            .hint(format!("`openai-elt tables{}` lists them all", schemas.unwrap_or_default()))
    }
}
