//! The pure middle of the program, for fuzz targets (`fuzz/`) and benchmarks (`bench/`).
//!
//! Thin on purpose: what is measured and attacked here is what a sync runs.
//! Beside the handles stands a second opinion ([`Bench::hold`], [`Pages::hold`]):
//! the same input read by other means, so that a target can ask for more than
//! "it did not panic". It is in no path of the program.

mod made;
mod oracle;
mod outside;
mod paging;
mod slices;
mod tree;

use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

use crate::decode::Decoder;
use crate::decode::json::Scanner;
use crate::schema::{Catalog, Table};
pub use outside::{config_file, refusal, state_file};
pub use paging::Pages;
pub use slices::Slices;
use tree::{Tree, Why};

/// A text that an input can hide under the name of a secret; then no output may have it.
pub const MARKER: &str = "sk-marked-secret";

/// The tables that are built in, read once.
fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| Catalog::load(None).unwrap_or_default())
}

/// A table of the catalog and a decoder for its answers.
pub struct Bench {
    table: Arc<Table>,
    decoder: Decoder,
}

impl Bench {
    /// None when the catalog has no such table.
    pub fn new(table: &str) -> Option<Bench> {
        catalog().get(table).map(Bench::of)
    }

    /// A table whose file stands alone; or what is wrong with the file.
    pub fn alone(text: &str) -> Result<Bench, String> {
        let catalog = Catalog::alone(text).map_err(|e| e.to_string())?;
        catalog.get("alone").map(Bench::of).ok_or_else(|| "no table".to_string())
    }

    fn of(table: &Arc<Table>) -> Bench {
        Bench { table: Arc::clone(table), decoder: Decoder::new(Arc::clone(table), 0) }
    }

    /// One answer's rows; after an error those before it are kept for [`Bench::take`].
    pub fn page(&mut self, text: &str) -> Result<usize, String> {
        self.decoder.page(text, &|_| Some("bound".to_string())).map_err(|e| e.to_string())
    }

    /// A file of records, one a line; gives the rows and the number of lines that are none.
    pub fn lines(&mut self, text: &str) -> (usize, usize) {
        let (rows, errors) = self.decoder.lines(text, &|_| Some("bound".to_string()));
        (rows, errors.len())
    }

    /// All rows decoded so far.
    pub fn take(&mut self) -> Option<RecordBatch> {
        self.decoder.take().ok()
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.table.name
    }

    /// The answer that these bytes choose: always JSON, mostly with the table's own members.
    pub fn made(&self, bytes: &[u8]) -> String {
        made::page(&self.table, bytes)
    }

    /// Decodes one answer twice and holds its rows against an independent reading; says what is wrong.
    ///
    /// Excepted: texts with a name twice in one object, which are decoded all the same, and records with a member
    /// named `..`.
    pub fn hold(&self, text: &str) -> Result<(), String> {
        let (outcome, batch) = self.same(|bench| bench.page(text))?;
        if let Err(told) = &outcome
            && (told.is_empty() || told.chars().any(char::is_control))
        {
            return Err(format!("a message that cannot be shown: {told:?}"));
        }
        let tree = match Tree::read(text) {
            Ok(tree) => tree,
            Err(Why::Ambiguous) => return agree(text, true),
            Err(Why::NoJson) => return agree(text, false).and(refused(&outcome)),
        };
        let too_deep = tree.depth() > crate::decode::json::MAX_DEPTH;
        if !too_deep {
            agree(text, true)?;
        }
        let (records, wrong) = oracle::records(&self.table, &tree);
        match (&outcome, wrong) {
            (Ok(rows), None) if *rows == records.len() && *rows == batch.num_rows() => {}
            (Err(_), Some(_)) => {}
            (Err(told), None) if too_deep || told.contains("which identifies the record") => {}
            (outcome, wrong) => {
                return Err(format!("{outcome:?}, expected {} rows and {wrong:?}", records.len()));
            }
        }
        for (row, chain) in (0..batch.num_rows()).zip(&records) {
            let check = oracle::Row::new(&self.table, &batch, row, chain).and_then(|row| row.check());
            check.map_err(|what| format!("row {row}: {what}"))?;
        }
        let told = outcome.err().unwrap_or_default();
        match !tree.shows(MARKER) && (told.contains(MARKER) || shows(&batch, MARKER)) {
            true => Err("a secret is shown".to_string()),
            false => Ok(()),
        }
    }

    /// Decodes a file of lines twice; and holds that a good line is read whatever stands before or after it.
    pub fn hold_lines(&self, text: &str, good: &str) -> Result<(), String> {
        let ((rows, errors), _) = self.same(|bench| bench.lines(text))?;
        for text in [format!("{good}\n{text}"), format!("{text}\n{good}")] {
            let ((with, with_errors), _) = self.same(|bench| bench.lines(&text))?;
            if (with, with_errors) != (rows + 1, errors) {
                return Err(format!(
                    "{rows} rows and {errors} errors became {with} and {with_errors} with a good line"
                ));
            }
        }
        Ok(())
    }

    /// Does it twice, each time from nothing; the end must be the same.
    fn same<T: PartialEq + std::fmt::Debug>(
        &self,
        decode: impl Fn(&mut Bench) -> T,
    ) -> Result<(T, RecordBatch), String> {
        let once = || {
            let mut bench = Bench::of(&self.table);
            let outcome = decode(&mut bench);
            bench.decoder.take().map(|batch| (outcome, batch)).map_err(|e| e.to_string())
        };
        let (first, second) = (once()?, once()?);
        match first == second {
            true => Ok(first),
            false => Err("decoded twice, it differs".to_string()),
        }
    }
}

/// Whether the scanner, too, takes the text for JSON or for none.
fn agree(text: &str, json: bool) -> Result<(), String> {
    let mut scanner = Scanner::new(text);
    let scanned = scanner.skip().and_then(|()| scanner.end());
    match (scanned, json) {
        (Ok(()), false) => Err("the scanner takes for JSON what serde_json does not".to_string()),
        (Err(e), true) if e.what != "nested too deeply" => Err(format!("serde_json takes it for JSON: {e}")),
        _ => Ok(()),
    }
}

fn refused(outcome: &Result<usize, String>) -> Result<(), String> {
    match outcome {
        Ok(rows) => Err(format!("{rows} rows from what is no JSON")),
        Err(_) => Ok(()),
    }
}

fn shows(batch: &RecordBatch, text: &str) -> bool {
    let texts = batch.columns().iter().filter(|c| *c.data_type() == DataType::Utf8);
    texts.map(|c| c.as_string::<i32>()).any(|c| c.iter().flatten().any(|value| value.contains(text)))
}

/// Reads the text of a table file; what is accepted is put to use at once.
pub fn table_file(text: &str, answer: &str) -> Result<(), String> {
    let bench = match Bench::alone(text) {
        Ok(bench) => bench,
        Err(told) if told.contains("alone.toml") => return Ok(()),
        Err(told) => return Err(format!("a complaint that does not say where: {told}")),
    };
    outside::asked(&bench.table)?;
    // What the file says is no secret: messages may repeat it.
    if text.contains(MARKER) { Ok(()) } else { bench.hold(answer) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tables of every shape.
    const TABLES: [&str; 8] = [
        "users",
        "audit_logs",
        "usage_completions",
        "codex_usage",
        "codex_usage_clients",
        "chatgpt_memories",
        "eval_runs",
        "log_other",
    ];

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_invented(
            table in prop::sample::select(&TABLES[..]),
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bench = Bench::new(table).unwrap();
            let text = bench.made(&bytes);
            prop_assert_eq!(bench.hold(&text), Ok(()), "{}: {}", table, text);
        }
    }
}
