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
mod parents;
mod part;
mod read;
mod refusal;
mod sink;
mod tally;
mod units;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, NaiveDate, Utc};
use tokio::runtime::Builder;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::FILE_THREADS;
use crate::error::{Error, Kind, Result};
use crate::lake::{Lake, State, StateFile};
use crate::plan::{self, Wish};
use crate::report::{Track, counted};
use crate::schema::{Catalog, Policy, Surface, Table};
pub(crate) use parents::count as count_parents;
pub(crate) use part::Part;
use read::Extent;
pub(crate) use refusal::{Instead, instead};
use sink::Sink;
pub(crate) use units::Source;

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

/// Everything that one run shares.
pub(crate) struct Run {
    pub(crate) catalog: Catalog,
    pub(crate) lake: Arc<Lake>,
    pub(crate) state_file: StateFile,
    pub(crate) state: Mutex<State>,
    pub(crate) sources: BTreeMap<Surface, Vec<Source>>,
    /// The moment of the run; read once.
    pub(crate) now: DateTime<Utc>,
    pub(crate) wish: Wish,
    pub(crate) strict: bool,
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

    fn micros(&self) -> i64 {
        self.now.timestamp_micros()
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
pub(crate) async fn run_apart(run: Arc<Run>) -> Result<()> {
    let failed = |e: std::io::Error| Error::usage(format!("no threads could be started: {e}"));
    let reader = Builder::new_current_thread().max_blocking_threads(FILE_THREADS).enable_all().build();
    let reader = reader.map_err(failed)?;
    let (end, ended) = oneshot::channel();
    let work = move || {
        reader.block_on(self::run(run));
        // Nobody waits any more when the program ends in a hurry.
        let _ = end.send(());
    };
    std::thread::Builder::new().name("reader".to_string()).spawn(work).map_err(failed)?;
    ended.await.map_err(|_| Error::usage("reading ended in a bug; please report it"))
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
                let good = guarded(&run, &table, parent).await;
                (table.name.clone(), good)
            });
        }
        let Some(done) = running.join_next().await else { break };
        match done {
            Ok((name, good)) => {
                ended.insert(name, good);
            }
            // A task that was stopped says nothing more.
            Err(e) if e.is_cancelled() => {}
            Err(e) => tracing::error!(error = %e, "a table ended in a bug; please report it"),
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
            let error = Error::new(Kind::Unavailable, format!("its parent table {parent} could not be read"));
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
                Kind::WrongKey | Kind::Forbidden | Kind::NotThere | Kind::Interrupted => error.kind.word(),
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
    let mut existing = Vec::new();
    for table in &tables {
        existing.push(run.lake.days(table).await?);
    }
    let settled = run.state.lock().await.cursor(&table.name);
    if let (Some(settled), Some(_)) = (settled, &table.files)
        && let Some(text) = plan::gap(settled, run.now, slices.history)
    {
        run.track(table).warn(text);
    }
    if let (Some(since), None) = (run.wish.since, settled) {
        let day = since.format("%Y-%m-%d");
        run.track(table).warn(format!("what lies before {day} was not asked for; --full-refresh reads it"));
    }
    let windows = plan::windows(slices, table.policy, settled, run.now, run.wish);
    let newest = windows.last().copied();
    let days = |window: plan::Window| window.days().count().max(1) as u64;
    // Each in a task of its own, so that the others go on while one is committed.
    let read = |window| run.lake.spawn(read::window(Arc::clone(run), tables.clone(), window));
    let (mut windows, mut reads) = (VecDeque::from(windows), VecDeque::new());
    // The first window is read alone: it tells how large the pages are, and how much a day brings.
    let (mut width, mut held, mut heaviest) = (1, false, 1);
    loop {
        while reads.len() < width
            && let Some(window) = windows.pop_front()
        {
            let (window, rest) = plan::cut(window, FULL / heaviest);
            rest.into_iter().for_each(|rest| windows.push_front(rest));
            // Who holds room does not wait for more: it is given back only when its windows are committed.
            let Some(room) = run.room_for(table, days(window), heaviest, reads.is_empty()).await? else {
                windows.push_front(window);
                break;
            };
            reads.push_back((room, read(window)));
        }
        let Some((_room, read)) = reads.pop_front() else { break };
        let pieces = read.await.map_err(|_| Error::interrupted())??;
        width = WINDOWS;
        for (window, drained) in pieces {
            let settles = plan::settles(window, drained.hold, &mut held);
            heaviest = heaviest.max(drained.bytes_read() / days(window));
            commit(run, drained, &tables, &existing).await?;
            if let Some(settles) = settles {
                checkpoint(run, &tables, |settled| plan::advance(settled, settles, table.policy), false).await?;
            }
        }
    }
    for (table, existing) in tables.iter().zip(&existing) {
        let track = run.track(table);
        if existing.is_empty() && track.report().objects.is_empty() {
            let mut sink = Sink::new(&run.lake, table, newest, run.micros());
            sink.empty().await?;
            sink.commit(None, track).await?;
        }
    }
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
    let part = Part::of(&run.lake, table, known, run.now, run.wish).await?;
    let sinks = tables.iter().map(|t| Sink::new(&run.lake, t, None, run.micros())).collect();
    let drained = read::drain(run, table, sinks, None, part.as_ref()).await?;
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
    commit(run, drained, tables, &[]).await?;
    checkpoint(run, tables, |_| Some(run.now), !in_part && !torn).await
}

/// Lets the rows of one drained request appear.
async fn commit(
    run: &Run,
    drained: read::Drained,
    tables: &[Arc<Table>],
    existing: &[BTreeSet<NaiveDate>],
) -> Result<()> {
    let none = BTreeSet::new();
    let mut sinks = drained.sinks.into_iter().enumerate();
    let parents = drained.parents.map(Arc::new);
    let mut outcome = Ok(());
    for (index, mut sink) in sinks.by_ref() {
        let track = run.track(&tables[index]);
        track.misfits(sink.misfits());
        if index > 0 {
            // Those of the first one are counted as they come, for the display.
            track.rows.fetch_add(sink.rows_read, Ordering::Relaxed);
        }
        if let (true, Some((column, misfit))) = (run.strict, sink.misfits().iter().next()) {
            outcome = Err(Error::contract(format!("`{column}`: {}", misfit.example))
                .hint("--strict makes a value that does not fit its column an error of the table"));
            sink.abandon().await;
            break;
        }
        outcome = sink.drained(existing.get(index).unwrap_or(&none)).await;
        if outcome.is_err() {
            sink.abandon().await;
            break;
        }
        if sink.outside() > 0 {
            let rows = counted(sink.outside(), "row");
            track.warn(format!("{rows} outside the asked time: left to the request of their own day"));
        }
        outcome = sink.commit(parents.clone(), track).await;
        if outcome.is_err() {
            break;
        }
    }
    for (_, sink) in sinks {
        sink.abandon().await;
    }
    outcome
}

/// Moves the cursor of a table and its followers, and saves the state. `whole`: every list was read to its end.
async fn checkpoint(
    run: &Run,
    tables: &[Arc<Table>],
    moved: impl Fn(Option<DateTime<Utc>>) -> Option<DateTime<Utc>>,
    whole: bool,
) -> Result<()> {
    let mut state = run.state.lock().await;
    for table in tables {
        if let Some(settled) = moved(state.cursor(&table.name)) {
            state.set_cursor(&table.name, settled);
            run.track(table).settled(settled);
        }
        if whole && table.is_read_in_part() {
            state.note_full_refresh(&table.name, Some(run.now));
        }
    }
    run.state_file.save(&state).await
}
