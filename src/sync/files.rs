//! Lists of files: each page of the list becomes its files, downloaded and checked.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::read::Event;
use super::units::Unit;
use crate::console::plain;
use crate::decode::json;
use crate::error::{Error, Kind, Result};
use crate::fetch::{FileRef, Meter};
use crate::schema::{Files, Pointer};

/// Downloads of one list that are under way at the same time.
const DOWNLOADS: usize = 4;

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
                    Ok(text) => Event::File(unit, file, text),
                    Err(error) => failed(unit, &file, error),
                },
            })
        }
    });
    events.buffered(DOWNLOADS).boxed()
}

/// What the source has forgotten cannot be asked for again: only that does not hold the cursor.
fn failed(unit: Arc<Unit>, file: &FileRef, error: Error) -> Event {
    let gone = matches!(error.kind, Kind::NotThere | Kind::Retired);
    let time = DateTime::parse_from_rfc3339(&file.time).map_or(DateTime::<Utc>::UNIX_EPOCH, |t| t.to_utc());
    let error = error.at(format!("file {}", plain(&file.id)));
    match gone {
        true => {
            Event::FileFailed(unit, None, error.rather("the source no longer has this file: what was in it is lost"))
        }
        false => {
            let cure = "the next run asks for this file again; the settled cursor does not pass it";
            Event::FileFailed(unit, Some(time), error.rather(cure))
        }
    }
}

fn refs(files: &Files, rows: Option<&Pointer>, unit: &Unit, page: &str) -> Result<Vec<FileRef>> {
    let records = json::records(page, rows).map_err(|e| Error::contract(e.to_string()))?;
    records.into_iter().map(|record| FileRef::read(files, record, |name| unit.value(name))).collect()
}
