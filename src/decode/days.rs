//! Which days an answer speaks of, for tables whose days are replaced.
//!
//! A bucket without results brings no row, and yet it says that its day is empty; a day that no bucket is of was
//! not answered. So the times of buckets are noted and not only those of rows. Where records are not in buckets,
//! the times of the records are all that there is.

use std::collections::BTreeSet;

use super::column::Column;
use super::walk::Work;
use crate::schema::{From, Policy, Table};

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;

/// What an answer said of days.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answered {
    /// The times of its buckets, or of its records, in microseconds.
    pub(crate) times: BTreeSet<i64>,
    /// What cannot be replaced: the first bucket or record without a time, or of more than one day.
    pub(crate) wrong: Option<String>,
}

pub(super) struct Days {
    by: usize,
    name: String,
    /// The column with the end of the bucket, exclusive.
    end: Option<usize>,
    /// How many levels above the record the buckets are; 0: there are none.
    up: usize,
    answered: Answered,
    last: Option<i64>,
}

impl Days {
    /// `None` for a table whose days are not replaced.
    pub(super) fn of(table: &Table) -> Option<Days> {
        let slices = table.slices.as_ref().filter(|_| table.policy == Policy::Replace)?;
        let column = table.columns.get(slices.by)?;
        let levels = match &column.from {
            From::Record(pointers) => pointers.iter().map(|(up, _)| *up).max().unwrap_or(0),
            _ => 0,
        };
        let up = if levels < table.record_rows.len() { levels } else { 0 };
        let (answered, last) = (Answered::default(), None);
        let end = slices.end.filter(|end| *end < table.columns.len());
        Some(Days { by: slices.by, name: column.name.clone(), end, up, answered, last })
    }

    pub(super) fn take(&mut self) -> Answered {
        self.last = None;
        std::mem::take(&mut self.answered)
    }

    /// Notes a complete record that encloses rows, `up` levels above them.
    pub(super) fn bucket(&mut self, columns: &[Column], up: usize, work: &Work) {
        if up == self.up {
            let end = self.end.and_then(|end| columns[end].standing());
            self.note(columns[self.by].standing(), end, work);
        }
    }

    /// Notes a complete row.
    pub(super) fn row(&mut self, columns: &[Column], row: usize, work: &Work) {
        if self.up == 0 {
            let end = self.end.and_then(|end| columns[end].time_of(row));
            self.note(columns[self.by].time_of(row), end, work);
        }
    }

    fn note(&mut self, start: Option<i64>, end: Option<i64>, work: &Work) {
        let Some(start) = start else {
            let what = format!("`{}` is missing or no time, so the day is unknown", self.name);
            return self.note_wrong(|| format!("{}: {what}", work.place()));
        };
        if let Some(length) = end.map(|end| end.saturating_sub(start)).filter(|length| *length > DAY) {
            let days = length as f64 / DAY as f64;
            self.note_wrong(|| format!("{}: covers {days:.1} days, and one day was requested", work.place()));
        }
        if self.last != Some(start) {
            self.answered.times.insert(start);
            self.last = Some(start);
        }
    }

    fn note_wrong(&mut self, what: impl FnOnce() -> String) {
        if self.answered.wrong.is_none() {
            self.answered.wrong = Some(what());
        }
    }
}
