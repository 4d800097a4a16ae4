//! Loads into a DuckDB file, by way of the `duckdb` program.
//!
//! A group of slices is deleted, inserted and recorded by one statement each, in
//! one transaction, and one process does all groups: a statement a slice, and a
//! process a group, took ten times as long. Linking the library instead would
//! double the binary and take longer to build than all the rest
//! (docs/decisions/0009).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

use super::program::Session;
use super::review::{Counts, Record};
use super::shape::{Relation, RelationKind, TargetColumn};
use super::{Load, Loaded, checked};
use crate::error::{Error, Kind, Result};
use crate::lake::Found;
use crate::schema::Table;

/// So long a file may be held by another program.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);
/// The column that says which file a row is from. Columns of tables do not begin so.
const FILE: &str = "_openai_elt_file";

#[derive(Debug)]
pub(crate) struct Duckdb {
    program: PathBuf,
    file: PathBuf,
    session: Mutex<Option<Box<Session>>>,
}

/// A column of a table or view, or (without a column) the schema itself.
#[derive(Deserialize)]
struct CatalogRow {
    relation: Option<String>,
    view: Option<String>,
    table: Option<String>,
    column: Option<String>,
    type_name: Option<String>,
}

#[derive(Deserialize)]
struct RecordRow {
    path: String,
    fingerprint: Option<String>,
    rows: Option<i64>,
}

#[derive(Deserialize)]
struct CountRow {
    day: Option<String>,
    rows: u64,
}

#[derive(Deserialize)]
struct Rows {
    rows: u64,
}

impl Duckdb {
    pub(crate) fn new(program: PathBuf, file: PathBuf) -> Duckdb {
        Duckdb { program, file, session: Mutex::new(None) }
    }

    /// The name that DuckDB itself gives to the file when it is opened.
    pub(super) fn catalog_name(&self) -> &str {
        let name = self.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.split_once('.').map_or(name, |(name, _)| name)
    }

    /// Returns the relations of a schema, or `None` if there is no such schema.
    pub(super) async fn catalog(&self, schema: &str) -> Result<Option<BTreeMap<String, Relation>>> {
        let here = format!("database_name = current_database() AND lower(schema_name) = lower('{schema}')");
        let asked = format!(
            "SELECT NULL AS relation, NULL AS view, NULL AS \"table\", NULL AS \"column\", NULL AS type_name \
             FROM duckdb_schemas() WHERE {here}\n\
             UNION ALL SELECT c.table_name, v.sql, t.sql, c.column_name, c.data_type \
             FROM (SELECT * FROM duckdb_columns() WHERE {here}) AS c \
             LEFT JOIN (SELECT * FROM duckdb_tables() WHERE {here}) AS t USING (table_name) \
             LEFT JOIN (SELECT * FROM duckdb_views() WHERE {here}) AS v ON v.view_name = c.table_name;\n"
        );
        let rows = self.ask_when_free::<CatalogRow>(&asked).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut relations = BTreeMap::new();
        for row in rows {
            let (Some(name), Some(column), Some(type_name)) = (row.relation, row.column, row.type_name) else {
                continue;
            };
            let computed = row.table.is_some_and(|sql| is_computed(&sql, &column, &type_name));
            let kind = match row.view {
                None => RelationKind::Table,
                Some(sql) if is_of_lake(&sql, &name) => RelationKind::ViewOfLake,
                Some(_) => RelationKind::View,
            };
            // Names are the same in any case, as DuckDB has them.
            let relation = relations
                .entry(name.to_ascii_lowercase())
                .or_insert_with(|| Relation { kind, columns: BTreeMap::new() });
            relation.columns.insert(column.to_ascii_lowercase(), TargetColumn { type_name, computed });
        }
        Ok(Some(relations))
    }

    pub(super) async fn records(&self, ledger: &str) -> Result<BTreeMap<String, Record>> {
        let asked =
            format!("SELECT path, fingerprint, \"rows\"::BIGINT AS \"rows\" FROM {ledger} WHERE path IS NOT NULL;\n");
        let record = |row: RecordRow| {
            let rows = row.rows.and_then(|rows| u64::try_from(rows).ok());
            (row.path, Record { fingerprint: row.fingerprint.unwrap_or_default(), rows })
        };
        Ok(self.ask::<RecordRow>(&asked).await?.into_iter().map(record).collect())
    }

    /// Runs a query that returns `day` and `rows`.
    pub(super) async fn counts(&self, query: &str) -> Result<Counts> {
        let rows = self.ask::<CountRow>(&format!("{query};\n")).await?;
        Ok(rows.into_iter().map(|row| (row.day, row.rows)).collect())
    }

    /// Runs statements in one transaction. An error ends the program, which rolls back.
    pub(super) async fn run(&self, sql: &str) -> Result<()> {
        self.ask::<serde_json::Value>(&format!("BEGIN TRANSACTION;\n{sql}COMMIT;\n")).await.map(drop)
    }

    /// The program of a load that was killed ends what it was doing, and then lets go of the file.
    async fn ask_when_free<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.ask(sql).await {
                Err(e) if e.kind == Kind::Integrity && Instant::now() < until => tokio::time::sleep(PAUSE).await,
                done => return done,
            }
        }
    }

    /// The rows of an answer. The first question, and one after an error, starts the program.
    async fn ask<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>> {
        let mut held = self.session.lock().await;
        let mut session = match held.take() {
            Some(session) => session,
            None => Box::new(Session::start(&self.program, &self.file).await?),
        };
        let text = session.ask(sql).await?;
        *held = Some(session);
        match text.trim() {
            "" | "[]" => Ok(Vec::new()),
            text => serde_json::from_str(text)
                .map_err(|e| Error::integrity(format!("{} answered no JSON: {e}", self.program.display()))),
        }
    }

    /// Closes the file.
    pub(super) async fn close(&self) -> Result<()> {
        match self.session.lock().await.take() {
            Some(session) => session.end().await,
            None => Ok(()),
        }
    }

    /// Replaces a group of slices in one transaction.
    pub(super) async fn load(&self, load: &Load, table: &Table, group: &[Found]) -> Result<Loaded> {
        let folder = TempDir::new().map_err(|e| Error::storage(format!("no folder for downloads: {e}")))?;
        let mut files = Vec::new();
        for slice in group {
            checked(table, slice)?;
            let file = match load.lake.file_of(slice) {
                Some(file) => file,
                None => download(load, slice, &folder.path().join(&slice.path)).await?,
            };
            files.push(load.dialect.literal(&file.display().to_string()));
        }
        let slices = replacing(load, table, group, &files);
        let sql = format!("BEGIN TRANSACTION;\n{slices}COMMIT;\n{}", count(load, group));
        match self.ask::<Rows>(&sql).await?.as_slice() {
            [Rows { rows }] => Ok(Loaded { rows: *rows, ..Loaded::default() }),
            _ => Err(Error::integrity(format!("{} did not say how many rows it loaded", self.program.display()))),
        }
    }
}

/// Whether a view only reads this table's folder of a lake, as `schema --external` writes it.
fn is_of_lake(sql: &str, table: &str) -> bool {
    let Some((head, body)) = sql.split_once(" AS SELECT * FROM read_parquet(") else { return false };
    let object = body.split_once(',').map_or(body, |(object, _)| object).trim_end_matches('\'');
    let ours = [format!("/{table}/data.parquet"), format!("/{table}/date=*/data.parquet")];
    let alone = !["WHERE", "JOIN", "UNION", "GROUP BY", "LIMIT"]
        .iter()
        .any(|word| body.to_uppercase().contains(&format!(" {word} ")));
    head.starts_with("CREATE VIEW") && ours.iter().any(|end| object.ends_with(end.as_str())) && alone
}

/// Whether the statement that makes a table computes a column.
fn is_computed(sql: &str, column: &str, type_name: &str) -> bool {
    let spelled = [format!("{column} {type_name} GENERATED "), format!("\"{column}\" {type_name} GENERATED ")];
    spelled.iter().any(|s| sql.contains(s.as_str()))
}

/// Puts the group's slices, and their records, in the place of the old ones.
fn replacing(load: &Load, table: &Table, group: &[Found], files: &[String]) -> String {
    let (into, ledger, literal) = (load.qualified(table), load.ledger(), |t: &str| load.dialect.literal(t));
    let (day, held) = match table.slices {
        Some(_) => (
            format!(", regexp_extract({FILE}, 'date=([^/]+)/[^/]+$', 1)::DATE AS \"date\""),
            "\"date\" = _openai_elt_new.day",
        ),
        None => (String::new(), "true"),
    };
    let records = group.iter().map(|slice| {
        let day = slice.day.map_or("NULL".to_string(), |day| format!("DATE '{day}'"));
        format!("({}, {}, {day})", literal(&slice.path), literal(&slice.fingerprint()))
    });
    // `_openai_elt_new.day`, because tables have columns named `day` too.
    // By the name of each column, and over all files: one that is older lacks the columns that came later.
    format!(
        "{delete}\
         INSERT INTO {into} BY NAME SELECT * EXCLUDE ({FILE}){day} FROM read_parquet([{files}], \
         hive_partitioning = false, union_by_name = true, filename = '{FILE}');\n\
         DELETE FROM {ledger} WHERE path IN ({paths});\n\
         INSERT INTO {ledger} (path, \"table\", fingerprint, \"rows\", loaded_at) \
         SELECT path, {name}, fingerprint, (SELECT count(*) FROM {into} WHERE {held}), current_timestamp \
         FROM (VALUES {records}) AS _openai_elt_new(path, fingerprint, day);\n",
        delete = load.delete(table, group),
        files = files.join(", "),
        paths = paths(load, group),
        name = literal(&table.name),
        records = records.collect::<Vec<_>>().join(", "),
    )
}

fn paths(load: &Load, group: &[Found]) -> String {
    group.iter().map(|slice| load.dialect.literal(&slice.path)).collect::<Vec<_>>().join(", ")
}

/// How many rows the ledger tells of the group's slices.
fn count(load: &Load, group: &[Found]) -> String {
    let (ledger, paths) = (load.ledger(), paths(load, group));
    format!("SELECT coalesce(sum(\"rows\"), 0)::BIGINT AS \"rows\" FROM {ledger} WHERE path IN ({paths});\n")
}

/// A slice from an object store, as a file. DuckDB could read it there, with an
/// extension to download and credentials of its own: this always works.
async fn download(load: &Load, slice: &Found, file: &Path) -> Result<PathBuf> {
    let broken = |e: std::io::Error| Error::storage(format!("{}: {e}", file.display()));
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(broken)?;
    }
    let mut bytes = load.lake.bytes(slice).await?;
    let mut out = tokio::fs::File::create(file).await.map_err(broken)?;
    while let Some(chunk) = bytes.try_next().await? {
        out.write_all(&chunk).await.map_err(broken)?;
    }
    out.flush().await.map_err(broken)?;
    Ok(file.to_path_buf())
}
