//! Where one table's rows go: decoded, cut by day, each day into its slice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use chrono::NaiveDate;
use futures::stream::{self, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::FILE_THREADS;
use crate::decode::{Bound, Decoder, Misfit};
use crate::error::{Error, Kind, Result};
use crate::lake::{Finished, Lake, Losses, Parents, Slice};
use crate::plan::{Window, day};
use crate::report::Track;
use crate::schema::{Policy, Table};

/// Rows decoded before they are handed on, so that batches are worth their overhead.
const BATCH: usize = 4_096;
/// Slices of one window that are being finished at the same time.
const COMMITS: usize = 8;
/// Groups of them that appear at the same time.
const APPEARING: usize = FILE_THREADS;
/// Rows that the slices of one window may hold before they are written on, in bytes.
const HELD: usize = 6 << 20;

pub(super) struct Sink {
    decoder: Decoder,
    pub(super) rows_read: u64,
    pub(super) bytes_read: u64,
    cut: Cut,
}

/// The decoded rows' way into their slices.
struct Cut {
    lake: Arc<Lake>,
    table: Arc<Table>,
    window: Option<Window>,
    now: i64,
    slices: BTreeMap<Option<NaiveDate>, Slice>,
    outside: u64,
}

impl Sink {
    pub(super) fn new(lake: &Arc<Lake>, table: &Arc<Table>, window: Option<Window>, now: i64) -> Sink {
        let (lake, slices) = (Arc::clone(lake), BTreeMap::new());
        Sink {
            decoder: Decoder::new(Arc::clone(table), now),
            rows_read: 0,
            bytes_read: 0,
            cut: Cut { lake, table: Arc::clone(table), window, now, slices, outside: 0 },
        }
    }

    pub(super) fn misfits(&self) -> &BTreeMap<String, Misfit> {
        self.decoder.misfits()
    }

    /// Rows of a replaced table outside the asked window: their own slice brings them.
    pub(super) fn outside(&self) -> u64 {
        self.cut.outside
    }

    /// Takes one answer's rows. Full batches are written on while the answer is being decoded.
    pub(super) async fn page(&mut self, text: &str, bound: &Bound<'_>) -> Result<usize> {
        let waiting = self.decoder.len();
        let mut walk = self.decoder.walk(text, bound)?;
        let mut taken = 0;
        while self.decoder.more(&mut walk, BATCH)? {
            taken += self.decoder.len();
            self.cut.take(self.decoder.take()?).await?;
            // The other lists share this thread, and their answers wait.
            tokio::task::yield_now().await;
        }
        let rows = taken + self.decoder.len() - waiting;
        self.rows_read += rows as u64;
        self.bytes_read += text.len() as u64;
        Ok(rows)
    }

    /// Takes one file's records; gives their number and the lines that are none.
    pub(super) async fn lines(&mut self, text: &str, bound: &Bound<'_>) -> Result<(usize, Vec<Error>)> {
        let (rows, errors) = self.decoder.lines(text, bound);
        self.rows_read += rows as u64;
        self.bytes_read += text.len() as u64;
        if self.decoder.len() >= BATCH {
            self.cut.take(self.decoder.take()?).await?;
        }
        Ok((rows, errors))
    }

    /// Hands on the last rows, and opens the slices that must be written although
    /// nothing came: a whole table's, and each replaced day that has an object.
    pub(super) async fn drained(&mut self, existing: &BTreeSet<NaiveDate>) -> Result<()> {
        if self.decoder.len() > 0 {
            self.cut.take(self.decoder.take()?).await?;
        }
        let Some(window) = self.cut.window else {
            self.cut.slice(None).await?;
            return Ok(());
        };
        let replaced = self.cut.table.policy == Policy::Replace;
        for day in window.days().filter(|day| replaced && existing.contains(day)) {
            self.cut.slice(Some(day)).await?;
        }
        Ok(())
    }

    /// What a table that is read whole would soft-delete, list by list; only after [`Sink::drained`].
    pub(super) async fn losses(&mut self, parents: Option<&Parents>, least: u64) -> Result<Losses> {
        self.cut.slice(None).await?.losses(parents, least).await
    }

    /// An object without rows, so that a table of which nothing is known yet has its columns in the lake.
    pub(super) async fn empty(&mut self) -> Result<()> {
        let newest = self.cut.window.and_then(|w| w.days().last());
        self.cut.slice(newest).await.map(|_| ())
    }

    /// Lets every slice appear, several at a time: most of it is waiting for the
    /// disk or the store. After a failure those that did not begin to appear are dropped.
    ///
    /// Each is told to `track` as it appears, also when this is dropped in the
    /// middle: a slice of which no run report tells would look like a stranger's.
    pub(super) async fn commit(self, parents: Option<Arc<Parents>>, track: Arc<Track>) -> Result<()> {
        let (lake, slices) = (Arc::clone(&self.cut.lake), self.cut.slices.into_values());
        let stop = CancellationToken::new();
        let _stop = stop.clone().drop_guard();
        let work = async move {
            let stop_others = |_: &Error| stop.cancel();
            let finish = async |slice: Slice| slice.finish(parents.as_deref(), &stop).await.inspect_err(stop_others);
            let appear = async |finished: Vec<Result<Finished>>| {
                let track = Arc::clone(&track);
                lake.appear(all(finished)?, move |written| track.wrote(written)).await.inspect_err(stop_others)
            };
            let finished = stream::iter(slices).map(finish).buffer_unordered(COMMITS).chunks(lake.together());
            let folders: Vec<_> = finished.map(appear).buffer_unordered(APPEARING).collect().await;
            lake.settle(all(folders)?.concat()).await
        };
        let done = self.cut.lake.write(work).detach().await;
        done.map_err(|_| Error::interrupted())?
    }

    /// Drops everything; readers keep seeing what they saw.
    pub(super) async fn abandon(self) {
        for slice in self.cut.slices.into_values() {
            slice.abandon().await;
        }
    }
}

impl Cut {
    async fn take(&mut self, batch: RecordBatch) -> Result<()> {
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

    /// A window of many days has many slices, and each has buffers for all its columns.
    /// Together they must not fill the memory: what the fullest hold becomes row groups.
    async fn ease(&mut self) -> Result<()> {
        while self.slices.len() > 1 && self.slices.values().map(Slice::held).sum::<usize>() > HELD {
            let Some(fullest) = self.slices.values_mut().max_by_key(|s| s.held()) else { break };
            let before = fullest.held();
            fullest.ease().await?;
            if fullest.held() >= before {
                break;
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
}

/// All that was finished, or what failed: not what stopped because of it.
fn all<T>(finished: Vec<Result<T>>) -> Result<Vec<T>> {
    let (mut good, mut failed) = (Vec::new(), None);
    for one in finished {
        match one {
            Ok(value) => good.push(value),
            Err(error) if failed.as_ref().is_none_or(|e: &Error| e.kind == Kind::Interrupted) => failed = Some(error),
            Err(_) => {}
        }
    }
    failed.map_or(Ok(good), Err)
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
