//! Log files that could not be read, kept in the state until they can be.
//!
//! The cursor passes them: held back by one file, it would read all files since
//! then at every sync, and end up older than what the source keeps. A file is
//! downloaded again, by its own address where no list names it any more,
//! until it was read, or the source says that it is gone, or no source would
//! still have it. Each of these ends is reported.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::pin::pin;
use std::sync::Arc;

use chrono::{DateTime, Duration, NaiveDate, Utc};
use futures::{StreamExt, stream};

use super::files::{self, DOWNLOADS, FileFate, Tried};
use super::read::{Drained, Holds, hold};
use super::sink::Sink;
use super::units::{Unit, unit};
use super::{Run, commit};
use crate::error::{Error, Kind, Result};
use crate::fetch::{Call, FileRef, List, Meter};
use crate::lake::{PendingFile, State};
use crate::plan::Window;
use crate::schema::Table;

/// Files of one table that the state keeps. When more fail, something else is wrong than a file,
/// and the cursor does not pass them.
const MOST: usize = 100;

/// What tells one file of a table from another.
type Identity = (BTreeMap<String, String>, String);

/// The files of a run that were tried so far.
#[derive(Default)]
pub(super) struct Seen(HashSet<Identity>);

impl Seen {
    /// Notes in the state what became of files whose rows are durable. Scopes of which more files failed
    /// than the state keeps get a time in `holds` that their cursors must not pass.
    pub(super) async fn note(&mut self, run: &Run, tables: &[Arc<Table>], tried: Vec<Tried>, holds: &mut Holds) {
        if tried.is_empty() {
            return;
        }
        let mut state = run.state.lock().await;
        for one in tried {
            for table in tables {
                let known = &mut state.table(&table.name).pending_files;
                let recovered = note(known, &one, run.time(table), holds);
                if let Some(first_failed) = recovered {
                    let (file, day) = (files::shown(&one.file), first_failed.format("%Y-%m-%d"));
                    run.track(table).warn(format!("{file}, which could not be read on {day}, was read now"));
                }
            }
            self.0.insert((one.bindings, one.file.id));
        }
        report(run, tables, &state);
    }
}

/// Lets the run report say since when files wait: a state that is rebuilt from reports lists them again.
pub(super) fn report(run: &Run, tables: &[Arc<Table>], state: &State) {
    for table in tables {
        let waiting = state.tables.get(&table.name).map(|known| known.pending_files.as_slice()).unwrap_or_default();
        run.track(table).waits_since(waiting.iter().map(|file| file.time).min());
    }
}

/// Returns when the file first failed, if it was among those that are kept and has been read now.
fn note(known: &mut Vec<PendingFile>, one: &Tried, now: DateTime<Utc>, holds: &mut Holds) -> Option<DateTime<Utc>> {
    let is_same = |file: &PendingFile| file.id == one.file.id && file.bindings == one.bindings;
    let place = known.iter().position(is_same);
    match (one.fate, place) {
        (FileFate::Read, Some(place)) => Some(known.remove(place).first_failed),
        (FileFate::Gone, Some(place)) => {
            known.remove(place);
            None
        }
        (FileFate::Again, Some(place)) => {
            known[place] = pending(one, known[place].first_failed, now);
            None
        }
        (FileFate::Again, None) if known.len() < MOST => {
            known.push(pending(one, now, now));
            None
        }
        (FileFate::Again, None) => {
            hold(holds, one.scope.clone(), one.file.closed_at().unwrap_or(DateTime::UNIX_EPOCH));
            None
        }
        _ => None,
    }
}

fn pending(one: &Tried, first_failed: DateTime<Utc>, now: DateTime<Utc>) -> PendingFile {
    let FileRef { id, path, size, sha256, .. } = (*one.file).clone();
    let time = one.file.closed_at().unwrap_or(now);
    PendingFile { id, path, time, bindings: one.bindings.clone(), size, sha256, first_failed }
}

/// The file as its list tells of it today: size and hash may have been wrong, or missing, at first.
/// `None` if no list names it any more, or if that cannot be told: then what the state kept counts.
async fn listed(table: &Table, unit: &Unit, kept: &PendingFile, meter: &Arc<Meter>) -> Option<FileRef> {
    let around = Duration::milliseconds(1);
    let window = Window { start: kept.time - around, end: kept.time + around };
    for pass in 0..table.request.passes.len().max(1) {
        let call = Call::new(table, |name| unit.value(name), Some(window), pass, &[]).ok()?;
        let mut pages = pin!(List::new(Arc::clone(&unit.client), Arc::clone(meter), table, call).pages());
        while let Some(Ok(page)) = pages.next().await {
            let files = files::refs(table.files.as_ref()?, table.request.rows.first(), unit, &page.text).ok()?;
            if let Some(found) = files.into_iter().find(|file| file.id == kept.id) {
                return Some(found);
            }
        }
    }
    None
}

fn named(kept: PendingFile) -> FileRef {
    let PendingFile { id, path, time, size, sha256, .. } = kept;
    FileRef { id, time: time.to_rfc3339(), path, size, sha256 }
}

/// Downloads the files again that earlier runs could not read and that this run has not tried.
pub(super) async fn retry(
    run: &Run,
    tables: &[Arc<Table>],
    existing: &[BTreeSet<NaiveDate>],
    mut seen: Seen,
) -> Result<()> {
    let Some(table) = tables.first() else { return Ok(()) };
    let waiting = waiting(run, tables, &seen).await;
    if waiting.is_empty() {
        return Ok(());
    }
    let _room = run.room_for(table, 1, 1, true).await?;
    let track = run.track(table);
    let now = run.time(table);
    let window = Window { start: now, end: now };
    let sinks = tables.iter().map(|t| Sink::new(&run.lake, t, Some(window), run.micros())).collect();
    let mut drained = Drained::nothing(sinks);
    let downloads = waiting.into_iter().filter_map(|file| {
        let bound: Vec<(String, String)> = file.bindings.clone().into_iter().collect();
        Some((unit(run, table, &bound)?, file))
    });
    let downloads = stream::iter(downloads.collect::<Vec<_>>()).map(|(unit, file)| {
        let meter = Arc::clone(&track.meter);
        async move {
            let listed = listed(table, &unit, &file, &meter).await;
            let file = Box::new(listed.unwrap_or_else(|| named(file)));
            let done = unit.client.download(&file, &meter).await;
            (unit, file, done)
        }
    });
    let mut downloads = downloads.buffered(DOWNLOADS);
    while let Some((unit, file, done)) = downloads.next().await {
        let tried = match done {
            Ok(content) => files::take(&mut drained.sinks, &unit, table, file, content, &track).await,
            Err(error) => refused(run, table, &unit, file, error),
        };
        match tried {
            Ok(tried) => drained.files.push(tried),
            Err(error) => {
                drained.abandon().await;
                return Err(error);
            }
        }
    }
    let tried = std::mem::take(&mut drained.files);
    commit(run, drained, tables, existing).await?;
    seen.note(run, tables, tried, &mut Holds::new()).await;
    let state = run.state.lock().await;
    run.state_file.save(&state).await
}

/// The files to try, each once, although several tables may be made of its lines.
async fn waiting(run: &Run, tables: &[Arc<Table>], seen: &Seen) -> Vec<PendingFile> {
    let state = run.state.lock().await;
    let kept = tables.iter().filter_map(|table| state.tables.get(&table.name)).flat_map(|state| &state.pending_files);
    let mut once = HashSet::new();
    let wanted = kept.filter(|file| {
        let identity = (file.bindings.clone(), file.id.clone());
        !seen.0.contains(&identity) && once.insert(identity)
    });
    wanted.cloned().collect()
}

/// A file that fails again: no longer tried when it is older than what the source keeps.
fn refused(run: &Run, table: &Table, unit: &Unit, file: Box<FileRef>, error: Error) -> Result<Tried> {
    let kept = table.slices.as_ref().map_or(0, |slices| slices.retention.unwrap_or(slices.history));
    let is_old = file.closed_at().is_some_and(|time| run.time(table) - time > Duration::seconds(kept));
    let error = match is_old && error.kind != Kind::Interrupted {
        true => {
            let days = kept / 86_400;
            Error::new(Kind::NotThere, format!("{error}; it is older than the {days} days that the source keeps"))
        }
        false => error,
    };
    files::refused(unit, table, file, error, &run.track(table))
}
