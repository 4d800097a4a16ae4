//! Loads into a DuckDB file, by way of the `duckdb` program.
//!
//! A group of slices is deleted, inserted and recorded by one statement each, in
//! one transaction, and one process does all groups: a statement a slice, and a
//! process a group, took ten times as long. Linking the library instead would
//! double the binary and take longer to build than all the rest
//! (docs/decisions/0009).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

use super::program::Session;
use super::{Holds, Load, Loaded, checked};
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

#[derive(Deserialize)]
struct Line {
    kind: String,
    a: String,
    b: String,
}

#[derive(Deserialize)]
struct Rows {
    rows: u64,
}

impl Duckdb {
    pub(crate) fn new(program: PathBuf, file: PathBuf) -> Duckdb {
        Duckdb { program, file, session: Mutex::new(None) }
    }

    pub(super) async fn open(&self, prelude: &str, schema: &str, ledger: &str) -> Result<Holds> {
        let asked = format!(
            "{prelude}SELECT 'column' AS kind, table_name AS a, column_name AS b FROM information_schema.columns \
             WHERE table_catalog = current_database() AND table_schema = '{schema}'\n\
             UNION ALL SELECT 'slice', path, fingerprint FROM {ledger};\n"
        );
        let mut holds = Holds::default();
        for line in self.ask_when_free::<Line>(&asked).await? {
            match line.kind.as_str() {
                "column" => {
                    holds.columns.entry(line.a).or_default().insert(line.b);
                }
                _ => {
                    holds.slices.insert(line.a, line.b);
                }
            }
        }
        Ok(holds)
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

    /// One transaction: definitions, and the group's slices.
    pub(super) async fn load(&self, load: &Load, table: &Table, definitions: &str, group: &[Found]) -> Result<Loaded> {
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
        let slices = if group.is_empty() { String::new() } else { replacing(load, table, group, &files) };
        let sql = format!("BEGIN TRANSACTION;\n{definitions}{slices}COMMIT;\n{}", count(load, group));
        match self.ask::<Rows>(&sql).await?.as_slice() {
            [Rows { rows }] => Ok(Loaded { rows: *rows, nul: 0 }),
            _ => Err(Error::integrity(format!("{} did not say how many rows it loaded", self.program.display()))),
        }
    }
}

/// Puts the group's slices, and their records, in the place of the old ones.
fn replacing(load: &Load, table: &Table, group: &[Found], files: &[String]) -> String {
    let (into, ledger, literal) = (load.qualified(table), load.ledger(), |t: &str| load.dialect.literal(t));
    let (day, held) = match table.slices {
        Some(_) => (format!(", regexp_extract({FILE}, 'date=([^/]+)/[^/]+$', 1)::DATE AS \"date\""), "\"date\" = day"),
        None => (String::new(), "true"),
    };
    let records = group.iter().map(|slice| {
        let day = slice.day.map_or("NULL".to_string(), |day| format!("DATE '{day}'"));
        format!("({}, {}, {day})", literal(&slice.path), literal(&slice.fingerprint()))
    });
    // By the name of each column, and over all files: one that is older lacks the columns that came later.
    format!(
        "{delete}\
         INSERT INTO {into} BY NAME SELECT * EXCLUDE ({FILE}){day} FROM read_parquet([{files}], \
         hive_partitioning = false, union_by_name = true, filename = '{FILE}');\n\
         DELETE FROM {ledger} WHERE path IN ({paths});\n\
         INSERT INTO {ledger} SELECT path, {name}, fingerprint, (SELECT count(*) FROM {into} WHERE {held}), \
         current_timestamp FROM (VALUES {records}) AS new(path, fingerprint, day);\n",
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
    let of = if group.is_empty() { "false".to_string() } else { format!("path IN ({})", paths(load, group)) };
    format!("SELECT coalesce(sum(\"rows\"), 0)::BIGINT AS \"rows\" FROM {} WHERE {of};\n", load.ledger())
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
