//! Loads into a DuckDB file, by way of the `duckdb` program.
//!
//! Its SQL goes in on standard input, a group of slices in one transaction, and
//! `-bail` ends it at the first error. Linking the library instead would double
//! the binary and take longer to build than all the rest (docs/decisions/0009).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Holds, Load, Loaded, checked};
use crate::error::{Error, Kind, Result};
use crate::lake::Found;
use crate::schema::Table;

/// So long a file may be held by another program.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Duckdb {
    pub(crate) program: PathBuf,
    pub(crate) file: PathBuf,
}

#[derive(Deserialize)]
struct Line {
    kind: String,
    a: String,
    b: String,
}

impl Duckdb {
    pub(super) async fn open(&self, prelude: &str, schema: &str, ledger: &str) -> Result<Holds> {
        let asked = format!(
            "{prelude}SELECT 'column' AS kind, table_name AS a, column_name AS b FROM information_schema.columns \
             WHERE table_catalog = current_database() AND table_schema = '{schema}'\n\
             UNION ALL SELECT 'slice', path, fingerprint FROM {ledger};\n"
        );
        let text = self.run_when_free(&asked).await?;
        let lines: Vec<Line> = match text.trim() {
            "" | "[]" => Vec::new(),
            text => serde_json::from_str(text)
                .map_err(|e| Error::integrity(format!("{} answered no JSON: {e}", self.program.display())))?,
        };
        let mut holds = Holds::default();
        for line in lines {
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
    async fn run_when_free(&self, sql: &str) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.run("-json", sql).await {
                Err(e) if e.kind == Kind::Integrity && Instant::now() < until => tokio::time::sleep(PAUSE).await,
                done => return done,
            }
        }
    }

    /// One transaction: definitions, and the group's slices.
    pub(super) async fn load(&self, load: &Load, table: &Table, definitions: &str, group: &[Found]) -> Result<Loaded> {
        let folder = TempDir::new().map_err(|e| Error::storage(format!("no folder for downloads: {e}")))?;
        let mut sql = format!("SET TimeZone = 'UTC';\nBEGIN TRANSACTION;\n{definitions}");
        for (i, slice) in group.iter().enumerate() {
            checked(table, slice)?;
            let file = match load.lake.file_of(slice) {
                Some(file) => file,
                None => download(load, slice, &folder.path().join(format!("{i}.parquet"))).await?,
            };
            let day = slice.day.map(|d| format!(", DATE '{d}' AS \"date\"")).unwrap_or_default();
            let file = load.dialect.literal(&file.display().to_string());
            let count = format!("(SELECT count(*) FROM read_parquet({file}, hive_partitioning = false))");
            sql.push_str(&load.delete(table, slice));
            sql.push_str(&format!(
                "INSERT INTO {} BY NAME SELECT *{day} FROM read_parquet({file}, hive_partitioning = false);\n",
                load.qualified(table)
            ));
            sql.push_str(&load.record(slice, &count));
        }
        let paths: Vec<String> = group.iter().map(|s| load.dialect.literal(&s.path)).collect();
        let of = if paths.is_empty() { "false".to_string() } else { format!("path IN ({})", paths.join(", ")) };
        sql.push_str(&format!(
            "COMMIT;\nSELECT coalesce(sum(\"rows\"), 0)::BIGINT FROM {} WHERE {of};\n",
            load.ledger()
        ));
        let text = self.run("-csv", &sql).await?;
        let rows = text.trim().parse().map_err(|_| Error::integrity(format!("duckdb answered {:?}", text.trim())))?;
        Ok(Loaded { rows, nul: 0 })
    }

    /// Runs SQL, and gives what it prints.
    async fn run(&self, format: &str, sql: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        // Nothing of this user's start-up file may change what the SQL means.
        command.args(["-init", "/dev/null", "-bail", "-batch", "-noheader", format]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| self.missing(&e))?;
        // Attached by a name of our own: a file that is named as the schema would make every name ambiguous.
        let file = self.file.display().to_string().replace('\'', "''");
        let sql = format!("ATTACH '{file}' AS _openai_elt;\nUSE _openai_elt;\n{sql}");
        if let Some(mut input) = child.stdin.take() {
            // When it ends early, its own words say why.
            let _ = input.write_all(sql.as_bytes()).await;
        }
        let ended = child.wait_with_output().await.map_err(|e| self.missing(&e))?;
        let words = String::from_utf8_lossy(&ended.stderr);
        if !ended.status.success() || words.contains("Error:") {
            return Err(self.refused(&words));
        }
        Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
    }

    fn missing(&self, e: &std::io::Error) -> Error {
        Error::usage(format!("the program `{}` cannot be run: {e}", self.program.display())).hint(
            "pip install duckdb-cli, or --duckdb PROGRAM; or run what `openai-elt schema --dialect duckdb` prints yourself",
        )
    }

    fn refused(&self, words: &str) -> Error {
        let said = words.lines().map(str::trim).filter(|l| !l.is_empty()).take(4).collect::<Vec<_>>().join(" ");
        let file = self.file.display();
        if said.contains("Could not set lock") || said.contains("Conflicting lock") {
            return Error::integrity(format!("{file} is open in another program"))
                .hint("close it there, and load again");
        }
        if said.contains("not a valid DuckDB database file") {
            return Error::usage(format!("{file} is no DuckDB file")).hint("give another file, or move this one away");
        }
        Error::new(Kind::Storage, format!("duckdb: {said}"))
            .hint("nothing of the group was loaded; what was loaded before stays")
    }
}

/// A slice from an object store, as a file. DuckDB could read it there, with an
/// extension to download and credentials of its own: this always works.
async fn download(load: &Load, slice: &Found, file: &Path) -> Result<PathBuf> {
    let broken = |e: std::io::Error| Error::storage(format!("{}: {e}", file.display()));
    let mut bytes = load.lake.bytes(slice).await?;
    let mut out = tokio::fs::File::create(file).await.map_err(broken)?;
    while let Some(chunk) = bytes.try_next().await? {
        out.write_all(&chunk).await.map_err(broken)?;
    }
    out.flush().await.map_err(broken)?;
    Ok(file.to_path_buf())
}
