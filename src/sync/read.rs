//! Draining lists into sinks: every page of every unit, and what happens when one says no.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::files::Tried;
use super::part::Part;
use super::refusal::{Instead, instead};
use super::sink::{Sink, shown};
use super::tally::{Tally, note};
use super::units::{Step, Unit, parents, steps};
use super::{Run, files};
use crate::console::plain;
use crate::error::{Error, Result};
use crate::fetch::{Call, Content, FileRef, List, Text};
use crate::lake::{KeyMap, ParentFate, Parents};
use crate::plan::{self, Window};
use crate::report::{Gap, Track};
use crate::schema::{Policy, Table};

/// Lists of one table that are read at the same time; the rate budget decides how many really are.
const LISTS: usize = 64;

/// Sinks that have all their rows, and what became of the parents.
pub(crate) struct Drained {
    pub(super) sinks: Vec<Sink>,
    pub(super) parents: Option<Parents>,
    /// A list of these scopes failed: their cursors must not pass the time.
    pub(super) holds: Holds,
    /// Scopes that the API refuses in words that say how to ask instead: each is asked about alone.
    pub(super) apart: BTreeSet<String>,
    /// The scope of each list that was read to its end, by the hash of its parent.
    pub(super) scopes: KeyMap<String>,
    /// Of lists of files: what became of each.
    pub(super) files: Vec<Tried>,
    /// Snapshots: lists that ended although they had said that they go on.
    pub(super) broke_off: Vec<u128>,
    pub(super) extent: Extent,
}

/// The time that the cursor of a scope must not pass, by the scope's name.
pub(super) type Holds = BTreeMap<String, DateTime<Utc>>;

pub(super) fn hold(holds: &mut Holds, scope: String, time: DateTime<Utc>) {
    let held = holds.entry(scope).or_insert(time);
    *held = time.min(*held);
}

/// How much of the lists was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    /// A list was not read to its end, or not at all, because the rest is known.
    pub(super) in_part: bool,
    /// A list failed after some of its rows came: these look as if all before them were known.
    pub(super) torn: bool,
}

/// What the reading of many lists tells, in the order in which it happens.
pub(super) enum Event {
    Page(Arc<Unit>, Text),
    File(Arc<Unit>, Box<FileRef>, Content),
    FileFailed(Arc<Unit>, Box<FileRef>, Error),
    End(Arc<Unit>),
    /// A page was empty although the one before it said that the list goes on.
    BrokeOff(Arc<Unit>),
    /// The list goes on, but with rows that are known.
    Enough(Arc<Unit>),
    /// With whether a page of the list came before.
    Failed(Arc<Unit>, Error, bool),
    Keep(u128),
    /// A parent whose children are known.
    Unchanged(u128),
}

/// What a window came to: the time that each piece settles, and its rows, oldest first.
pub(super) type Pieces = Vec<(Window, Drained)>;

/// One question about a window, and the time that is settled by its answer.
struct Question {
    settles: Window,
    window: Window,
    without: Vec<String>,
}

/// Reads one window, in other words where the API refuses the first ones.
///
/// `only` are the scopes to read, if not all; `several` says whether they are more than one.
pub(super) async fn window(
    run: Arc<Run>,
    tables: Vec<Arc<Table>>,
    window: Window,
    only: Option<Arc<BTreeSet<String>>>,
    several: bool,
) -> Result<Pieces> {
    let Some(table) = tables.first() else { return Ok(Vec::new()) };
    let mut todo = vec![Question { settles: window, window, without: Vec::new() }];
    let mut done = Vec::new();
    while let Some(question) = todo.pop() {
        let window = question.window;
        if window.start >= window.end {
            done.push((question.settles, Drained::nothing(Vec::new())));
            continue;
        }
        let sinks = tables.iter().map(|t| Sink::new(&run.lake, t, Some(window), run.micros())).collect();
        let scopes = Scopes { only: only.as_deref(), several };
        let error = match drain(&run, table, sinks, Some((window, &question.without)), None, scopes).await {
            Ok(drained) => {
                done.push((question.settles, drained));
                continue;
            }
            Err(error) => error,
        };
        let refusal = error.refusal.as_ref();
        let change =
            refusal.and_then(|r| instead(r, &table.request.optional, &question.without, Some(window), run.time(table)));
        let Some(change) = change else {
            for (_, drained) in done {
                drained.abandon().await;
            }
            return Err(error.at(shown(window)));
        };
        run.track(table).warn(told(&change, &error));
        if let Instead::NotBefore(moment) = change
            && run.state.lock().await.cursor(&table.name).is_some_and(|cursor| cursor < moment)
        {
            let scope =
                only.iter().flat_map(|only| only.iter()).map(|scope| plain(scope)).collect::<Vec<_>>().join(", ");
            run.track(table).gap(Gap { scope, from: window.start, to: moment.min(window.end) });
        }
        todo.extend(again(question, change));
    }
    Ok(done)
}

fn told(change: &Instead, error: &Error) -> String {
    match change {
        Instead::Without(value) => format!("`{value}` is null: the API does not group by it here ({error})"),
        Instead::WithoutBefore(value, moment) => {
            format!("`{value}` is null before {}: the API groups by it only from then on", moment.format("%Y-%m-%d"))
        }
        Instead::NotBefore(moment) => {
            format!("the API gives nothing before {}: the history was cut there", moment.format("%Y-%m-%d"))
        }
    }
}

/// The questions to ask instead, the newest first, because the last one is asked next.
fn again(question: Question, change: Instead) -> Vec<Question> {
    let Question { settles, window, without } = question;
    match change {
        Instead::Without(value) => vec![Question { settles, window, without: [without, vec![value]].concat() }],
        Instead::WithoutBefore(value, moment) => {
            let moment = moment.min(window.end);
            let newer = Window { start: moment, end: window.end };
            let older = Window { start: window.start, end: moment };
            let reduced = [without.clone(), vec![value]].concat();
            vec![
                Question { settles: Window { start: moment, ..settles }, window: newer, without },
                Question { settles: Window { end: moment, ..settles }, window: older, without: reduced },
            ]
        }
        // What the API no longer gives is settled: there is nothing to come back for.
        Instead::NotBefore(moment) => {
            vec![Question { settles, window: Window { start: moment, end: window.end }, without }]
        }
    }
}

/// Reads all lists of a table, or of one window of it.
pub(super) async fn drain(
    run: &Run,
    table: &Arc<Table>,
    mut sinks: Vec<Sink>,
    window: Option<(Window, &[String])>,
    part: Option<&Arc<Part>>,
    scopes: Scopes<'_>,
) -> Result<Drained> {
    let passes = table.request.passes.len().max(1);
    let mut known = parents(table);
    let (mut holds, mut apart, mut refused, mut noted) = (Holds::new(), BTreeSet::new(), 0, Noted::default());
    for pass in 0..passes {
        let asked = Asked { window, pass, part, scopes };
        let outcome = lists(run, table, &mut sinks, &mut known, asked, &mut noted).await;
        match outcome {
            Ok(mut outcome) => {
                outcome.holds.into_iter().for_each(|(scope, time)| hold(&mut holds, scope, time));
                apart.append(&mut outcome.apart);
            }
            Err(error) if is_optional(table, pass) && is_refusal(&error) && refused + 1 < passes => {
                refused += 1;
                let asked = table.request.passes.get(pass).map(ToString::to_string).unwrap_or_default();
                run.track(table).warn(format!("what {asked} would add is not offered to this key: {error}"));
            }
            Err(error) => {
                Drained::nothing(sinks).abandon().await;
                return Err(error);
            }
        }
    }
    let Noted { extent, scopes, files, broke_off } = noted;
    Ok(Drained { sinks, parents: known, holds, apart, scopes, files, broke_off, extent })
}

/// A pass that asks for something in addition; the one that asks for nothing special is the table itself.
fn is_optional(table: &Table, pass: usize) -> bool {
    table.request.optional_passes && table.request.passes.get(pass).is_some_and(|p| !p.0.is_empty())
}

fn is_refusal(error: &Error) -> bool {
    error.refusal.as_ref().is_some_and(|r| matches!(r.status, 400 | 403 | 404))
}

impl Drained {
    pub(super) fn nothing(sinks: Vec<Sink>) -> Drained {
        Drained {
            sinks,
            parents: None,
            holds: Holds::new(),
            apart: BTreeSet::new(),
            scopes: KeyMap::default(),
            files: Vec::new(),
            broke_off: Vec::new(),
            extent: Extent::default(),
        }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.sinks.first().map_or(0, |sink| sink.bytes_read)
    }

    /// The first day that the cursor of each scope must not pass, because an answer that lists all days did not
    /// speak of it.
    ///
    /// `known`: the table was read before. It becomes true with the first day that is answered.
    pub(super) fn unanswered(&self, known: &mut bool, now: DateTime<Utc>) -> Holds {
        let mut holds = Holds::new();
        let sink = self.sinks.first().filter(|sink| sink.lists_days());
        let Some((window, answered)) = sink.and_then(|sink| Some((sink.window()?, sink.answered_days()))) else {
            return holds;
        };
        let known = std::mem::replace(known, *known || answered.values().any(|days| !days.is_empty()));
        if self.parents.is_none() {
            let time = plan::unanswered(window, &answered.into_values().flatten().collect(), known, now);
            time.into_iter().for_each(|time| hold(&mut holds, String::new(), time));
            return holds;
        }
        for (parent, days) in answered {
            // A parent that is new has no days before it was made.
            if let (Some(scope), Some(time)) = (self.scopes.get(&parent), plan::unanswered(window, &days, false, now)) {
                hold(&mut holds, scope.clone(), time);
            }
        }
        holds
    }

    pub(super) async fn abandon(self) {
        for sink in self.sinks {
            sink.abandon().await;
        }
    }
}

/// What is to be remembered of all lists.
#[derive(Default)]
struct Noted {
    extent: Extent,
    scopes: KeyMap<String>,
    files: Vec<Tried>,
    broke_off: Vec<u128>,
}

/// What is asked of each list.
#[derive(Clone, Copy)]
struct Asked<'a> {
    window: Option<(Window, &'a [String])>,
    pass: usize,
    part: Option<&'a Arc<Part>>,
    scopes: Scopes<'a>,
}

/// Which scopes are read. The rows of the others stay as they are.
#[derive(Clone, Copy)]
pub(super) struct Scopes<'a> {
    only: Option<&'a BTreeSet<String>>,
    several: bool,
}

pub(super) const ALL: Scopes<'_> = Scopes { only: None, several: true };

/// What became of the lists that were not read.
#[derive(Default)]
struct Unread {
    holds: Holds,
    apart: BTreeSet<String>,
}

async fn lists(
    run: &Run,
    table: &Arc<Table>,
    sinks: &mut [Sink],
    known: &mut Option<Parents>,
    asked: Asked<'_>,
    noted: &mut Noted,
) -> Result<Unread> {
    let track = run.track(table);
    let mut events = events(run, table, asked).await?;
    let mut tally = Tally::new(table.parent.is_some() || run.sources(table).nth(1).is_some());
    let mut unread = Unread::default();
    // A list that failed is asked for this window again: the cursor stays before it.
    let fail = |unread: &mut Unread, unit: &Unit| {
        if let Some((window, _)) = asked.window {
            hold(&mut unread.holds, unit.scope(table), window.start);
        }
    };
    while let Some(event) = events.try_next().await? {
        match event {
            Event::Keep(hash) => note(known, hash, ParentFate::Keep),
            Event::Unchanged(hash) => {
                noted.extent.in_part = true;
                // Its list was read before: the table is not one of which nothing can be read.
                tally.good += 1;
                note(known, hash, ParentFate::Keep);
            }
            Event::End(unit) => match sinks.first().and_then(|sink| sink.foreign(unit.hash(table))) {
                Some(error) => {
                    tally.fail(error, &unit, table, known, &track)?;
                    fail(&mut unread, &unit);
                }
                None => {
                    tally.good += 1;
                    note(known, unit.hash(table), ParentFate::Read);
                    noted.scopes.insert(unit.hash(table), unit.scope(table));
                }
            },
            Event::BrokeOff(unit) => {
                tally.good += 1;
                track.warn(broke_off(&unit, table).to_string());
                noted.broke_off.push(unit.hash(table));
                noted.extent.torn = true;
                note(known, unit.hash(table), ParentFate::Read);
            }
            Event::Enough(unit) => {
                tally.good += 1;
                noted.extent.in_part = true;
                note(known, unit.hash(table), ParentFate::Keep);
            }
            Event::Page(unit, text) => {
                if let Err(error) = page(sinks, &unit, table, &text, &track).await {
                    noted.extent.torn = true;
                    tally.fail(error, &unit, table, known, &track)?;
                    fail(&mut unread, &unit);
                }
            }
            Event::File(unit, file, content) => {
                noted.files.push(super::files::take(sinks, &unit, table, file, content, &track).await?)
            }
            Event::FileFailed(unit, file, error) => {
                noted.files.push(super::files::refused(&unit, table, file, error, &track)?)
            }
            Event::Failed(unit, error, _) if asked.can_be_said_otherwise(run, table, &error) => {
                if !asked.scopes.several {
                    return Err(error);
                }
                note(known, unit.hash(table), ParentFate::Keep);
                fail(&mut unread, &unit);
                unread.apart.insert(unit.scope(table));
            }
            Event::Failed(unit, error, begun) => {
                noted.extent.torn |= begun;
                tally.fail(error, &unit, table, known, &track)?;
                fail(&mut unread, &unit);
            }
        }
    }
    if unread.apart.is_empty() {
        tally.verdict()?;
    }
    Ok(unread)
}

impl Asked<'_> {
    /// Whether the API's refusal says how to ask for this window instead.
    fn can_be_said_otherwise(&self, run: &Run, table: &Table, error: &Error) -> bool {
        let (Some((window, without)), Some(refusal)) = (self.window, &error.refusal) else { return false };
        instead(refusal, &table.request.optional, without, Some(window), run.time(table)).is_some()
    }
}

/// One answer into every sink.
async fn page(sinks: &mut [Sink], unit: &Unit, table: &Table, text: &str, track: &Track) -> Result<()> {
    let parent = unit.hash(table);
    let bound = |name: &str| unit.value(name).map(str::to_string);
    for (index, sink) in sinks.iter_mut().enumerate() {
        let rows = sink.page(text, &bound, parent).await?;
        if index == 0 {
            track.rows.fetch_add(rows as u64, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// A list whose next page was promised and came empty: what it would have held is not known to be gone.
fn broke_off(unit: &Unit, table: &Table) -> Error {
    let list = unit.shown(table);
    let list = if list.is_empty() { "the list".to_string() } else { format!("the list of {list}") };
    Error::contract(format!("{list} ended with an empty page although the page before it said that more follow"))
        .hint("the next sync reads the list again; if its source ends lists so, say `empty_ends = true` in a table file for --schemas")
}

async fn events<'a>(run: &'a Run, table: &'a Arc<Table>, asked: Asked<'a>) -> Result<BoxStream<'a, Result<Event>>> {
    let track = run.track(table);
    let Asked { window, pass, part, scopes } = asked;
    let lists = steps(run, table, part).await?.map(move |step| -> Result<BoxStream<'a, Result<Event>>> {
        let unit = match step? {
            Step::Keep(hash) => return Ok(stream::iter([Ok(Event::Keep(hash))]).boxed()),
            Step::Unchanged(hash) => return Ok(stream::iter([Ok(Event::Unchanged(hash))]).boxed()),
            Step::Read(unit) if scopes.only.is_some_and(|only| !only.contains(&unit.scope(table))) => {
                return Ok(stream::iter([Ok(Event::Keep(unit.hash(table)))]).boxed());
            }
            Step::Read(unit) => Arc::new(unit),
        };
        let call = Call::new(table, |name| unit.value(name), window.map(|w| w.0), pass, window.map_or(&[], |w| w.1));
        let call = match call {
            Ok(call) => call,
            Err(why) => return Ok(stream::iter([Ok(Event::Failed(unit, Error::contract(why), false))]).boxed()),
        };
        let list = List::new(Arc::clone(&unit.client), Arc::clone(&track.meter), table, call);
        let list = list.until(part.and_then(|part| part.enough(table, &unit, run.micros())));
        let events = list_events(table, Arc::clone(&unit), list);
        Ok(match &table.files {
            None => events.boxed(),
            Some(files) => files::events(files, table.request.rows.first(), Arc::clone(&track.meter), events.boxed()),
        })
    });
    Ok(lists.try_flatten_unordered(LISTS).boxed())
}

/// A list's pages, then how it ended; an absent singleton is a list without rows.
fn list_events<'a>(
    table: &'a Table,
    unit: Arc<Unit>,
    list: List,
) -> impl futures::Stream<Item = Result<Event>> + Send + 'a {
    let end = Arc::clone(&unit);
    let pages = list.pages().map(Some).chain(stream::iter([None]));
    let (mut over, mut begun, mut cut, mut broken) = (false, false, false, false);
    pages.scan((), move |(), page| {
        let event = match page {
            _ if over => return std::future::ready(None),
            Some(Ok(page)) => {
                (begun, cut, broken) = (true, page.cut, page.broke_off);
                Event::Page(Arc::clone(&unit), page.text)
            }
            Some(Err(error)) => {
                over = true;
                let absent = error.refusal.as_ref().is_some_and(|r| table.request.absent.contains(&r.status));
                // In the middle of a list it says nothing of the pages that came.
                if absent && !begun {
                    Event::End(Arc::clone(&unit))
                } else {
                    Event::Failed(Arc::clone(&unit), error, begun)
                }
            }
            None if cut => Event::Enough(Arc::clone(&end)),
            None if broken && table.policy == Policy::Snapshot => Event::BrokeOff(Arc::clone(&end)),
            None if broken => Event::Failed(Arc::clone(&end), broke_off(&end, table), true),
            None => Event::End(Arc::clone(&end)),
        };
        std::future::ready(Some(Ok(event)))
    })
}
