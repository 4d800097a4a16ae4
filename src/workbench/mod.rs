//! The pure middle of the program, for fuzz targets (`fuzz/`) and benchmarks (`benches/`).
//!
//! Thin on purpose: what is measured and attacked here is what a sync runs.

use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::decode::Decoder;
use crate::lake::State;
use crate::schema::{Catalog, Table};

/// A table of the catalog and a decoder for its answers.
pub struct Bench {
    table: Arc<Table>,
    decoder: Decoder,
}

impl Bench {
    /// None when the catalog has no such table.
    pub fn new(table: &str) -> Option<Bench> {
        let table = Arc::clone(Catalog::load(None).ok()?.get(table)?);
        Some(Bench { decoder: Decoder::new(Arc::clone(&table), 0), table })
    }

    /// One answer's rows; after an error those before it are kept for [`Bench::take`].
    pub fn page(&mut self, text: &str) -> Result<usize, String> {
        self.decoder.page(text, &|_| Some("bound".to_string()), &mut |_| Ok(())).map_err(|e| e.to_string())
    }

    /// A file of records, one a line; gives the rows and the number of lines that are none.
    pub fn lines(&mut self, text: &str) -> Option<(usize, usize)> {
        let (rows, errors) = self.decoder.lines(text, &|_| Some("bound".to_string()), &mut |_| Ok(())).ok()?;
        Some((rows, errors.len()))
    }

    /// All rows decoded so far.
    pub fn take(&mut self) -> Option<RecordBatch> {
        self.decoder.take().ok()
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.table.name
    }
}

/// Reads the text of a table file; true when it is one.
pub fn table_file(text: &str) -> bool {
    Catalog::alone(text).is_ok()
}

/// Reads the text of a state file; what is accepted must be written back and read again unchanged.
pub fn state_file(text: &str) -> Option<bool> {
    let state = State::parse(text).ok()?;
    Some(State::parse(&state.text()).ok()? == state)
}
