//! A table's slices in a store in memory: what a sync does with its rows, without a disk.

use std::sync::Arc;

use arrow_array::RecordBatch;
use chrono::NaiveDate;
use object_store::memory::InMemory;
use tokio_util::sync::CancellationToken;

use super::catalog;
use crate::lake::{Lake, Slice};
use crate::schema::Table;

/// For benchmarks of encoding and of rewriting.
pub struct Slices {
    table: Arc<Table>,
    lake: Arc<Lake>,
    runtime: tokio::runtime::Runtime,
}

impl Slices {
    /// None when the catalog has no such table.
    pub fn new(table: &str) -> Option<Slices> {
        let table = Arc::clone(catalog().get(table)?);
        let lake = Arc::new(Lake::of(Arc::new(InMemory::new())));
        let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
        Some(Slices { table, lake, runtime })
    }

    /// Rewrites the slice of a day (none: the whole table's) with these rows; gives its rows and bytes.
    pub fn write(&self, day: Option<NaiveDate>, batches: Vec<RecordBatch>) -> Result<(u64, u64), String> {
        let finished = self.runtime.block_on(async {
            let mut slice = Slice::open(&self.lake, &self.table, day, 0).await?;
            for batch in batches {
                slice.add(batch, &[]).await?;
            }
            slice.finish(None, &CancellationToken::new()).await
        });
        finished.map(|f| (f.written.rows, f.written.bytes)).map_err(|e| e.to_string())
    }
}
