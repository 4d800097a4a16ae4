//! Draining lists into sinks: every page of every unit, and what happens when one says no.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::refusal::{Instead, instead};
use super::sink::Sink;
use super::units::{Step, Unit, parents, steps};
use super::{Run, files};
use crate::console::plain;
use crate::error::{Error, Kind, Result};
use crate::fetch::{Call, FileRef, List};
use crate::lake::{ParentFate, Parents};
use crate::plan::Window;
use crate::report::Track;
use crate::schema::Table;

/// Lists of one table that are read at the same time; the rate budget decides how many really are.
const LISTS: usize = 64;

/// When so many parents in a row, from the first on, are refused for one reason, it is the table's.
const ALL_REFUSED: usize = 20;

/// Sinks that have all their rows, and what became of the parents.
pub(crate) struct Drained {
    pub(super) sinks: Vec<Sink>,
    pub(super) parents: Option<Parents>,
    /// A file failed: the settled cursor must not pass its time.
    pub(super) hold: Option<DateTime<Utc>>,
}

/// What the reading of many lists tells, in the order in which it happens.
pub(super) enum Event {
    Page(Arc<Unit>, String),
    File(Arc<Unit>, Box<FileRef>, String),
    /// With the time that the cursor must not pass; none when the source has forgotten the file.
    FileFailed(Option<DateTime<Utc>>, Error),
    End(Arc<Unit>),
    Failed(Arc<Unit>, Error),
    Keep(u128),
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
pub(super) async fn window(run: Arc<Run>, tables: Vec<Arc<Table>>, window: Window) -> Result<Pieces> {
    let Some(table) = tables.first() else { return Ok(Vec::new()) };
    let _room = run.room.acquire_many(run.needs(table)).await;
    let mut todo = vec![Question { settles: window, window, without: Vec::new() }];
    let mut done = Vec::new();
    while let Some(question) = todo.pop() {
        let window = question.window;
        if window.start >= window.end {
            done.push((question.settles, Drained { sinks: Vec::new(), parents: None, hold: None }));
            continue;
        }
        let sinks = tables.iter().map(|t| Sink::new(&run.lake, t, Some(window), run.micros())).collect();
        let error = match drain(&run, table, sinks, Some((window, &question.without))).await {
            Ok(drained) => {
                done.push((question.settles, drained));
                continue;
            }
            Err(error) => error,
        };
        let refusal = error.refusal.as_ref();
        let change =
            refusal.and_then(|r| instead(r, &table.request.optional, &question.without, Some(window), run.now));
        let Some(change) = change else {
            for (_, drained) in done {
                drained.abandon().await;
            }
            let days = format!("{}..{}", window.start.format("%Y-%m-%d"), window.end.format("%Y-%m-%dT%H:%MZ"));
            return Err(error.at(days));
        };
        run.track(table).warn(told(&change, &error));
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
) -> Result<Drained> {
    let passes = table.request.passes.len().max(1);
    let mut known = parents(table);
    let (mut hold, mut refused) = (None, 0);
    for pass in 0..passes {
        let outcome = lists(run, table, &mut sinks, &mut known, window, pass).await;
        match outcome {
            Ok(held) => hold = [hold, held].into_iter().flatten().min(),
            Err(error) if is_optional(table, pass) && is_refusal(&error) && refused + 1 < passes => {
                refused += 1;
                let asked = table.request.passes.get(pass).map(ToString::to_string).unwrap_or_default();
                run.track(table).warn(format!("what {asked} would add is not offered to this key: {error}"));
            }
            Err(error) => {
                Drained { sinks, parents: None, hold: None }.abandon().await;
                return Err(error);
            }
        }
    }
    Ok(Drained { sinks, parents: known, hold })
}

/// A pass that asks for something in addition; the one that asks for nothing special is the table itself.
fn is_optional(table: &Table, pass: usize) -> bool {
    table.request.optional_passes && table.request.passes.get(pass).is_some_and(|p| !p.0.is_empty())
}

fn is_refusal(error: &Error) -> bool {
    error.refusal.as_ref().is_some_and(|r| matches!(r.status, 400 | 403 | 404))
}

impl Drained {
    pub(super) async fn abandon(self) {
        for sink in self.sinks {
            sink.abandon().await;
        }
    }
}

async fn lists(
    run: &Run,
    table: &Arc<Table>,
    sinks: &mut [Sink],
    known: &mut Option<Parents>,
    window: Option<(Window, &[String])>,
    pass: usize,
) -> Result<Option<DateTime<Utc>>> {
    let track = run.track(table);
    let mut events = events(run, table, window, pass).await?;
    let mut tally = Tally { alone: table.parent.is_some() || run.sources(table).nth(1).is_some(), ..Tally::default() };
    let mut hold = None;
    // A list that failed is asked for this window again: the cursor stays before it.
    let held = || window.map(|(window, _)| window.start);
    while let Some(event) = events.try_next().await? {
        match event {
            Event::Keep(hash) => note(known, hash, ParentFate::Keep),
            Event::End(unit) => {
                tally.good += 1;
                note(known, unit.hash(table), ParentFate::Read);
            }
            Event::Page(unit, text) => {
                if let Err(error) = page(sinks, &unit, &text, &track).await {
                    tally.fail(error, &unit, table, known, &track)?;
                    hold = held();
                }
            }
            Event::File(unit, file, text) => lines(sinks, &unit, &file, &text, &track).await?,
            Event::FileFailed(time, error) => {
                hold = [hold, time].into_iter().flatten().min();
                track.skip("a log file".to_string(), &error);
            }
            Event::Failed(unit, error) => {
                tally.fail(error, &unit, table, known, &track)?;
                hold = held();
            }
        }
    }
    tally.verdict()?;
    Ok(hold)
}

/// How the lists of one table went.
#[derive(Default)]
struct Tally {
    /// Whether one list may fail alone: there are others.
    alone: bool,
    good: usize,
    bad: usize,
    last: Option<Error>,
}

impl Tally {
    /// One list's failure: the parent's alone, or the whole table's.
    fn fail(
        &mut self,
        error: Error,
        unit: &Unit,
        table: &Table,
        known: &mut Option<Parents>,
        track: &Track,
    ) -> Result<()> {
        let of_the_table = match error.kind {
            Kind::Storage | Kind::Integrity | Kind::Interrupted | Kind::Usage => true,
            Kind::WrongKey => table.parent.is_some(),
            _ => false,
        };
        if of_the_table || !self.alone {
            return Err(error);
        }
        note(known, unit.hash(table), ParentFate::Keep);
        let shown = unit.shown(table);
        self.bad += 1;
        self.last = Some(error.clone().at(shown.clone()));
        track.skip(shown, &error);
        match self.good == 0 && self.bad >= ALL_REFUSED {
            true => self.verdict(),
            false => Ok(()),
        }
    }

    /// When not one list could be read, that is the table's failure.
    fn verdict(&mut self) -> Result<()> {
        match self.last.take() {
            Some(error) if self.good == 0 => {
                Err(error.at(format!("{} of {} lists failed, the last:", self.bad, self.bad)))
            }
            _ => Ok(()),
        }
    }
}

/// One answer into every sink.
async fn page(sinks: &mut [Sink], unit: &Unit, text: &str, track: &Track) -> Result<()> {
    let bound = |name: &str| unit.value(name).map(str::to_string);
    for (index, sink) in sinks.iter_mut().enumerate() {
        let rows = sink.page(text, &bound).await?;
        if index == 0 {
            track.rows.fetch_add(rows as u64, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// One file's records into every sink. A line that is no record is told and passed.
async fn lines(sinks: &mut [Sink], unit: &Unit, file: &FileRef, text: &str, track: &Track) -> Result<()> {
    let bound = |name: &str| unit.value(name).map(str::to_string);
    for (index, sink) in sinks.iter_mut().enumerate() {
        let (rows, errors) = sink.lines(text, &bound).await?;
        if index == 0 {
            track.rows.fetch_add(rows as u64, Ordering::Relaxed);
        }
        for error in errors {
            track.skip(format!("file {}", plain(&file.id)), &error);
        }
    }
    Ok(())
}

/// A parent that failed once stays failed: half of its children are not all of them.
fn note(known: &mut Option<Parents>, hash: u128, fate: ParentFate) {
    if let Some(known) = known {
        let noted = known.fates.entry(hash).or_insert(fate);
        if fate == ParentFate::Keep {
            *noted = fate;
        }
    }
}

async fn events<'a>(
    run: &'a Run,
    table: &'a Arc<Table>,
    window: Option<(Window, &'a [String])>,
    pass: usize,
) -> Result<BoxStream<'a, Result<Event>>> {
    let track = run.track(table);
    let lists = steps(run, table).await?.map(move |step| -> Result<BoxStream<'a, Result<Event>>> {
        let unit = match step? {
            Step::Keep(hash) => return Ok(stream::iter([Ok(Event::Keep(hash))]).boxed()),
            Step::Read(unit) => Arc::new(unit),
        };
        let call = Call::new(table, |name| unit.value(name), window.map(|w| w.0), pass, window.map_or(&[], |w| w.1));
        let call = match call {
            Ok(call) => call,
            Err(why) => return Ok(stream::iter([Ok(Event::Failed(unit, Error::contract(why)))]).boxed()),
        };
        let list = List::new(Arc::clone(&unit.client), Arc::clone(&track.meter), table, call);
        let events = list_events(table, Arc::clone(&unit), list);
        Ok(match &table.files {
            None => events.boxed(),
            Some(files) => files::events(files, table.request.rows.first(), Arc::clone(&track.meter), events.boxed()),
        })
    });
    Ok(lists.try_flatten_unordered(LISTS).boxed())
}

/// A list's pages, then its end; an absent singleton is a list without rows.
fn list_events<'a>(
    table: &'a Table,
    unit: Arc<Unit>,
    list: List,
) -> impl futures::Stream<Item = Result<Event>> + Send + 'a {
    let end = Arc::clone(&unit);
    let pages = list.pages().map(Some).chain(stream::iter([None]));
    pages.scan(false, move |over, page| {
        let event = match page {
            _ if *over => return std::future::ready(None),
            Some(Ok(text)) => Event::Page(Arc::clone(&unit), text),
            Some(Err(error)) => {
                *over = true;
                let absent = error.refusal.as_ref().is_some_and(|r| table.request.absent.contains(&r.status));
                if absent { Event::End(Arc::clone(&unit)) } else { Event::Failed(Arc::clone(&unit), error) }
            }
            None => Event::End(Arc::clone(&end)),
        };
        std::future::ready(Some(Ok(event)))
    })
}
