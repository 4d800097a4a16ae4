//! Windowed tables: the windows of each group of scopes, read at the same time and committed in order.
//!
//! The source's clock is known from the first response on. A plan that was made before it, by this machine's clock,
//! is made again if the two do not agree: nothing of it was committed, because the first window is read alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Duration, NaiveDate, Utc};

use super::pending::{self, Seen};
use super::read::{self, Pieces, hold};
use super::scopes::{self, Cursors, Group};
use super::sink::Sink;
use super::{FULL, Run, WINDOWS, commit};
use crate::console::typed;
use crate::error::{Error, Kind, Result};
use crate::plan::{self, Start, Window};
use crate::report::Gap;
use crate::schema::{Slices, Table};

/// How much later than this machine's clock a cursor may be where the source tells no time: a day, for clocks that
/// are set wrong by their time zone.
const DOUBT: Duration = Duration::days(1);

/// What one group of scopes is to be asked.
struct Planned {
    now: DateTime<Utc>,
    /// Whether `now` is the source's time.
    is_known: bool,
    start: Start,
    windows: Vec<Window>,
}

/// How the reading of a group went.
enum Outcome {
    /// With the scopes whose windows the API refuses in a way that each can be asked about otherwise, alone.
    Read(BTreeSet<String>),
    /// The source's time is another one than the plan's: nothing was committed.
    OtherTime,
}

struct Windows<'a> {
    run: &'a Arc<Run>,
    tables: &'a [Arc<Table>],
    table: &'a Arc<Table>,
    slices: &'a Slices,
    existing: Vec<BTreeSet<NaiveDate>>,
    cursors: Cursors,
    newest: Option<Window>,
    /// The log files that this run has tried.
    tried: Seen,
    /// The time that no cursor passes: one for all scopes, or what was read together would have to be read apart.
    bound: Option<DateTime<Utc>>,
}

/// Reads what is new of a table and its followers, for each of its scopes.
pub(super) async fn sync(run: &Arc<Run>, tables: &[Arc<Table>], table: &Arc<Table>, slices: &Slices) -> Result<()> {
    let mut existing = Vec::new();
    for table in tables {
        existing.push(run.lake.days(table).await?);
    }
    let names = scopes::names(run, table).await?;
    let cursors = scopes::load(run, tables, &names).await?;
    pending::report(run, tables, &*run.state.lock().await);
    let mut groups = VecDeque::from(scopes::groups(&cursors));
    let mut windows =
        Windows { run, tables, table, slices, existing, cursors, newest: None, tried: Seen::default(), bound: None };
    let (mut is_read, mut failure) = (groups.is_empty(), None);
    while let Some(group) = groups.pop_front() {
        match windows.group(&group).await {
            Ok(apart) => {
                is_read |= apart.len() < group.scopes.len();
                let alone = |scope: String| {
                    let cursor = windows.cursors.get(&scope).copied().flatten();
                    Group { scopes: Arc::new(BTreeSet::from([scope])), cursor }
                };
                groups.extend(apart.into_iter().map(alone));
            }
            Err(error) if names.len() > 1 && is_of_scopes(&error) => {
                windows.skip(&group, &error);
                failure.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match failure {
        Some(error) if !is_read => Err(error),
        _ if table.files.is_some() => {
            pending::retry(run, tables, &windows.existing, std::mem::take(&mut windows.tried)).await?;
            windows.empty().await
        }
        _ => windows.empty().await,
    }
}

/// Whether other scopes can be read all the same.
fn is_of_scopes(error: &Error) -> bool {
    !matches!(error.kind, Kind::Storage | Kind::Integrity | Kind::Interrupted | Kind::Usage)
}

impl Windows<'_> {
    /// Reads one group; returns the scopes to ask about alone.
    async fn group(&mut self, group: &Group) -> Result<BTreeSet<String>> {
        let marks: Vec<_> = self.tables.iter().map(|t| self.run.track(t)).map(|track| (track.mark(), track)).collect();
        loop {
            let planned = self.plan(group);
            match self.read(group, &planned).await? {
                Outcome::Read(apart) => return Ok(apart),
                Outcome::OtherTime => marks.iter().for_each(|(mark, track)| track.back_to(mark)),
            }
        }
    }

    fn plan(&self, group: &Group) -> Planned {
        let (run, slices, policy) = (self.run, self.slices, self.table.policy);
        let is_known = run.offset(self.table).is_some();
        let now = run.time(self.table);
        // A cursor that is later than this machine's clock is right if the clock is slow: the first response tells.
        let cursor = group.cursor.filter(|cursor| !is_known && *cursor >= now);
        let now = cursor.map_or(now, |cursor| cursor + Duration::seconds(1));
        let start = plan::start(slices, policy, group.cursor, now);
        let windows = plan::windows(slices, policy, start.cursor, now, run.wish);
        Planned { now, is_known, start, windows }
    }

    async fn read(&mut self, group: &Group, planned: &Planned) -> Result<Outcome> {
        let (run, tables) = (self.run, self.tables);
        let days = |window: Window| window.days().count().max(1) as u64;
        let only = (group.scopes.len() < self.cursors.len()).then(|| Arc::clone(&group.scopes));
        let several = group.scopes.len() > 1;
        // Each in a task of its own, so that the others go on while one is committed.
        let read =
            |window| run.lake.spawn(read::window(Arc::clone(run), tables.to_vec(), window, only.clone(), several));
        let (mut windows, mut reads) = (VecDeque::from(planned.windows.clone()), VecDeque::new());
        // The first window is read alone: it tells the time, how large the pages are, and how much a day brings.
        let (mut width, mut heaviest) = (1, 1);
        let mut known = planned.start.cursor.is_some();
        let (mut held, mut apart, mut is_told) = (BTreeSet::new(), BTreeSet::new(), false);
        loop {
            while reads.len() < width
                && let Some(window) = windows.pop_front()
            {
                let (window, rest) = plan::cut(window, FULL / heaviest);
                rest.into_iter().for_each(|rest| windows.push_front(rest));
                // Who holds room does not wait for more: it is given back only when its windows are committed.
                let Some(room) = run.room_for(self.table, days(window), heaviest, reads.is_empty()).await? else {
                    windows.push_front(window);
                    break;
                };
                reads.push_back((room, read(window)));
            }
            let Some((_room, read)) = reads.pop_front() else { break };
            let pieces = read.await.map_err(|e| Error::of_task(&e))?;
            if !is_told {
                if self.is_other_time(planned) {
                    abandon(pieces).await;
                    return Ok(Outcome::OtherTime);
                }
                // Who was answered nothing knows no more of the time than before.
                if pieces.is_ok() || run.offset(self.table).is_some() {
                    self.tell(group, planned)?;
                }
                is_told = true;
            }
            width = WINDOWS;
            let pieces = pieces?;
            run.stamped();
            for (window, mut drained) in pieces {
                heaviest = heaviest.max(drained.bytes_read() / days(window));
                let (mut holds, files) = (std::mem::take(&mut drained.holds), std::mem::take(&mut drained.files));
                apart.append(&mut drained.apart);
                let unanswered = drained.unanswered(&mut known, planned.now);
                commit(run, drained, tables, &self.existing).await?;
                self.tried.note(run, tables, files, &mut holds).await;
                unanswered.into_iter().for_each(|(scope, time)| hold(&mut holds, scope, time));
                self.checkpoint(group, planned, window, &holds, &mut held).await?;
            }
        }
        if !is_told {
            self.tell(group, planned)?;
        }
        self.newest = self.newest.or(planned.windows.last().copied());
        Ok(Outcome::Read(apart))
    }

    /// Whether the plan was made by a clock that the source's does not agree with.
    fn is_other_time(&self, planned: &Planned) -> bool {
        !planned.is_known && self.run.offset(self.table).is_some() && self.run.time(self.table) != planned.now
    }

    /// Moves the cursors of a group behind one window, as far as each was read and the source's clock has come.
    async fn checkpoint(
        &mut self,
        group: &Group,
        planned: &Planned,
        window: Window,
        holds: &BTreeMap<String, DateTime<Utc>>,
        held: &mut BTreeSet<String>,
    ) -> Result<()> {
        let bound = *self.bound.get_or_insert_with(|| self.run.bound(self.table));
        for scope in group.scopes.iter() {
            let Some(cursor) = self.cursors.get_mut(scope) else { continue };
            if *cursor == group.cursor {
                // The first window of this scope: from here on the cursor is the one that the plan went on from.
                *cursor = planned.start.cursor;
            }
            let mut is_held = held.contains(scope);
            if let Some(settles) = plan::settles(window, holds.get(scope).copied(), &mut is_held) {
                *cursor = plan::advance(*cursor, plan::until(settles, bound), self.table.policy);
            }
            if is_held {
                held.insert(scope.clone());
            }
        }
        scopes::save(self.run, self.tables, &self.cursors).await
    }

    /// Says what the plan means, once it is known to be right.
    fn tell(&self, group: &Group, planned: &Planned) -> Result<()> {
        let (track, wish) = (self.run.track(self.table), self.run.wish);
        let of = |text: String| match group.scopes.len() < self.cursors.len() {
            true => format!("{}: {text}", names(group)),
            false => text,
        };
        self.run.tell_the_time(self.table);
        self.doubt(group, planned)?;
        if let Some(cursor) = planned.start.untrue {
            track.warn(of(format!(
                "the cursor {} was later than the source's time {}, so a run with a wrong clock wrote it: the whole history is read again",
                shown(cursor),
                shown(planned.now),
            )));
        }
        let start = group.cursor.filter(|_| planned.start.untrue.is_none());
        let since =
            wish.since.or_else(|| start.is_none().then(|| planned.now - Duration::seconds(self.slices.history)));
        match (planned.start.gap, start) {
            (Some(gap), Some(cursor)) => {
                let kept = self.slices.retention.unwrap_or_default() / 86_400;
                track.warn(of(format!(
                    "the last sync was {} days ago and the source keeps {kept}: what happened from {} to {} is lost",
                    (planned.now - cursor).num_days(),
                    shown(gap.start),
                    shown(gap.end),
                )));
                track.gap(Gap { scope: names(group), from: gap.start, to: gap.end });
            }
            (None, Some(cursor)) => {
                plan::nears_the_limit(self.slices, cursor, planned.now)
                    .into_iter()
                    .for_each(|text| track.warn(of(text)));
            }
            _ => {}
        }
        let first = planned.windows.first().map(|window| window.start);
        if let (Some(since), Some(first)) = (since, first)
            && since < first - Duration::days(1)
        {
            let kept = self.slices.retention.unwrap_or_default() / 86_400;
            track.warn(of(format!("the source keeps {kept} days: nothing before {} was asked for", shown(first))));
        }
        if let (Some(since), None) = (wish.since, start) {
            let day = since.format("%Y-%m-%d");
            track.warn(of(format!("what lies before {day} was not asked for; --full-refresh reads it")));
        }
        Ok(())
    }

    /// A source that tells no time, and a cursor that this machine's clock has not reached.
    fn doubt(&self, group: &Group, planned: &Planned) -> Result<()> {
        let Some(cursor) = group.cursor.filter(|cursor| *cursor > self.run.now) else { return Ok(()) };
        if planned.is_known || self.run.offset(self.table).is_some() || planned.windows.is_empty() {
            return Ok(());
        }
        let text = format!("the cursor {} is later than this machine's clock", shown(cursor));
        if cursor > self.run.now + DOUBT {
            let (name, dest) = (&self.table.name, typed(self.run.lake.shown()));
            return Err(Error::integrity(format!("{text}, and the source tells no time")).hint(format!(
                "set this machine's clock right; if a wrong clock wrote the state, `openai-elt state reset {name} --dest {dest}` lets the next sync read the table again"
            )));
        }
        self.run
            .track(self.table)
            .warn(format!("{text}, and the source tells no time: what is new is read when the clock has reached it"));
        Ok(())
    }

    /// Notes a group that could not be read, where its lists did not do so themselves.
    fn skip(&self, group: &Group, error: &Error) {
        let track = self.run.track(self.table);
        let skipped = track.report().skipped;
        for scope in group.scopes.iter().map(|scope| crate::console::plain(scope)) {
            if !skipped.iter().any(|known| known.parent == scope) {
                track.skip(scope, error);
            }
        }
    }

    /// An object without rows for each table that has none at all.
    async fn empty(&self) -> Result<()> {
        for (table, existing) in self.tables.iter().zip(&self.existing) {
            let track = self.run.track(table);
            if existing.is_empty() && track.report().objects.is_empty() {
                let mut sink = Sink::new(&self.run.lake, table, self.newest, self.run.micros());
                sink.empty().await?;
                sink.commit(None, track).await?;
            }
        }
        Ok(())
    }
}

async fn abandon(pieces: Result<Pieces>) {
    for (_, drained) in pieces.into_iter().flatten() {
        drained.abandon().await;
    }
}

fn names(group: &Group) -> String {
    let names: Vec<String> = group.scopes.iter().map(|scope| crate::console::plain(scope)).collect();
    names.join(", ")
}

fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%MZ").to_string()
}
