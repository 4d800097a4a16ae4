//! What people and machines are told about a run.
//!
//! The numbers are gathered in one place while the run goes on; the display on
//! a terminal, the lines in a log, the summary and the run report are views of it.

mod progress;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::decode::{Misfit, Repaired};
use crate::error::{Error, Result};
use crate::fetch::Meter;
use crate::lake::{Lake, Written};
pub(crate) use progress::Progress;
pub(crate) use summary::{attention, counted, grouped, summary, text_table};

/// The whole run, as it is kept in `_runs/` and printed with `--format json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunReport {
    pub(crate) run_id: String,
    pub(crate) version: &'static str,
    pub(crate) destination: String,
    pub(crate) started_at: DateTime<Utc>,
    /// Null while the run goes on, and for ever when it was killed.
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) exit_code: Option<u8>,
    pub(crate) interrupted: bool,
    pub(crate) tables: BTreeMap<String, TableReport>,
}

impl RunReport {
    /// As it is kept while the run goes on.
    pub(crate) fn begun(run_id: String, lake: &Lake, now: DateTime<Utc>) -> RunReport {
        RunReport {
            run_id,
            version: env!("CARGO_PKG_VERSION"),
            destination: lake.shown().to_string(),
            started_at: now,
            finished_at: None,
            exit_code: None,
            interrupted: false,
            tables: BTreeMap::new(),
        }
    }

    /// Writes it beside the tables.
    pub(crate) async fn keep(&self, lake: &Lake) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::storage(e.to_string()))?;
        lake.put_text(&["_runs", &format!("{}.json", self.run_id)], text + "\n").await.map(|_| ())
    }
}

/// One table's part. Counts are of this run; `settled_*` are moments in UTC.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TableReport {
    pub(crate) status: String,
    pub(crate) rows_read: u64,
    pub(crate) rows_written: u64,
    pub(crate) tombstones: u64,
    pub(crate) repeated: u64,
    pub(crate) misfits: u64,
    /// Texts in which U+FFFD stands for what no reader takes.
    pub(crate) repaired_texts: u64,
    /// Days that the response did not speak of, and that kept the rows they had.
    pub(crate) unanswered_days: BTreeSet<NaiveDate>,
    pub(crate) files_kept: u64,
    pub(crate) requests: u64,
    pub(crate) retries: u64,
    pub(crate) response_bytes: u64,
    pub(crate) seconds: f64,
    /// Not everything was asked for: the rest is known, and does not change (docs/decisions/0010).
    pub(crate) in_part: bool,
    pub(crate) settled_before: Option<DateTime<Utc>>,
    pub(crate) settled_after: Option<DateTime<Utc>>,
    /// Log files: when the oldest file was closed that later runs download again.
    pub(crate) waiting_since: Option<DateTime<Utc>>,
    pub(crate) objects: Vec<ObjectReport>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) warnings: Vec<String>,
    /// Times of which nothing can be read any more: the source does not keep them.
    pub(crate) gaps: Vec<Gap>,
    pub(crate) error: Option<Failure>,
}

/// What was lost because the last sync was too long ago.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Gap {
    /// `workspace_id=ws_1`; empty for a table without scopes.
    pub(crate) scope: String,
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ObjectReport {
    pub(crate) path: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// A parent, pass or window that was not read.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Skipped {
    pub(crate) parent: String,
    pub(crate) reason: String,
    pub(crate) cure: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) cure: Option<String>,
}

impl Failure {
    pub(crate) fn new(error: &Error) -> Failure {
        Failure { kind: error.kind.word(), message: error.to_string(), cure: error.cure().map(str::to_string) }
    }
}

/// One table while it is being synced.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) name: String,
    pub(crate) meter: Arc<Meter>,
    pub(crate) rows: AtomicU64,
    pub(crate) slices: AtomicU64,
    /// Files whose bytes were kept.
    pub(crate) files: AtomicU64,
    started: Mutex<Option<Instant>>,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    status: Option<String>,
    seconds: f64,
    in_part: bool,
    tombstones: u64,
    repeated: u64,
    /// Of replaced tables: rows that came again in another list, and where the first of them was.
    dropped: (u64, String),
    /// Of replaced tables: rows that equal another one of their list, and where the first of them is.
    equal: (u64, String),
    misfits: BTreeMap<String, Misfit>,
    /// Of these columns, values that were not written at all, because their response was an error.
    unwritten: BTreeSet<String>,
    repaired: Repaired,
    unanswered: BTreeSet<NaiveDate>,
    emptied: BTreeSet<NaiveDate>,
    settled: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    waiting_since: Option<DateTime<Utc>>,
    objects: Vec<ObjectReport>,
    skipped: Vec<Skipped>,
    warnings: Vec<String>,
    gaps: Vec<Gap>,
    error: Option<Failure>,
}

/// How much was noted of a table at some time.
#[derive(Debug)]
pub(crate) struct Mark {
    rows: u64,
    skipped: usize,
    warnings: usize,
    gaps: usize,
}

impl Notes {
    /// What is to be said of days without an answer.
    fn of_days(&self) -> Vec<String> {
        let mut texts = Vec::new();
        if !self.unanswered.is_empty() {
            let days = named(&self.unanswered);
            texts.push(format!("the response does not speak of {days}: the rows in the lake were kept"));
        }
        if !self.emptied.is_empty() {
            let days = named(&self.emptied);
            texts.push(format!(
                "the response has no row of {days}, which had rows: empty now, as this source leaves empty days out"
            ));
        }
        texts
    }

    /// What is to be said of rows that equal others, and of texts.
    fn of_rows(&self) -> Vec<String> {
        let mut texts = Vec::new();
        if let (rows @ 1.., path) = (self.dropped.0, &self.dropped.1) {
            let rows = counted(rows, "row");
            texts.push(format!(
                "{path}: dropped {rows} that came again, the same in every value, in another bucket or page"
            ));
        }
        if let (rows @ 1.., path) = (self.equal.0, &self.equal.1) {
            let rows = counted(rows, "row");
            texts
                .push(format!("{path}: {rows} more than one time in one list, the same in every value; all were kept"));
        }
        if let count @ 1.. = self.repaired.total() {
            let columns = self.repaired.columns.keys().map(String::as_str);
            let extra = (self.repaired.extra > 0).then_some("_extra");
            let columns: Vec<String> = columns.chain(extra).map(|name| format!("`{name}`")).collect();
            let texts_in = counted(count, "text");
            texts.push(format!(
                "{texts_in} in {} repaired: U+FFFD stands for half a surrogate pair or, in JSON, for NUL",
                columns.join(", ")
            ));
        }
        texts
    }
}

/// Counts rows, with the place of the first of them.
fn note(noted: &mut (u64, String), rows: u64, path: &str) {
    if noted.0 == 0 && rows > 0 {
        noted.1 = path.to_string();
    }
    noted.0 += rows;
}

/// `2 days (2026-11-10, 2026-11-12)`, the first of many.
fn named(days: &BTreeSet<NaiveDate>) -> String {
    const NAMED: usize = 7;
    let names: Vec<String> = days.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if days.len() > NAMED { ", …" } else { "" };
    format!("{} ({}{more})", counted(days.len() as u64, "day"), names.join(", "))
}

impl Track {
    pub(crate) fn new(name: &str) -> Arc<Track> {
        Arc::new(Track {
            name: name.to_string(),
            meter: Arc::default(),
            rows: AtomicU64::new(0),
            slices: AtomicU64::new(0),
            files: AtomicU64::new(0),
            started: Mutex::new(None),
            notes: Mutex::default(),
        })
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn start(&self, settled: Option<DateTime<Utc>>) {
        *self.started.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.notes().settled = (settled, settled);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).is_some() && self.notes().status.is_none()
    }

    /// The status, once the table has ended.
    pub(crate) fn ended(&self) -> Option<String> {
        self.notes().status.clone()
    }

    pub(crate) fn wrote(&self, w: &Written) {
        let mut notes = self.notes();
        self.slices.fetch_add(1, Ordering::Relaxed);
        notes.tombstones += w.tombstones;
        notes.repeated += w.repeated;
        if w.replaced {
            note(&mut notes.dropped, w.repeated, &w.path);
            note(&mut notes.equal, w.equal, &w.path);
        }
        if w.conflicts > 0 {
            let text = format!(
                "{}: {} rows share their key with another row and differ from it; all were kept",
                w.path, w.conflicts
            );
            notes.warnings.push(text);
        }
        let object = ObjectReport { path: w.path.clone(), rows: w.rows, bytes: w.bytes, sha256: w.sha256.clone() };
        // They appear as they are ready, and are told in one order.
        let place = notes.objects.partition_point(|other| other.path <= object.path);
        notes.objects.insert(place, object);
    }

    pub(crate) fn read_in_part(&self) {
        self.notes().in_part = true;
    }

    pub(crate) fn waits_since(&self, time: Option<DateTime<Utc>>) {
        self.notes().waiting_since = time;
    }

    pub(crate) fn settled(&self, settled: DateTime<Utc>) {
        self.notes().settled.1 = Some(settled);
    }

    pub(crate) fn repaired(&self, repaired: &Repaired) {
        let mut notes = self.notes();
        notes.repaired.extra += repaired.extra;
        for (column, count) in &repaired.columns {
            *notes.repaired.columns.entry(column.clone()).or_default() += count;
        }
    }

    /// Days that the response did not speak of: those that kept their rows, and those that are empty now.
    pub(crate) fn unanswered(&self, kept: &BTreeSet<NaiveDate>, emptied: &BTreeSet<NaiveDate>) {
        let mut notes = self.notes();
        notes.unanswered.extend(kept);
        notes.emptied.extend(emptied);
    }

    /// `written`: the rows of these values appear in the lake.
    pub(crate) fn misfits(&self, misfits: &BTreeMap<String, Misfit>, written: bool) {
        let mut notes = self.notes();
        for (column, misfit) in misfits {
            if !written {
                notes.unwritten.insert(column.clone());
            }
            let known = notes.misfits.entry(column.clone()).or_default();
            known.count += misfit.count;
            if known.example.is_empty() {
                known.example.clone_from(&misfit.example);
            }
        }
    }

    pub(crate) fn skip(&self, parent: String, error: &Error) {
        let skipped = Skipped { parent, reason: error.to_string(), cure: error.cure().map(str::to_string) };
        let mut notes = self.notes();
        // Each window of time may meet the same refusal: it is told once.
        if !notes.skipped.iter().any(|s| s.parent == skipped.parent && s.reason == skipped.reason) {
            notes.skipped.push(skipped);
        }
    }

    /// Said once, however often it happens.
    pub(crate) fn warn(&self, text: String) {
        let mut notes = self.notes();
        if !notes.warnings.contains(&text) {
            notes.warnings.push(text);
        }
    }

    pub(crate) fn gap(&self, gap: Gap) {
        let mut notes = self.notes();
        // Windows that follow one another have one gap.
        match notes.gaps.last_mut() {
            Some(last) if last.scope == gap.scope && last.to == gap.from => last.to = gap.to,
            Some(last) if *last == gap => {}
            _ => notes.gaps.push(gap),
        }
    }

    /// What was noted so far, for [`Track::back_to`].
    pub(crate) fn mark(&self) -> Mark {
        let notes = self.notes();
        Mark {
            rows: self.rows.load(Ordering::Relaxed),
            skipped: notes.skipped.len(),
            warnings: notes.warnings.len(),
            gaps: notes.gaps.len(),
        }
    }

    /// Forgets what was noted since, when it is read again.
    pub(crate) fn back_to(&self, mark: &Mark) {
        self.rows.store(mark.rows, Ordering::Relaxed);
        let mut notes = self.notes();
        notes.skipped.truncate(mark.skipped);
        notes.warnings.truncate(mark.warnings);
        notes.gaps.truncate(mark.gaps);
    }

    /// Ends the table. `seconds` runs from [`Track::start`].
    pub(crate) fn end(&self, status: &str, error: Option<&Error>) {
        let started = *self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let mut notes = self.notes();
        notes.seconds = started.map_or(0.0, |s| s.elapsed().as_secs_f64());
        notes.status = Some(status.to_string());
        notes.error = error.map(Failure::new);
    }

    /// Counts since the beginning of the run.
    pub(crate) fn report(&self) -> TableReport {
        let notes = self.notes();
        let misfits = notes.misfits.iter().map(|(column, m)| match (m.count, notes.unwritten.contains(column)) {
            (1, false) => format!("`{column}`: 1 value did not fit and is kept in _extra: {}", m.example),
            (n, false) => {
                format!("`{column}`: {n} values did not fit and are kept in _extra, the first: {}", m.example)
            }
            (1, true) => format!("`{column}`: 1 value did not fit: {}", m.example),
            (n, true) => format!("`{column}`: {n} values did not fit, the first: {}", m.example),
        });
        TableReport {
            status: notes.status.clone().unwrap_or_else(|| "interrupted".to_string()),
            rows_read: self.rows.load(Ordering::Relaxed),
            rows_written: notes.objects.iter().map(|o| o.rows).sum(),
            tombstones: notes.tombstones,
            repeated: notes.repeated,
            misfits: notes.misfits.values().map(|m| m.count).sum(),
            repaired_texts: notes.repaired.total(),
            unanswered_days: notes.unanswered.clone(),
            files_kept: self.files.load(Ordering::Relaxed),
            requests: self.meter.requests.load(Ordering::Relaxed),
            retries: self.meter.retries.load(Ordering::Relaxed),
            response_bytes: self.meter.bytes.load(Ordering::Relaxed),
            seconds: (notes.seconds * 1000.0).round() / 1000.0,
            in_part: notes.in_part,
            settled_before: notes.settled.0,
            settled_after: notes.settled.1,
            waiting_since: notes.waiting_since,
            objects: notes.objects.clone(),
            skipped: notes.skipped.clone(),
            warnings: misfits
                .chain(notes.of_days())
                .chain(notes.of_rows())
                .chain(notes.warnings.iter().cloned())
                .collect(),
            gaps: notes.gaps.clone(),
            error: notes.error.clone(),
        }
    }
}
