//! Where one table's rows go: decoded, cut by day, each day into its slice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use chrono::NaiveDate;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::decode::{Bound, Decoder, Misfit};
use crate::error::{Error, Result};
use crate::lake::{Lake, Parents, Slice, Written};
use crate::plan::{Window, day};
use crate::schema::{Policy, Table};

/// Rows decoded before they are handed on, so that batches are worth their overhead.
const BATCH: usize = 8_192;
/// Slices of one window that are being finished at the same time.
const COMMITS: usize = 8;
/// Decoded rows that one window may hold before they are encoded, in bytes.
const PENDING: usize = 16 << 20;

pub(super) struct Sink {
    lake: Arc<Lake>,
    table: Arc<Table>,
    decoder: Decoder,
    window: Option<Window>,
    now: i64,
    slices: BTreeMap<Option<NaiveDate>, Slice>,
    pub(super) rows_read: u64,
    /// Rows of a replaced table outside the asked window: their own slice brings them.
    pub(super) outside: u64,
}

impl Sink {
    pub(super) fn new(lake: &Arc<Lake>, table: &Arc<Table>, window: Option<Window>, now: i64) -> Sink {
        Sink {
            lake: Arc::clone(lake),
            table: Arc::clone(table),
            decoder: Decoder::new(Arc::clone(table), now),
            window,
            now,
            slices: BTreeMap::new(),
            rows_read: 0,
            outside: 0,
        }
    }

    pub(super) fn misfits(&self) -> &BTreeMap<String, Misfit> {
        self.decoder.misfits()
    }

    /// Takes one answer's rows.
    pub(super) async fn page(&mut self, text: &str, bound: &Bound<'_>) -> Result<usize> {
        let rows = tokio::task::block_in_place(|| self.decoder.page(text, bound))?;
        self.rows_read += rows as u64;
        if self.decoder.len() >= BATCH {
            self.flush().await?;
        }
        Ok(rows)
    }

    /// Takes one file's records; gives their number and the lines that are none.
    pub(super) async fn lines(&mut self, text: &str, bound: &Bound<'_>) -> Result<(usize, Vec<Error>)> {
        let (rows, errors) = tokio::task::block_in_place(|| self.decoder.lines(text, bound));
        self.rows_read += rows as u64;
        if self.decoder.len() >= BATCH {
            self.flush().await?;
        }
        Ok((rows, errors))
    }

    async fn flush(&mut self) -> Result<()> {
        if self.decoder.len() == 0 {
            return Ok(());
        }
        let batch = self.decoder.take()?;
        let Some(slices) = &self.table.slices else {
            return self.slice(None).await?.add(batch).await;
        };
        let by = slices.by;
        for (day, run) in runs(&batch, by) {
            if self.is_outside(&run, by) {
                self.outside += run.num_rows() as u64;
                continue;
            }
            self.slice(Some(day)).await?.add(run).await?;
        }
        self.ease().await
    }

    /// A window of many days holds few rows of each: together they must not fill the memory.
    async fn ease(&mut self) -> Result<()> {
        let pending: usize = self.slices.values().map(Slice::pending).sum();
        if pending > PENDING {
            for slice in self.slices.values_mut().filter(|s| s.pending() > 0) {
                slice.encode().await?;
            }
        }
        Ok(())
    }

    /// A replaced day must come from a request for that whole day, or half of it would be lost.
    fn is_outside(&self, run: &RecordBatch, by: usize) -> bool {
        let times = run.column(by).as_primitive::<TimestampMicrosecondType>();
        let first = times.is_valid(0).then(|| times.value(0));
        self.table.policy == Policy::Replace && self.window.is_some_and(|w| first.is_none_or(|t| !w.contains(t)))
    }

    async fn slice(&mut self, day: Option<NaiveDate>) -> Result<&mut Slice> {
        use std::collections::btree_map::Entry;
        Ok(match self.slices.entry(day) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Slice::open(&self.lake, &self.table, day, self.now).await?),
        })
    }

    /// Hands on the last rows, and opens the slices that must be written although
    /// nothing came: a whole table's, and each replaced day that has an object.
    pub(super) async fn drained(&mut self, existing: &BTreeSet<NaiveDate>) -> Result<()> {
        self.flush().await?;
        let Some(window) = self.window else {
            self.slice(None).await?;
            return Ok(());
        };
        let replaced = self.table.policy == Policy::Replace;
        for day in window.days().filter(|day| replaced && existing.contains(day)) {
            self.slice(Some(day)).await?;
        }
        Ok(())
    }

    /// An object without rows, so that a table of which nothing is known yet has its columns in the lake.
    pub(super) async fn empty(&mut self) -> Result<()> {
        let newest = self.window.and_then(|w| w.days().last());
        self.slice(newest).await.map(|_| ())
    }

    /// Lets every slice appear, several at a time: most of it is waiting for the
    /// disk or the store. After a failure the others are dropped where they stand.
    pub(super) async fn commit(self, parents: Option<&Parents>) -> Result<Vec<Written>> {
        let finished = stream::iter(self.slices.into_values()).map(|slice| slice.finish(parents));
        finished.buffered(COMMITS).try_collect().await
    }

    /// Drops everything; readers keep seeing what they saw.
    pub(super) async fn abandon(self) {
        for slice in self.slices.into_values() {
            slice.abandon().await;
        }
    }
}

/// Neighbouring rows of one day, without copying them.
fn runs(batch: &RecordBatch, by: usize) -> Vec<(NaiveDate, RecordBatch)> {
    let times = batch.column(by).as_primitive::<TimestampMicrosecondType>();
    let day_of = |row: usize| day(times.is_valid(row).then(|| times.value(row)));
    let mut runs = Vec::new();
    let mut start = 0;
    while start < batch.num_rows() {
        let day = day_of(start);
        let end = (start + 1..batch.num_rows()).find(|row| day_of(*row) != day).unwrap_or(batch.num_rows());
        runs.push((day, batch.slice(start, end - start)));
        start = end;
    }
    runs
}
