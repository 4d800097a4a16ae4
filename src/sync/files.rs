//! Lists of files: each page of the list becomes its files, downloaded and checked.
//!
//! A file that could not be read does not stop the others: [`super::pending`]
//! keeps it for later runs.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::read::Event;
use super::sink::Sink;
use super::units::Unit;
use crate::console::plain;
use crate::decode::{json, malformed};
use crate::error::{Error, Kind, Result};
use crate::fetch::{Content, FileRef, Meter, Trust};
use crate::report::Track;
use crate::schema::{Files, Pointer, Table};

/// Downloads of one list that are under way at the same time.
pub(super) const DOWNLOADS: usize = 4;

/// What one event of the list's pages comes to.
enum Step {
    Pass(Event),
    Download(Arc<Unit>, Box<FileRef>),
}

/// The events of a list of files, its pages replaced by their files. One that
/// comes twice is taken once.
pub(super) fn events<'a>(
    files: &'a Files,
    rows: Option<&'a Pointer>,
    meter: Arc<Meter>,
    pages: BoxStream<'a, Result<Event>>,
) -> BoxStream<'a, Result<Event>> {
    let mut seen = HashSet::new();
    let steps = pages.map_ok(move |event| {
        let steps = match event {
            Event::Page(unit, text) => match refs(files, rows, &unit, &text) {
                Ok(refs) => refs
                    .into_iter()
                    .filter(|file| seen.insert(file.id.clone()))
                    .map(|file| Step::Download(Arc::clone(&unit), Box::new(file)))
                    .collect(),
                Err(error) => vec![Step::Pass(Event::Failed(unit, error, false))],
            },
            other => vec![Step::Pass(other)],
        };
        stream::iter(steps.into_iter().map(Ok::<_, Error>))
    });
    let events = steps.try_flatten().map(move |step| {
        let meter = Arc::clone(&meter);
        async move {
            Ok(match step? {
                Step::Pass(event) => event,
                Step::Download(unit, file) => match unit.client.download(&file, &meter).await {
                    Ok(content) => Event::File(unit, file, content),
                    Err(error) => Event::FileFailed(unit, file, error),
                },
            })
        }
    });
    events.buffered(DOWNLOADS).boxed()
}

/// One file of a list, after this run tried to read it.
pub(super) struct Tried {
    /// Whose cursor it is under, as the state names it.
    pub(super) scope: String,
    pub(super) bindings: BTreeMap<String, String>,
    pub(super) file: Box<FileRef>,
    pub(super) fate: FileFate,
}

/// Whether a file is to be downloaded again by a later run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileFate {
    /// It was read; a line that is no record would be none the next time.
    Read,
    /// What came was not the file, or not surely all of it.
    Again,
    /// The source no longer has it.
    Gone,
}

/// Whether a download with so many records and so many other lines was the file. Pure.
///
/// A hash of the list proves that it was. A size proves that nothing is missing,
/// but a page of that size could have come instead. Without either, any line that
/// is no record may be one the next time.
fn fate(trust: Trust, records: usize, broken: usize, is_blank: bool) -> FileFate {
    match trust {
        Trust::Hash => FileFate::Read,
        Trust::Size if broken > 0 && records == 0 => FileFate::Again,
        Trust::Size => FileFate::Read,
        Trust::Nothing if broken > 0 || is_blank => FileFate::Again,
        Trust::Nothing => FileFate::Read,
    }
}

/// Takes a file's records into every sink, and reports the lines that are none. What was decoded
/// stays, also where the file is to be downloaded again: its rows are merged by their key.
pub(super) async fn take(
    sinks: &mut [Sink],
    unit: &Unit,
    table: &Table,
    file: Box<FileRef>,
    content: Content,
    track: &Track,
) -> Result<Tried> {
    let bound = |name: &str| unit.value(name).map(str::to_string);
    let (mut records, mut lost) = (0, content.broken);
    let mut broken = lost.len();
    for (index, sink) in sinks.iter_mut().enumerate() {
        let (rows, errors) = sink.lines(&content.text, &bound).await?;
        if index == 0 {
            track.rows.fetch_add(rows as u64, Ordering::Relaxed);
            records = rows;
            broken += errors.len();
        }
        lost.extend(errors);
    }
    let fate = fate(content.trust, records, broken, content.text.trim().is_empty());
    let place = shown(&file);
    match fate {
        FileFate::Again => track.skip(place, &suspect(records, lost)),
        _ => lost.into_iter().for_each(|line| track.skip(place.clone(), &line.rather(LOST_LINE))),
    }
    Ok(Tried { scope: unit.scope(table), bindings: bindings(unit), file, fate })
}

const LOST_LINE: &str = "the file is as the source lists it, so this line stays as it is: its record is lost, and the other lines were read";
const AGAIN: &str = "the next run downloads this file again, until it is read or the source no longer has it";

/// What is said of a download that may not have been the file: one line stands for all.
fn suspect(records: usize, lost: Vec<Error>) -> Error {
    let first = lost.into_iter().next().unwrap_or_else(|| Error::contract("the file is empty"));
    let first = match records {
        0 => first.at("no line of it is a record:"),
        _ => first,
    };
    first.rather(AGAIN)
}

/// Reports a file that could not be downloaded.
pub(super) fn refused(unit: &Unit, table: &Table, file: Box<FileRef>, error: Error, track: &Track) -> Result<Tried> {
    let fate = match error.kind {
        Kind::NotThere | Kind::Retired => FileFate::Gone,
        Kind::Interrupted => return Err(error),
        _ => FileFate::Again,
    };
    let hint = match fate {
        FileFate::Gone => "the source no longer has this file: what was in it is lost",
        _ => AGAIN,
    };
    track.skip(shown(&file), &error.rather(hint));
    Ok(Tried { scope: unit.scope(table), bindings: bindings(unit), file, fate })
}

pub(super) fn shown(file: &FileRef) -> String {
    format!("file {}", plain(&file.id))
}

fn bindings(unit: &Unit) -> BTreeMap<String, String> {
    unit.bound.iter().cloned().collect()
}

pub(super) fn refs(files: &Files, rows: Option<&Pointer>, unit: &Unit, page: &str) -> Result<Vec<FileRef>> {
    let list = json::pointer(page, rows.map_or(&[], |p| p.0.as_slice())).map_err(malformed)?;
    if list.map(json::Kind::of) != Some(json::Kind::Array) {
        let at = rows.map(ToString::to_string).unwrap_or_default();
        let found = list.map_or("nothing", |value| json::Kind::of(value).word());
        let error = Error::contract(format!("`{at}`: a list of files was expected, found {found}"));
        return Err(error.hint("the API's answer is not the documented one; the next run requests the list again"));
    }
    let records = json::records(page, rows).map_err(malformed)?;
    records.into_iter().map(|record| FileRef::read(files, record, |name| unit.value(name))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_came_instead_of_a_file_is_downloaded_again() {
        use FileFate::{Again, Read};
        for (trust, records, broken, is_blank, expected) in [
            (Trust::Hash, 0, 0, true, Read),
            (Trust::Hash, 0, 40, false, Read),
            (Trust::Hash, 9, 1, false, Read),
            (Trust::Size, 0, 0, true, Read),
            (Trust::Size, 9, 1, false, Read),
            (Trust::Size, 0, 40, false, Again),
            (Trust::Nothing, 9, 0, false, Read),
            (Trust::Nothing, 9, 1, false, Again),
            (Trust::Nothing, 0, 1, false, Again),
            (Trust::Nothing, 0, 0, true, Again),
        ] {
            assert_eq!(fate(trust, records, broken, is_blank), expected, "{trust:?} {records} {broken}");
        }
    }

    proptest! {
        /// Without a proof from the list nothing is given up, whatever came.
        #[test]
        fn nothing_is_given_up_without_proof(records in 0_usize..9, broken in 0_usize..9, is_blank in any::<bool>()) {
            let lost = broken > 0 || is_blank;
            prop_assert_eq!(fate(Trust::Nothing, records, broken, is_blank) == FileFate::Read, !lost);
        }
    }
}
