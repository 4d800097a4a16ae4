//! The only loop: plan → fetch → decode → write → checkpoint, for every table.
//!
//! Tables run at the same time, children after their parents. The windows of a
//! table are read at the same time and committed in order: the settled cursor
//! never passes a window that is not durable. State is saved after each commit.

mod contents;
#[cfg(test)]
mod crash;
mod files;
mod freshness;
mod hold_back;
pub(crate) mod identity;
mod parents;
mod part;
mod pending;
mod read;
mod refusal;
mod scopes;
mod sink;
mod tally;
mod units;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, NaiveDate, SubsecRound, TimeDelta, Utc};
use tokio::runtime::Builder;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::FILE_THREADS;
use crate::error::{Error, Kind, Result};
use crate::fetch::{agrees, corrected};
use crate::lake::{Lake, Parents, State, StateFile};
use crate::panics;
use crate::plan::Wish;
use crate::report::{RunReport, Track, counted};
use crate::schema::{Catalog, Policy, Surface, Table};
pub(crate) use parents::count as count_parents;
pub(crate) use part::Part;
use read::Extent;
pub(crate) use refusal::{Instead, instead};
pub(crate) use scopes::cursor as scope_cursor;
use sink::{Sink, Unanswered};
pub(crate) use units::{Source, scope};

/// Windows of one table that are read at the same time.
const WINDOWS: usize = 8;
/// Memory for the pages and rows of all windows that are read at the same time, in MiB.
const ROOM: u32 = 56;
/// What a window should bring at most, in bytes: there are answers that hold all of it, and stores to which
/// nothing can be sent before there are 5 MiB of an object.
const FULL: u64 = 10 << 20;
/// What a window's rows take of it: see [`sink`], which writes them on when they are more.
const ROWS: u64 = 8;
/// What a day's rows take of it in addition, at most: those of many days are written on one after the other,
/// but a slice keeps its own until they are worth a row group.
const SLICE: u64 = 12 << 20;
/// What the first window of a table takes of it: nobody knows yet how large its pages are.
const UNKNOWN: u32 = 16;
/// Tables that are synced at the same time; bounds memory, the rate budget bounds requests.
const TABLES: usize = 8;

/// What becomes known of the time while a run goes on.
#[derive(Debug, Default)]
pub(crate) struct Stamp {
    micros: OnceLock<i64>,
    is_told: AtomicBool,
    is_kept: AtomicBool,
}

/// Everything that one run shares.
pub(crate) struct Run {
    pub(crate) run_id: String,
    pub(crate) catalog: Catalog,
    pub(crate) lake: Arc<Lake>,
    pub(crate) state_file: StateFile,
    pub(crate) state: Mutex<State>,
    pub(crate) sources: BTreeMap<Surface, Vec<Source>>,
    /// When the run began, by this machine's clock; read once.
    pub(crate) now: DateTime<Utc>,
    /// The source's time of that, once it is known.
    pub(crate) stamp: Stamp,
    pub(crate) wish: Wish,
    pub(crate) strict: bool,
    /// Whether soft deletes are written that would be held back otherwise.
    pub(crate) accept_deletes: bool,
    /// Whether the bytes of files are kept, too.
    pub(crate) download_files: bool,
    pub(crate) stop: CancellationToken,
    pub(crate) tracks: BTreeMap<String, Arc<Track>>,
    pub(crate) room: Semaphore,
}

/// Room for the pages of a run's windows, in MiB.
pub(crate) fn room() -> Semaphore {
    Semaphore::new(ROOM as usize)
}

impl Run {
    /// Who may be asked for a table: the keys of its surface that stand for what it needs.
    fn sources<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a Source> {
        let sources = self.sources.get(&table.surface).into_iter().flatten();
        sources.filter(|source| table.can_be_asked_with(&source.values))
    }

    /// What `_synced_at` says in this run: the time of its beginning by the source's clock, if that is known when the
    /// first rows are committed. One time for all tables: a child asks whether its parent was read in this run.
    fn stamped(&self) -> i64 {
        *self.stamp.micros.get_or_init(|| self.stamp_so_far())
    }

    /// When the run began, as its report says: as its rows do.
    pub(crate) fn began(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.stamped()).unwrap_or(self.now)
    }

    /// Keeps the report of a run that goes on with the time of its rows, before the first of them can be seen: if the
    /// run is killed, what it wrote is known by that time.
    async fn keep_the_time(&self) -> Result<()> {
        if self.began() == self.now || self.stamp.is_kept.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        RunReport::begun(self.run_id.clone(), &self.lake, self.began()).keep(&self.lake).await
    }

    /// The same before it is fixed: what is stamped with another time in the end is read again.
    fn micros(&self) -> i64 {
        self.stamp.micros.get().copied().unwrap_or_else(|| self.stamp_so_far())
    }

    fn stamp_so_far(&self) -> i64 {
        let known = self.sources.values().flatten().filter_map(|source| source.client.clock().offset()).min();
        corrected(self.now, known).timestamp_micros()
    }

    /// How far the clock of the table's source is ahead of this machine's. `None` before the first response.
    fn offset(&self, table: &Table) -> Option<TimeDelta> {
        self.sources(table).filter_map(|source| source.client.clock().offset()).min()
    }

    /// When the run began: by the source's clock, or by this machine's as long as the source has told no other.
    fn time(&self, table: &Table) -> DateTime<Utc> {
        corrected(self.now, self.offset(table))
    }

    /// The time that no cursor of the table passes.
    fn bound(&self, table: &Table) -> DateTime<Utc> {
        let exact = self.offset(table).and_then(|offset| self.now.checked_add_signed(offset));
        exact.map_or(self.now, |exact| exact.trunc_subsecs(6).min(self.time(table)))
    }

    /// Says once in a run that this machine's clock is wrong.
    fn tell_the_time(&self, table: &Table) {
        let Some(offset) = self.offset(table).filter(|offset| !agrees(*offset)) else { return };
        if self.stamp.is_told.swap(true, Ordering::Relaxed) {
            return;
        }
        let (minutes, side) =
            (offset.num_minutes().abs(), if offset < TimeDelta::zero() { "ahead of" } else { "behind" });
        let apart = match minutes {
            0 => format!("{} s", offset.num_seconds().abs()),
            1..=119 => format!("{minutes} min"),
            _ => format!("{} h", minutes / 60),
        };
        self.track(table).warn(format!("this machine's clock is {apart} {side} the API's: the API's time is used"));
    }

    /// Room for one more window, from its first request until its rows are committed. It has so many days,
    /// and the heaviest so far brought so many bytes.
    async fn room_for(
        &self,
        table: &Table,
        days: u64,
        heaviest: u64,
        wait: bool,
    ) -> Result<Option<SemaphorePermit<'_>>> {
        let needs = self.needs(table, days, heaviest);
        let room = match wait {
            true => self.room.acquire_many(needs).await.map(Some),
            false => return Ok(self.room.try_acquire_many(needs).ok()),
        };
        room.map_err(|_| Error::interrupted())
    }

    /// What a window of the table takes of the room: a page, the next one, and the rows that wait.
    fn needs(&self, table: &Table, days: u64, heaviest: u64) -> u32 {
        const MIB: u64 = 1 << 20;
        let largest = self.track(table).meter.largest.load(Ordering::Relaxed);
        let bytes = match (largest, table.policy) {
            (0, _) => return UNKNOWN,
            // Buckets may come all in one answer.
            (_, Policy::Replace) => largest.max(heaviest * days) * 2,
            _ => largest * 2 + heaviest.min(SLICE),
        };
        u32::try_from(bytes / MIB + ROWS).unwrap_or(ROOM).min(ROOM)
    }

    fn track(&self, table: &Table) -> Arc<Track> {
        self.tracks.get(&table.name).map_or_else(|| Track::new(&table.name), Arc::clone)
    }
}

/// The run on a thread of its own, which asks and decodes; what it writes is encoded by the lake's threads.
///
/// An answer and its list are then handled without waking anybody. With a pool
/// of threads for all of it, each answer woke two of them, which cost a fifth
/// of a run; and a single thread decodes more than any network brings.
pub(crate) async fn run_apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    let failed = |e: std::io::Error| Error::usage(format!("no threads could be started: {e}"));
    let reader = Builder::new_current_thread().max_blocking_threads(FILE_THREADS).enable_all().build();
    let reader = reader.map_err(failed)?;
    let (end, ended) = oneshot::channel();
    let work = move || {
        let done = reader.block_on(work);
        // Nobody waits any more when the program ends in a hurry.
        let _ = end.send(done);
    };
    std::thread::Builder::new().name("reader".to_string()).spawn(work).map_err(failed)?;
    // The thread drops its end unused only by a panic.
    ended.await.map_err(|_| Error::internal())
}

/// Syncs the tables that have a track; each one's end is noted there.
pub(crate) async fn run(run: Arc<Run>) {
    let mut waiting: Vec<Arc<Table>> =
        run.catalog.iter().filter(|t| run.tracks.contains_key(&t.name)).cloned().collect();
    // Tables decoded from another one's answers are synced with it.
    waiting.retain(|t| t.same_as.is_none());
    let mut ended: BTreeMap<String, bool> = BTreeMap::new();
    let room = Arc::new(Semaphore::new(TABLES));
    let mut running = JoinSet::new();
    loop {
        let parent_of = |t: &Table| t.parent.as_ref().map(|p| p.table.clone());
        let (ready, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|t| parent_of(t).is_none_or(|p| ended.contains_key(&p)));
        waiting = later;
        for table in ready {
            let parent = parent_of(&table).filter(|p| ended.get(p) == Some(&false));
            let (run, room) = (Arc::clone(&run), Arc::clone(&room));
            running.spawn(async move {
                let _room = room.acquire_owned().await;
                let ended = panics::caught_async(async { Ok(guarded(&run, &table, parent).await) }).await;
                let good = ended.unwrap_or_else(|bug| {
                    group(&run, &table).iter().for_each(|t| run.track(t).end("failed", Some(&bug)));
                    false
                });
                (table.name.clone(), good)
            });
        }
        let Some(done) = running.join_next().await else { break };
        // A task that was stopped says nothing more; a panic was caught inside.
        if let Ok((name, good)) = done {
            ended.insert(name, good);
        }
    }
}

/// One table with its end noted; false when its children cannot be read either.
async fn guarded(run: &Arc<Run>, table: &Arc<Table>, failed_parent: Option<String>) -> bool {
    let tracks: Vec<Arc<Track>> = group(run, table).iter().map(|t| run.track(t)).collect();
    let settled = run.state.lock().await.cursor(&table.name);
    tracks.iter().for_each(|t| t.start(settled));
    let outcome = match (&table.retired, failed_parent) {
        (Some(text), _) => Err(Error::new(Kind::Retired, text.clone())),
        (None, Some(parent)) => {
            let error = Error::new(Kind::Unavailable, format!("its parent table {parent} was not synced"));
            let error = error.hint(format!("see what is said of {parent}"));
            tracks.iter().for_each(|t| t.end("skipped", Some(&error)));
            return false;
        }
        (None, None) => tokio::select! {
            done = sync(run, table) => done,
            () = run.stop.cancelled() => Err(Error::new(Kind::Interrupted, "the run was interrupted; what was committed stays")),
        },
    };
    match outcome {
        Ok(()) => tracks.iter().for_each(|t| t.end("ok", None)),
        // Gone upstream for good: told, but nobody's failure.
        Err(error) if error.kind == Kind::Retired => {
            let cure = error.cure().map(|cure| format!("; {cure}")).unwrap_or_default();
            tracks.iter().for_each(|t| t.warn(format!("{error}{cure}")));
            tracks.iter().for_each(|t| t.end(error.kind.word(), None));
            return false;
        }
        Err(error) => {
            tracing::debug!(table = %table.name, %error, "ended");
            let status = match error.kind {
                Kind::WrongKey | Kind::Forbidden | Kind::NotThere | Kind::HeldBack | Kind::Interrupted => {
                    error.kind.word()
                }
                _ => "failed",
            };
            tracks.iter().for_each(|t| t.end(status, Some(&error)));
            return false;
        }
    }
    true
}

/// The table and those that are decoded from the same answers.
fn group(run: &Run, table: &Arc<Table>) -> Vec<Arc<Table>> {
    let follows =
        |t: &&Arc<Table>| t.same_as.as_deref() == Some(table.name.as_str()) && run.tracks.contains_key(&t.name);
    std::iter::once(table).chain(run.catalog.iter().filter(follows)).map(Arc::clone).collect()
}

async fn sync(run: &Arc<Run>, table: &Arc<Table>) -> Result<()> {
    let tables = group(run, table);
    let Some(slices) = &table.slices else { return whole(run, table, &tables).await };
    windows::sync(run, &tables, table, slices).await?;
    if let Some(files) = &table.files {
        freshness::note(run, table, files).await?;
    }
    for table in tables.iter().filter(|_| run.download_files) {
        contents::keep(run, table).await?;
    }
    Ok(())
}

/// A table that is one object: read whole, or down to what is known.
async fn whole(run: &Run, table: &Arc<Table>, tables: &[Arc<Table>]) -> Result<()> {
    let known = run.state.lock().await.tables.get(&table.name).cloned();
    let marks: Vec<_> = tables.iter().map(|t| run.track(t)).map(|track| (track.mark(), track)).collect();
    let mut drained = loop {
        let micros = run.micros();
        let part = Part::of(&run.lake, table, known.as_ref(), run.time(table), run.wish).await?;
        let sinks = tables.iter().map(|t| Sink::new(&run.lake, t, None, micros)).collect();
        let drained = read::drain(run, table, sinks, None, part.as_ref(), read::ALL).await;
        // The first response tells the time, and rows are stamped with it: after it this is always so.
        if run.stamped() == micros {
            break drained?;
        }
        if let Ok(drained) = drained {
            drained.abandon().await;
        }
        marks.iter().for_each(|(mark, track)| track.back_to(mark));
    };
    run.tell_the_time(table);
    let Extent { in_part, torn } = drained.extent;
    if torn && table.is_read_in_part() {
        // Before the rows can be seen: behind half of a list the next run would stop too early.
        let mut state = run.state.lock().await;
        state.note_full_refresh(&table.name, None);
        run.state_file.save(&state).await?;
    }
    if in_part {
        tables.iter().for_each(|table| run.track(table).read_in_part());
    }
    let held = match hold_back::examine(run, tables, &mut drained).await {
        Ok(held) => held,
        Err(error) => {
            drained.abandon().await;
            return Err(error);
        }
    };
    commit(run, drained, tables, &[]).await?;
    let is_full = !in_part && !torn && !held.is_held();
    held.note(run, in_part).await;
    checkpoint(run, table, tables, is_full).await
}

/// Lets the rows of one drained request appear.
async fn commit(
    run: &Run,
    drained: read::Drained,
    tables: &[Arc<Table>],
    existing: &[BTreeSet<NaiveDate>],
) -> Result<()> {
    run.keep_the_time().await?;
    let parents = drained.parents.map(Arc::new);
    let mut sinks = drained.sinks;
    // Nothing appears before all tables of the answer are known to be good.
    let mut outcome = Ok(());
    for (index, sink) in sinks.iter_mut().enumerate() {
        let existing = existing.get(index);
        outcome = outcome.and(complete(run, &tables[index], sink, existing, parents.as_deref(), index > 0).await);
    }
    let mut sinks = sinks.into_iter().zip(tables);
    if outcome.is_ok() {
        for (sink, table) in sinks.by_ref() {
            outcome = sink.commit(parents.clone(), run.track(table)).await;
            if outcome.is_err() {
                break;
            }
        }
    }
    for (sink, _) in sinks {
        sink.abandon().await;
    }
    outcome
}

/// Notes what a table's rows are like; an error if they must not appear.
async fn complete(
    run: &Run,
    table: &Table,
    sink: &mut Sink,
    existing: Option<&BTreeSet<NaiveDate>>,
    parents: Option<&Parents>,
    follows: bool,
) -> Result<()> {
    let track = run.track(table);
    if follows {
        // Those of the first table are counted as they come, for the display.
        track.rows.fetch_add(sink.rows_read, Ordering::Relaxed);
    }
    let strict = sink.misfits().iter().next().filter(|_| run.strict).map(|(column, misfit)| {
        Error::contract(format!("`{column}`: {}", misfit.example))
            .hint("--strict, or `strict = true` in the configuration, makes a value that does not fit its column an error; without it the value is kept in _extra")
    });
    let unanswered = match &strict {
        Some(_) => Ok(Unanswered::default()),
        None => sink.drained(existing.unwrap_or(&BTreeSet::new()), parents).await,
    };
    track.misfits(sink.misfits(), strict.is_none() && unanswered.is_ok());
    if let Some(error) = strict {
        return Err(error);
    }
    let unanswered = unanswered?;
    track.repaired(sink.repaired());
    track.unanswered(&unanswered.kept, &unanswered.emptied);
    if sink.outside() > 0 {
        let rows = counted(sink.outside(), "row");
        track.warn(format!("dropped {rows} outside the requested window: only a request for a whole day replaces it"));
    }
    if let (Some(slices), true) = (&table.slices, sink.dayless() > 0) {
        let (rows, by) = (counted(sink.dayless(), "row"), &table.columns[slices.by].name);
        track.warn(format!("{rows} without a time in `{by}`, kept in date=1970-01-01"));
    }
    match unanswered.kept.first() {
        Some(day) if run.strict => Err(Error::contract(format!(
            "the response does not speak of {}, the first of which is {day}, and rows of it are in the lake",
            counted(unanswered.kept.len() as u64, "day")
        ))
        .hint("--strict makes a day that was not answered an error; without it the day keeps its rows, and a warning names it")),
        _ => Ok(()),
    }
}

/// Notes that a table and its followers were read now, and saves the state. `is_full`: every list was read to its end.
async fn checkpoint(run: &Run, table: &Table, tables: &[Arc<Table>], is_full: bool) -> Result<()> {
    let (bound, time) = (run.bound(table), run.time(table));
    let mut state = run.state.lock().await;
    for table in tables {
        // A cursor that is later than now was written by a run with a wrong clock.
        let before = state.cursor(&table.name).filter(|before| *before <= time);
        let cursor = before.map_or(bound, |before| before.max(bound));
        state.set_cursor(&table.name, cursor);
        run.track(table).settled(cursor);
        if is_full && table.is_read_in_part() {
            state.note_full_refresh(&table.name, Some(bound));
        }
    }
    run.state_file.save(&state).await
}
