//! `load`: the tables of a database, made and refreshed from the lake.
//!
//! The database keeps beside its tables which object of the lake it holds as
//! which slice (`_openai_elt_slices`). A slice whose object is another one is
//! deleted and inserted, and recorded, in one transaction: so whoever kills a
//! load, and whenever, the next one goes on, and loading twice changes nothing.
//!
//! A slice that the lake has lost stays in the database and is told of: `sync`
//! never removes one, so somebody moved it away, or `--dest` is another lake.

mod address;
mod binary;
mod duckdb;
mod postgres;
mod program;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;

use crate::error::{Error, Kind, Result};
use crate::lake::{Found, Lake};
use crate::report::{Failure, Track};
use crate::schema::Table;
use crate::warehouse::{Dialect, Order};
pub(crate) use address::Address;
pub(crate) use duckdb::Duckdb;
pub(crate) use postgres::Postgres;

/// The table that says what is loaded. Names of other tables do not begin with `_`.
const LEDGER: &str = "_openai_elt_slices";
/// The slices of one transaction, as far as they are at hand at once.
const GROUP: usize = 64;
/// Tries of a slice that a sync rewrites while it is read.
const TRIES: usize = 3;

/// Where to load to; opened.
#[derive(Debug)]
pub(crate) enum Target {
    Duckdb(Duckdb),
    Postgres(Box<Postgres>),
}

/// What the database holds already.
#[derive(Debug, Default)]
struct Holds {
    /// The columns of each table.
    columns: BTreeMap<String, BTreeSet<String>>,
    /// The fingerprint of each slice, by its path.
    slices: BTreeMap<String, String>,
}

/// What a group of slices brought.
#[derive(Clone, Copy, Debug, Default)]
struct Loaded {
    rows: u64,
    /// NUL characters that the database does not take.
    nul: u64,
}

/// One table's part of the report.
#[derive(Debug, Serialize)]
pub(crate) struct TableLoad {
    pub(crate) status: &'static str,
    pub(crate) slices_loaded: u64,
    pub(crate) slices_unchanged: u64,
    pub(crate) rows_loaded: u64,
    pub(crate) seconds: f64,
    pub(crate) warnings: Vec<String>,
    pub(crate) error: Option<Failure>,
}

/// One table, and the slices of it that are to be loaded.
pub(crate) struct Job {
    pub(crate) table: Arc<Table>,
    pub(crate) track: Arc<Track>,
    changed: Vec<Found>,
    unchanged: u64,
    gone: Vec<String>,
}

/// A database with the schema whose tables are loaded.
pub(crate) struct Load {
    pub(crate) lake: Lake,
    pub(crate) target: Target,
    pub(crate) dialect: Dialect,
    pub(crate) schema: String,
    holds: Holds,
}

impl Load {
    /// Opens the schema, makes the ledger, and reads what is there.
    pub(crate) async fn open(lake: Lake, target: Target, dialect: Dialect, schema: String) -> Result<Load> {
        let mut load = Load { lake, target, dialect, schema, holds: Holds::default() };
        let ledger = load.ledger();
        let schema = load.dialect.name(&load.schema);
        let prelude = format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};\n\
             CREATE TABLE IF NOT EXISTS {ledger} (path text, \"table\" text, fingerprint text, \"rows\" bigint, \
             loaded_at timestamp with time zone);\n"
        );
        load.holds = match &load.target {
            Target::Duckdb(duckdb) => duckdb.open(&prelude, &load.schema, &ledger).await?,
            Target::Postgres(postgres) => postgres.open(&prelude, &load.schema, &ledger).await?,
        };
        Ok(load)
    }

    /// Lets go of the database. What was loaded is in it already.
    pub(crate) async fn close(&self) -> Result<()> {
        match &self.target {
            Target::Duckdb(duckdb) => duckdb.close().await,
            Target::Postgres(_) => Ok(()),
        }
    }

    fn ledger(&self) -> String {
        format!("{}.{}", self.dialect.name(&self.schema), self.dialect.name(LEDGER))
    }

    /// What differs between the lake and the database, table by table.
    pub(crate) fn jobs(&self, tables: &[Arc<Table>], objects: &[Found]) -> Vec<Job> {
        let job = |table: &Arc<Table>| {
            let of: Vec<&Found> = objects.iter().filter(|f| f.table == table.name).collect();
            let same = |f: &Found| self.holds.slices.get(&f.path) == Some(&f.fingerprint());
            let prefix = format!("{}/", table.name);
            let held = self.holds.slices.keys().filter(|path| path.starts_with(&prefix));
            Job {
                table: Arc::clone(table),
                track: Track::new(&table.name),
                changed: of.iter().filter(|f| !same(f)).map(|f| (*f).clone()).collect(),
                unchanged: of.iter().filter(|f| same(f)).count() as u64,
                gone: held.filter(|path| !of.iter().any(|f| f.path == **path)).cloned().collect(),
            }
        };
        tables.iter().map(job).collect()
    }

    /// Loads what a job asks for. An error is the table's, and part of its report.
    pub(crate) async fn perform(&self, job: &Job) -> TableLoad {
        job.track.start(None);
        let mut nul = 0;
        let done = self.table(job, &mut nul).await;
        job.track.end(if done.is_ok() { "ok" } else { "failed" }, done.as_ref().err());
        let mut warnings = Vec::new();
        if nul > 0 {
            warnings.push(format!("{nul} NUL characters were loaded as U+FFFD: the database has none in text"));
        }
        if let [first, ..] = job.gone.as_slice() {
            let count = job.gone.len();
            warnings.push(format!(
                "{count} slices are in the database and no longer in the lake, such as {first}; they were kept"
            ));
        }
        TableLoad {
            status: if done.is_ok() { "ok" } else { "failed" },
            slices_loaded: job.track.slices.load(Ordering::Relaxed),
            slices_unchanged: job.unchanged,
            rows_loaded: job.track.rows.load(Ordering::Relaxed),
            seconds: job.track.report().seconds,
            warnings,
            error: done.as_ref().err().map(Failure::new),
        }
    }

    async fn table(&self, job: &Job, nul: &mut u64) -> Result<()> {
        let mut definitions = self.definitions(&job.table)?;
        // A table without slices to load is made all the same.
        let groups: Vec<&[Found]> = match job.changed.is_empty() {
            true => vec![&[]],
            false => job.changed.chunks(GROUP).collect(),
        };
        for group in groups {
            if group.is_empty() && definitions.is_empty() {
                continue;
            }
            let loaded = match &self.target {
                Target::Duckdb(duckdb) => duckdb.load(self, &job.table, &definitions, group).await?,
                Target::Postgres(postgres) => postgres.load(self, &job.table, &definitions, group).await?,
            };
            definitions.clear();
            *nul += loaded.nul;
            job.track.rows.fetch_add(loaded.rows, Ordering::Relaxed);
            job.track.slices.fetch_add(group.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What makes the table, or adds the columns that it lacks.
    fn definitions(&self, table: &Table) -> Result<String> {
        let order = Order {
            dialect: &self.dialect,
            tables: &[],
            schema: &self.schema,
            lake: "",
            remote: false,
            held: None,
            changed: None,
            external: false,
        };
        let Some(there) = self.holds.columns.get(&table.name) else { return order.definition(table) };
        let missing = table.columns.iter().filter(|c| !there.contains(&c.name));
        missing.map(|c| order.added(table, c)).collect()
    }

    fn qualified(&self, table: &Table) -> String {
        format!("{}.{}", self.dialect.name(&self.schema), self.dialect.name(&table.name))
    }

    /// Deletes what the database holds of some slices.
    fn delete(&self, table: &Table, slices: &[Found]) -> String {
        let days: Vec<String> = slices.iter().filter_map(|s| s.day).map(|day| format!("DATE '{day}'")).collect();
        let name = self.qualified(table);
        match table.slices {
            None => format!("DELETE FROM {name};\n"),
            Some(_) => format!("DELETE FROM {name} WHERE \"date\" IN ({});\n", days.join(", ")),
        }
    }

    /// Records what a slice now holds.
    fn record(&self, slice: &Found, rows: u64) -> String {
        let ledger = self.ledger();
        let text = |t: &str| self.dialect.literal(t);
        format!(
            "DELETE FROM {ledger} WHERE path = {0};\n\
             INSERT INTO {ledger} VALUES ({0}, {1}, {2}, {rows}, current_timestamp);\n",
            text(&slice.path),
            text(&slice.table),
            text(&slice.fingerprint())
        )
    }
}

/// A slice must be cut as its table is, or its rows would be taken for another slice's.
fn checked(table: &Table, slice: &Found) -> Result<()> {
    if table.slices.is_some() == slice.day.is_some() {
        return Ok(());
    }
    Err(Error::integrity(format!("{} is not cut as the table is", slice.path))
        .hint("give the --schemas that the lake was written with"))
}

/// An error that ends the whole load, and not a table's part of it.
pub(crate) fn is_final(failure: &TableLoad) -> bool {
    failure.error.as_ref().is_some_and(|e| e.kind == Kind::Unavailable.word())
}
