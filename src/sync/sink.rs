//! Where one table's rows go: decoded, cut by day, each day into its slice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use chrono::NaiveDate;
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::FILE_THREADS;
use crate::decode::{Bound, Decoder, Misfit, Repaired};
use crate::error::{Error, Kind, Result};
use crate::lake::{Finished, KeyMap, Lake, Losses, ParentFate, Parents, Slice, hashes, open_old};
use crate::plan::{Window, day};
use crate::report::{Track, counted};
use crate::schema::{EmptyDays, Policy, Table};

/// What to do about a response that does not say what its days are.
const UNCHANGED: &str = "the rows in the lake were not changed, and the next run requests these days again: compare \
                         `start_time` in the response with the requested one, and report it if it stays";

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
    /// Of a replaced table: the times that the answers spoke of, by the hash of the list's parent.
    answered: KeyMap<BTreeSet<i64>>,
    cut: Cut,
}

/// Days of a replaced table that have rows in the lake, and of which no answer spoke.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    /// The source lists empty days, so these were not answered: their rows stay.
    pub(super) kept: BTreeSet<NaiveDate>,
    /// The source leaves empty days out, so these are empty now.
    pub(super) emptied: BTreeSet<NaiveDate>,
}

/// The decoded rows' way into their slices.
struct Cut {
    lake: Arc<Lake>,
    table: Arc<Table>,
    window: Option<Window>,
    now: i64,
    slices: BTreeMap<Option<NaiveDate>, Slice>,
    outside: u64,
    /// Rows without a time, which are kept on 1970-01-01.
    dayless: u64,
}

impl Sink {
    pub(super) fn new(lake: &Arc<Lake>, table: &Arc<Table>, window: Option<Window>, now: i64) -> Sink {
        let (lake, slices) = (Arc::clone(lake), BTreeMap::new());
        Sink {
            decoder: Decoder::new(Arc::clone(table), now),
            rows_read: 0,
            bytes_read: 0,
            answered: KeyMap::default(),
            cut: Cut { lake, table: Arc::clone(table), window, now, slices, outside: 0, dayless: 0 },
        }
    }

    pub(super) fn repaired(&self) -> &Repaired {
        self.decoder.repaired()
    }

    pub(super) fn misfits(&self) -> &BTreeMap<String, Misfit> {
        self.decoder.misfits()
    }

    /// Rows of a replaced table outside the requested window, which were dropped.
    pub(super) fn outside(&self) -> u64 {
        self.cut.outside
    }

    pub(super) fn window(&self) -> Option<Window> {
        self.cut.window
    }

    /// Rows of a table cut by day that have no time.
    pub(super) fn dayless(&self) -> u64 {
        self.cut.dayless
    }

    /// Takes one answer's rows. Full batches are written on while the answer is being decoded. `parent` is the hash
    /// of the list's parent.
    pub(super) async fn page(&mut self, text: &str, bound: &Bound<'_>, parent: u128) -> Result<usize> {
        let waiting = self.decoder.len();
        let mut walk = self.decoder.walk(text, bound)?;
        let mut taken = 0;
        while self.decoder.more(&mut walk, BATCH)? {
            taken += self.decoder.len();
            self.hand_on().await?;
            // The other lists share this thread, and their answers wait.
            tokio::task::yield_now().await;
        }
        let rows = taken + self.decoder.len() - waiting;
        self.rows_read += rows as u64;
        self.bytes_read += text.len() as u64;
        self.note_days(parent)?;
        Ok(rows)
    }

    /// What the newest answer said of days. One whose day is unknown cannot replace any.
    fn note_days(&mut self, parent: u128) -> Result<()> {
        let Some(answered) = self.decoder.take_days() else { return Ok(()) };
        if let Some(wrong) = answered.wrong {
            return Err(Error::contract(wrong).hint(UNCHANGED));
        }
        self.answered.entry(parent).or_default().extend(answered.times);
        Ok(())
    }

    async fn hand_on(&mut self) -> Result<()> {
        let lists = self.decoder.lists_of_rows();
        self.cut.take(self.decoder.take()?, &lists).await
    }

    /// Takes one file's records; gives their number and the lines that are none.
    pub(super) async fn lines(&mut self, text: &str, bound: &Bound<'_>) -> Result<(usize, Vec<Error>)> {
        let (rows, errors) = self.decoder.lines(text, bound);
        self.rows_read += rows as u64;
        self.bytes_read += text.len() as u64;
        self.note_days(0)?;
        if self.decoder.len() >= BATCH {
            self.hand_on().await?;
        }
        Ok((rows, errors))
    }

    /// Hands on the last rows, and opens the slices that must be written although nothing came: a whole table's, and
    /// each replaced day that has an object and was answered. Returns the days that were not.
    pub(super) async fn drained(
        &mut self,
        existing: &BTreeSet<NaiveDate>,
        parents: Option<&Parents>,
    ) -> Result<Unanswered> {
        if self.decoder.len() > 0 {
            self.hand_on().await?;
        }
        let Some(window) = self.cut.window else {
            self.cut.slice(None).await?;
            return Ok(Unanswered::default());
        };
        if self.cut.table.policy != Policy::Replace {
            return Ok(Unanswered::default());
        }
        let days: Vec<NaiveDate> = window.days().filter(|day| existing.contains(day)).collect();
        let unanswered = self.unanswered(&days, parents).await?;
        self.check_window(window, &unanswered)?;
        for day in days {
            // With parents each row is judged by its own.
            if parents.is_some() || !unanswered.kept.contains(&day) {
                self.cut.slice(Some(day)).await?;
            }
        }
        Ok(unanswered)
    }

    /// The days inside the window of which the answers of each parent's list spoke.
    pub(super) fn answered_days(&self) -> KeyMap<BTreeSet<NaiveDate>> {
        let inside = |time: &&i64| self.cut.window.is_some_and(|window| window.contains(**time));
        let days = |times: &BTreeSet<i64>| times.iter().filter(inside).map(|time| day(Some(*time))).collect();
        self.answered.iter().map(|(parent, times)| (*parent, days(times))).collect()
    }

    /// Whether days without a word are days that were not answered.
    pub(super) fn lists_days(&self) -> bool {
        let slices = self.cut.table.slices.as_ref().filter(|_| self.cut.table.policy == Policy::Replace);
        slices.is_some_and(|slices| slices.empty_days == EmptyDays::Listed)
    }

    /// Of these days, those with rows in the lake for which a list was read that did not speak of them.
    async fn unanswered(&mut self, days: &[NaiveDate], parents: Option<&Parents>) -> Result<Unanswered> {
        let (answered, mut found) = (self.answered_days(), BTreeSet::new());
        let (lake, table) = (Arc::clone(&self.cut.lake), Arc::clone(&self.cut.table));
        for day in days {
            let speaks = |parent: u128| answered.get(&parent).is_some_and(|days| days.contains(day));
            let is_known = match parents {
                None if answered.values().any(|days| days.contains(day)) => false,
                None => has_rows(&lake, &table, *day, &[], |_| true).await?,
                Some(parents) => {
                    let read = parents.fates.iter().filter(|(_, fate)| **fate == ParentFate::Read);
                    let silent: BTreeSet<u128> = read.map(|(hash, _)| *hash).filter(|hash| !speaks(*hash)).collect();
                    let is_silent = |hash| silent.contains(&hash);
                    !silent.is_empty() && has_rows(&lake, &table, *day, &table.parent_columns(), is_silent).await?
                }
            };
            if is_known {
                found.insert(*day);
            }
        }
        Ok(match self.lists_days() {
            true => Unanswered { kept: found, emptied: BTreeSet::new() },
            false => Unanswered { kept: BTreeSet::new(), emptied: found },
        })
    }

    /// The error of a list that spoke of days, and of none that was requested: it counts time in another unit, or
    /// answers another question. That it says nothing of the requested days is no word about them.
    pub(super) fn foreign(&self, parent: u128) -> Option<Error> {
        let (window, times) = (self.cut.window?, self.answered.get(&parent)?);
        let (first, last) = (times.first()?, times.last()?);
        if times.iter().any(|time| window.contains(*time)) {
            return None;
        }
        let (first, last) = (day(Some(*first)), day(Some(*last)));
        let what = format!("the response speaks of days from {first} to {last}, and of none in {}", shown(window));
        Some(Error::contract(what).hint(UNCHANGED))
    }

    /// Rows of other days are dropped, and that is all right beside days that were answered. Where the source leaves
    /// empty days out, they may have come in place of the known days that would be emptied.
    fn check_window(&self, window: Window, unanswered: &Unanswered) -> Result<()> {
        let Some(known) = unanswered.emptied.first().filter(|_| self.cut.outside > 0) else { return Ok(()) };
        let (rows, days) = (counted(self.cut.outside, "row"), counted(unanswered.emptied.len() as u64, "day"));
        let what = format!(
            "the response to {} has {rows} of other days, and none for {days} that have rows in the lake, the first of \
             which is {known}",
            shown(window)
        );
        Err(Error::contract(what).hint(UNCHANGED))
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
        let parents = self.judged(parents);
        let (lake, slices) = (Arc::clone(&self.cut.lake), self.cut.slices.into_values());
        let lake_of = Arc::clone(&lake);
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
        let done = lake_of.write(work).detach().await;
        done.map_err(|e| Error::of_task(&e))?
    }

    /// The parents, with the days that each of them answered for where another day's rows stay.
    fn judged(&self, parents: Option<Arc<Parents>>) -> Option<Arc<Parents>> {
        let parents = parents?;
        if !self.lists_days() {
            return Some(parents);
        }
        Some(Arc::new(Parents { answered: Some(self.answered_days()), ..(*parents).clone() }))
    }

    /// Drops everything; readers keep seeing what they saw.
    pub(super) async fn abandon(self) {
        for slice in self.cut.slices.into_values() {
            slice.abandon().await;
        }
    }
}

impl Cut {
    /// `lists` has the number of the list that each row came in, or is empty.
    async fn take(&mut self, batch: RecordBatch, lists: &[u64]) -> Result<()> {
        let Some(slices) = &self.table.slices else {
            return self.slice(None).await?.add(batch, lists).await;
        };
        let (by, mut start) = (slices.by, 0);
        for (day, run) in runs(&batch, by) {
            let rows = start..start + run.num_rows();
            start = rows.end;
            if self.is_outside(&run, by) {
                self.outside += run.num_rows() as u64;
                continue;
            }
            self.dayless += run.column(by).null_count() as u64;
            self.slice(Some(day)).await?.add(run, lists.get(rows).unwrap_or_default()).await?;
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

/// Whether the lake has a row of that day; with columns, one for the hash of which `is_meant`.
async fn has_rows(
    lake: &Lake,
    table: &Table,
    day: NaiveDate,
    columns: &[usize],
    is_meant: impl Fn(u128) -> bool,
) -> Result<bool> {
    let Some(old) = open_old(lake, table, Some(day)).await? else { return Ok(false) };
    if columns.is_empty() {
        return Ok(old.rows() > 0);
    }
    let wanted = table.arrow().project(columns).map_err(|e| Error::storage(e.to_string()))?;
    let all: Vec<usize> = (0..columns.len()).collect();
    let mut rows = old.columns(Arc::new(wanted))?;
    while let Some(batch) = rows.try_next().await? {
        if hashes(&batch, &all)?.into_iter().any(&is_meant) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// As in a message: `2026-11-20..2026-11-22T05:30Z`.
pub(super) fn shown(window: Window) -> String {
    format!("{}..{}", window.start.format("%Y-%m-%d"), window.end.format("%Y-%m-%dT%H:%MZ"))
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
