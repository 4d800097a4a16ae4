//! `load`: the tables of a database, made and refreshed from the lake.
//!
//! The database keeps beside its tables which object of the lake it holds as
//! which slice (`_openai_elt_slices`). A slice whose object is another one is
//! deleted and inserted, and recorded, in one transaction: so whoever kills a
//! load, and whenever, the next one goes on, and loading twice changes nothing.
//!
//! The bookkeeping is not believed: each table is compared with the columns that it
//! should have (`shape`) and each slice with the rows that it should hold
//! (`review`). What is missing is loaded again, and what does not fit is refused.
//!
//! A slice that the lake has lost stays in the database and is told of: `sync`
//! never removes one, so somebody moved it away, or `--dest` is another lake.

mod address;
mod binary;
mod duckdb;
mod jsonb;
mod postgres;
mod program;
mod review;
mod shape;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use self::postgres::{Kept, Right};
use self::review::{Counts, Record, Review, review};
use self::shape::{Engine, Lacks, Relation, RelationKind, compare};
use crate::error::{Error, Kind, Result};
use crate::lake::{Found, Lake};
use crate::report::{Failure, Track, counted, grouped};
use crate::schema::{Column, Table, Type};
use crate::warehouse::{Dialect, Order};
pub(crate) use address::Address;
pub(crate) use duckdb::Duckdb;
pub(crate) use postgres::Postgres;

/// The table that says what is loaded. Names of other tables do not begin with `_`.
const LEDGER: &str = "_openai_elt_slices";
/// The slices of one transaction, as far as they are at hand at once.
const GROUP: usize = 64;
/// Objects whose footers are read at a time.
const FOOTERS: usize = 16;
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
    relations: BTreeMap<String, Relation>,
    /// What the bookkeeping says of each slice, by its path.
    records: BTreeMap<String, Record>,
}

/// What a group of slices brought.
#[derive(Clone, Copy, Debug, Default)]
struct Loaded {
    rows: u64,
    /// NUL characters that the database does not take.
    nul: u64,
    /// Values of JSON with something in them that `jsonb` does not take.
    json: u64,
}

impl Loaded {
    fn add(&mut self, other: Loaded) {
        self.rows += other.rows;
        self.nul += other.nul;
        self.json += other.json;
    }
}

/// How a column goes to PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Plain(Type),
    /// `json`, or with a version before the text `jsonb`.
    Json {
        binary: bool,
    },
}

/// One table's part of the report.
#[derive(Debug, Serialize)]
pub(crate) struct TableLoad {
    pub(crate) status: &'static str,
    pub(crate) slices_loaded: u64,
    pub(crate) slices_unchanged: u64,
    /// Slices of `slices_loaded` whose object had been loaded before: their rows were not there as they were loaded.
    pub(crate) slices_repaired: u64,
    pub(crate) rows_loaded: u64,
    pub(crate) seconds: f64,
    pub(crate) warnings: Vec<String>,
    pub(crate) error: Option<Failure>,
}

/// One table, and the objects that the lake has of it.
pub(crate) struct Job {
    pub(crate) table: Arc<Table>,
    pub(crate) track: Arc<Track>,
    objects: Vec<Found>,
}

/// What a table's load has to tell.
#[derive(Debug, Default)]
struct Notes {
    unchanged: u64,
    repaired: u64,
    loaded: Loaded,
    /// `json` columns of the table became `jsonb`.
    json_carried: bool,
    warnings: Vec<String>,
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
    /// Opens the schema, makes what it lacks of the ledger, and reads what is there.
    pub(crate) async fn open(lake: Lake, target: Target, dialect: Dialect, schema: String) -> Result<Load> {
        let mut load = Load { lake, target, dialect, schema, holds: Holds::default() };
        let (ledger, schema) = (load.ledger(), load.schema_name());
        if let Target::Postgres(postgres) = &load.target {
            postgres.lock(&load.schema).await?;
        }
        let relations = match &load.target {
            Target::Duckdb(duckdb) => duckdb.catalog(&load.schema).await?,
            Target::Postgres(postgres) => postgres.catalog(&load.schema).await?,
        };
        // A user who may not make schemas may not say IF NOT EXISTS either.
        if relations.is_none() {
            load.run(&format!("CREATE SCHEMA IF NOT EXISTS {schema};\n"), Right::MakeSchema(&schema)).await?;
        }
        load.holds.relations = relations.unwrap_or_default();
        match load.holds.relations.get(LEDGER) {
            None => {
                let sql = format!(
                    "CREATE TABLE IF NOT EXISTS {ledger} (path text, \"table\" text, fingerprint text, \"rows\" bigint, \
                     loaded_at timestamp with time zone);\n"
                );
                load.run(&sql, Right::MakeTable(&schema)).await?;
            }
            Some(relation) => {
                let columns = ["path", "table", "fingerprint", "rows", "loaded_at"];
                if let Some(missing) = columns.iter().find(|column| !relation.columns.contains_key(**column)) {
                    return Err(Error::integrity(format!("the bookkeeping {ledger} has no column `{missing}`")).hint(
                        format!(
                            "`DROP TABLE {}`: the next load makes it and loads everything again",
                            load.typed(LEDGER)
                        ),
                    ));
                }
                load.holds.records = match &load.target {
                    Target::Duckdb(duckdb) => duckdb.records(&ledger).await?,
                    Target::Postgres(postgres) => {
                        let read = postgres.records(&ledger).await;
                        read.map_err(|e| postgres.lacking(e, Right::ReadLedger(&schema)))?
                    }
                };
            }
        }
        Ok(load)
    }

    /// Runs statements in one transaction; `right` is what they need.
    async fn run(&self, sql: &str, right: Right<'_>) -> Result<()> {
        match &self.target {
            Target::Duckdb(duckdb) => duckdb.run(sql).await,
            Target::Postgres(postgres) => postgres.run(sql).await.map_err(|e| postgres.lacking(e, right)),
        }
    }

    /// Lets go of the database. What was loaded is in it already.
    pub(crate) async fn close(&self) -> Result<()> {
        match &self.target {
            Target::Duckdb(duckdb) => duckdb.close().await,
            Target::Postgres(_) => Ok(()),
        }
    }

    fn schema_name(&self) -> String {
        self.dialect.name(&self.schema)
    }

    fn ledger(&self) -> String {
        format!("{}.{}", self.schema_name(), self.dialect.name(LEDGER))
    }

    /// The tables to load, each with its objects.
    pub(crate) fn jobs(&self, tables: &[Arc<Table>], objects: &[Found]) -> Vec<Job> {
        let job = |table: &Arc<Table>| Job {
            table: Arc::clone(table),
            track: Track::new(&table.name),
            objects: objects.iter().filter(|f| f.table == table.name).cloned().collect(),
        };
        tables.iter().map(job).collect()
    }

    /// Loads what a job asks for. An error is the table's, and part of its report.
    pub(crate) async fn perform(&self, job: &Job) -> TableLoad {
        job.track.start(None);
        let mut notes = Notes::default();
        let done = self.table(job, &mut notes).await;
        job.track.end(if done.is_ok() { "ok" } else { "failed" }, done.as_ref().err());
        if notes.loaded.nul > 0 {
            let nul = notes.loaded.nul;
            notes.warnings.push(format!("{nul} NUL characters were loaded as U+FFFD: the database has none in text"));
        }
        if notes.loaded.json > 0 {
            notes.warnings.push(format!(
                "{} of JSON hold what jsonb refuses: NUL and halves of surrogate pairs were loaded as U+FFFD, numbers beyond NUMERIC as text",
                counted(notes.loaded.json, "value")
            ));
        }
        TableLoad {
            status: if done.is_ok() { "ok" } else { "failed" },
            slices_loaded: job.track.slices.load(Ordering::Relaxed),
            slices_unchanged: notes.unchanged,
            slices_repaired: notes.repaired,
            rows_loaded: job.track.rows.load(Ordering::Relaxed),
            seconds: job.track.report().seconds,
            warnings: notes.warnings,
            error: done.as_ref().err().map(Failure::new),
        }
    }

    async fn table(&self, job: &Job, notes: &mut Notes) -> Result<()> {
        let table = &job.table;
        let prefix = format!("{}/", table.name);
        let of_table = self.holds.records.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        let mut records: BTreeMap<String, Record> = of_table.map(|(path, r)| (path.clone(), r.clone())).collect();
        let counts = match self.holds.relations.get(&table.name) {
            Some(relation) => {
                self.mend(job, relation, &mut records, notes).await?;
                self.counts(table).await?
            }
            None => {
                self.make(table, "", &mut records, notes).await?;
                Counts::new()
            }
        };
        let review = review(table.slices.is_some(), &job.objects, &records, &counts);
        tell(&review, notes);
        if !review.lost.is_empty() {
            self.run(&self.forget(&review.lost), Right::Fill(&self.schema_name())).await?;
        }
        let wires = self.wires(table, notes.json_carried);
        for group in review.changed.chunks(GROUP) {
            let loaded = match &self.target {
                Target::Duckdb(duckdb) => duckdb.load(self, table, group).await?,
                Target::Postgres(postgres) => postgres.load(self, table, &wires, group).await?,
            };
            notes.loaded.add(loaded);
            job.track.rows.fetch_add(loaded.rows, Ordering::Relaxed);
            job.track.slices.fetch_add(group.len() as u64, Ordering::Relaxed);
        }
        foreign(&self.typed(&table.name), &review.foreign)
    }

    /// Makes a table. `before` makes room for it.
    async fn make(
        &self,
        table: &Table,
        before: &str,
        records: &mut BTreeMap<String, Record>,
        notes: &mut Notes,
    ) -> Result<()> {
        // What the lake has lost too is told of by the review.
        let had_rows = records.values().any(|record| record.rows != Some(0));
        if had_rows {
            notes.warnings.push("the table was not there any more: it was made and filled again".to_string());
        }
        let sql = format!("{before}{}", self.order().definition(table)?);
        self.run(&sql, Right::MakeTable(&self.schema_name())).await
    }

    /// Adds the columns that a table lacks, and forgets in the same transaction the slices that have values in them.
    async fn mend(
        &self,
        job: &Job,
        relation: &Relation,
        records: &mut BTreeMap<String, Record>,
        notes: &mut Notes,
    ) -> Result<()> {
        let (table, name) = (&job.table, self.qualified(&job.table));
        if relation.kind == RelationKind::ViewOfLake {
            return self.make(table, &format!("DROP VIEW {name};\n"), &mut BTreeMap::new(), notes).await;
        }
        let (column_name, type_of) =
            (|c: &str| self.dialect.name(c), |kind: Type| self.dialect.type_of(kind).to_string());
        let typed = self.typed(&table.name);
        let lacks = compare(self.target.engine(), table, relation, &typed, column_name, type_of)?;
        if !lacks.nothing() {
            self.add(job, &lacks, records, notes).await?;
        }
        if let Target::Postgres(postgres) = &self.target {
            self.carry_json(postgres, job, relation, records, notes).await?;
        }
        Ok(())
    }

    async fn add(
        &self,
        job: &Job,
        lacks: &Lacks,
        records: &mut BTreeMap<String, Record>,
        notes: &mut Notes,
    ) -> Result<()> {
        let (table, name, order) = (&job.table, self.qualified(&job.table), self.order());
        let missing: Vec<&Column> = lacks.columns.iter().map(|index| &table.columns[*index]).collect();
        let mut sql = missing.iter().map(|c| order.added(table, c)).collect::<Result<String>>()?;
        if let (true, Some(slices)) = (lacks.day, &table.slices) {
            let by = self.dialect.name(&table.columns[slices.by].name);
            sql.push_str(&order.added_day(table)?);
            // Also right for days that the lake has lost.
            sql.push_str(&format!("UPDATE {name} SET \"date\" = coalesce(CAST({by} AS date), DATE '1970-01-01');\n"));
        }
        let again = self.with_any_of(&missing, &job.objects).await?;
        let known: Vec<&Found> = job.objects.iter().filter(|f| again.contains(&f.path)).collect();
        let dropped = |f: &&Found| records.get(&f.path).is_some_and(|record| record.fingerprint == f.fingerprint());
        if lacks.day || known.iter().any(dropped) {
            let days = if lacks.day { Some("`date`".to_string()) } else { None };
            let names = missing.iter().map(|c| format!("`{}`", c.name)).chain(days).collect::<Vec<_>>().join(", ");
            notes.warnings.push(format!("the table had no {names} any more: added and filled again"));
        }
        notes.repaired += known.iter().filter(|f| dropped(f)).count() as u64;
        sql.push_str(&self.forget(&again));
        self.run(&sql, Right::Alter(&name)).await?;
        records.retain(|path, _| !again.contains(path));
        Ok(())
    }

    /// Makes `json` columns, which older versions made, `jsonb`.
    async fn carry_json(
        &self,
        postgres: &Postgres,
        job: &Job,
        relation: &Relation,
        records: &mut BTreeMap<String, Record>,
        notes: &mut Notes,
    ) -> Result<()> {
        let is_json = |c: &&Column| relation.columns.get(&c.name).is_some_and(|found| found.type_name == "json");
        let old: Vec<&Column> = job.table.columns.iter().filter(|c| c.kind == Type::Json).filter(is_json).collect();
        if old.is_empty() {
            return Ok(());
        }
        let name = self.qualified(&job.table);
        let quoted: Vec<String> = old.iter().map(|c| self.dialect.name(&c.name)).collect();
        let why = match postgres.to_jsonb(&name, &quoted).await? {
            None => {
                notes.json_carried = true;
                return Ok(());
            }
            Some(Kept::Database(why)) => why,
            Some(Kept::Value) => {
                // The lake has the values still: made anew, the columns are filled by loading.
                let all = job.objects.iter().map(|f| f.path.clone()).collect::<Vec<_>>();
                if records.keys().all(|path| all.contains(path)) {
                    let each = quoted.iter().map(|c| format!("DROP COLUMN {c}, ADD COLUMN {c} jsonb"));
                    let sql = format!("ALTER TABLE {name} {};\n", each.collect::<Vec<_>>().join(", "));
                    match postgres.run(&format!("{sql}{}", self.forget(&all))).await {
                        Ok(()) => {
                            records.clear();
                            notes.json_carried = true;
                            return Ok(());
                        }
                        Err(e) => e.to_string(),
                    }
                } else {
                    "a slice that the lake no longer has holds a value that jsonb refuses".to_string()
                }
            }
        };
        let names = old.iter().map(|c| format!("`{}`", c.name)).collect::<Vec<_>>().join(", ");
        notes.warnings.push(format!(
            "{names} stay json, and not jsonb as in new tables: {why}; a later load tries again, and a column that is text is left alone"
        ));
        Ok(())
    }

    /// The objects whose files have one of these columns.
    async fn with_any_of(&self, columns: &[&Column], objects: &[Found]) -> Result<Vec<String>> {
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let look = |object: &Found| {
            let object = object.clone();
            async move {
                let has = match self.lake.rows(&object).await {
                    Ok(rows) => columns.iter().any(|c| rows.schema().field_with_name(&c.name).is_ok()),
                    // Whoever loads it will tell.
                    Err(e) if e.kind == Kind::Integrity => true,
                    Err(e) => return Err(e),
                };
                Ok(has.then_some(object.path))
            }
        };
        let found: Vec<Option<String>> =
            futures::stream::iter(objects.iter().map(look)).buffered(FOOTERS).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// How many rows each slice of a table has.
    async fn counts(&self, table: &Table) -> Result<Counts> {
        let name = self.qualified(table);
        let query = match table.slices {
            None => format!("SELECT NULL AS day, count(*) AS \"rows\" FROM {name}"),
            Some(_) => {
                format!("SELECT CAST(\"date\" AS varchar) AS day, count(*) AS \"rows\" FROM {name} GROUP BY \"date\"")
            }
        };
        match &self.target {
            Target::Duckdb(duckdb) => duckdb.counts(&query).await,
            Target::Postgres(postgres) => {
                let counted = postgres.counts(&query).await;
                counted.map_err(|e| postgres.lacking(e, Right::Fill(&self.schema_name())))
            }
        }
    }

    /// How each column of a table goes to PostgreSQL.
    fn wires(&self, table: &Table, carried: bool) -> Vec<Wire> {
        let there = self.holds.relations.get(&table.name);
        let wire = |column: &Column| {
            let found = there.and_then(|r| r.columns.get(&column.name)).map(|c| c.type_name.as_str());
            match (column.kind, found) {
                (Type::Json, None | Some("jsonb")) => Wire::Json { binary: true },
                (Type::Json, Some("json")) => Wire::Json { binary: carried },
                (kind, _) => Wire::Plain(kind),
            }
        };
        table.columns.iter().map(wire).collect()
    }

    fn order(&self) -> Order<'_> {
        Order {
            dialect: &self.dialect,
            tables: &[],
            schema: &self.schema,
            lake: "",
            remote: false,
            held: None,
            changed: None,
            external: false,
        }
    }

    fn qualified(&self, table: &Table) -> String {
        format!("{}.{}", self.schema_name(), self.dialect.name(&table.name))
    }

    /// A relation as a user types it in the database's own client.
    fn typed(&self, relation: &str) -> String {
        let name = format!("{}.{}", self.schema_name(), self.dialect.name(relation));
        match &self.target {
            Target::Duckdb(duckdb) if duckdb.catalog_name() == self.schema => format!("{}.{name}", self.schema_name()),
            _ => name,
        }
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

    /// Removes slices from the bookkeeping.
    fn forget(&self, paths: &[String]) -> String {
        if paths.is_empty() {
            return String::new();
        }
        let listed = paths.iter().map(|path| self.dialect.literal(path)).collect::<Vec<_>>().join(", ");
        format!("DELETE FROM {} WHERE path IN ({listed});\n", self.ledger())
    }

    /// Records what a slice now holds.
    fn record(&self, slice: &Found, rows: u64) -> String {
        let ledger = self.ledger();
        let text = |t: &str| self.dialect.literal(t);
        format!(
            "DELETE FROM {ledger} WHERE path = {0};\n\
             INSERT INTO {ledger} (path, \"table\", fingerprint, \"rows\", loaded_at) \
             VALUES ({0}, {1}, {2}, {rows}, current_timestamp);\n",
            text(&slice.path),
            text(&slice.table),
            text(&slice.fingerprint())
        )
    }
}

impl Target {
    fn engine(&self) -> Engine {
        match self {
            Target::Duckdb(_) => Engine::Duckdb,
            Target::Postgres(_) => Engine::Postgres,
        }
    }
}

/// What a review has found, in words.
fn tell(review: &Review, notes: &mut Notes) {
    notes.unchanged = review.unchanged;
    notes.repaired += review.damaged.len() as u64;
    if let [(path, recorded, found), ..] = review.damaged.as_slice() {
        let recorded = recorded.map_or("an unknown number".to_string(), grouped);
        notes.warnings.push(format!(
            "{} did not hold as many rows as the bookkeeping says, such as {path} ({} instead of {recorded}): loaded again",
            counted(review.damaged.len() as u64, "slice"),
            counted(*found, "row"),
        ));
    }
    if let [first, ..] = review.gone.as_slice() {
        let damaged = match review.gone_damaged {
            0 => String::new(),
            count => format!("; {} of them hold other rows than were loaded", grouped(count)),
        };
        notes.warnings.push(format!(
            "{} are in the database and no longer in the lake, such as {first}; they were kept{damaged}",
            counted(review.gone.len() as u64, "slice")
        ));
    }
    if let [first, ..] = review.lost.as_slice() {
        notes.warnings.push(format!(
            "{} that were loaded are neither in the lake nor in the database any more, such as {first}",
            counted(review.lost.len() as u64, "slice")
        ));
    }
}

/// Errors if a table holds rows of days that were never loaded. They are not deleted: the lake cannot bring them back.
fn foreign(name: &str, foreign: &Counts) -> Result<()> {
    /// Days that a statement lists.
    const LISTED: usize = 50;
    let rows: u64 = foreign.values().sum();
    let shown = |day: &Option<String>| day.clone().unwrap_or_else(|| "rows without a day".to_string());
    let Some(first) = foreign.keys().next_back() else { return Ok(()) };
    let days: Vec<String> = foreign.keys().flatten().map(|day| format!("'{day}'")).take(LISTED).collect();
    let listed = (!days.is_empty()).then(|| format!("\"date\" IN ({})", days.join(", ")));
    let without = foreign.contains_key(&None).then(|| "\"date\" IS NULL".to_string());
    let condition = listed.into_iter().chain(without).collect::<Vec<_>>().join(" OR ");
    Err(Error::integrity(format!(
        "{name} holds {} of days that were never loaded, such as {}: its sums are not the lake's; all else was loaded",
        counted(rows, "row"),
        shown(first)
    ))
    .hint(format!("remove them with `DELETE FROM {name} WHERE {condition}`, and load again")))
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
