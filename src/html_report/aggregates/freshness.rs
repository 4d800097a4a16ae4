//! How fresh and how large each table of the lake is. Pure.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use chrono::{DateTime, NaiveDate, Utc};

use crate::html_report::columns::{flags, newest, times};
use crate::schema::Surface;

#[derive(Clone, Debug, Default)]
pub(in crate::html_report) struct Table {
    /// None: this program does not know the table.
    pub(in crate::html_report) surface: Option<Surface>,
    /// Without those that are marked as deleted.
    pub(in crate::html_report) rows: u64,
    pub(in crate::html_report) deleted: u64,
    pub(in crate::html_report) bytes: u64,
    pub(in crate::html_report) objects: u64,
    pub(in crate::html_report) days: Option<(NaiveDate, NaiveDate)>,
    pub(in crate::html_report) read: Option<DateTime<Utc>>,
    pub(in crate::html_report) settled: Option<DateTime<Utc>>,
}

#[derive(Debug, Default)]
pub(in crate::html_report) struct Fresh {
    pub(in crate::html_report) tables: BTreeMap<String, Table>,
    /// Tables of the catalog that the lake does not have, by surface.
    pub(in crate::html_report) missing: BTreeMap<Surface, Vec<String>>,
}

impl Table {
    /// An object of so many bytes, of a day if the table is cut by day.
    pub(in crate::html_report) fn object(&mut self, day: Option<NaiveDate>, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
        if let Some(day) = day {
            let (first, last) = self.days.unwrap_or((day, day));
            self.days = Some((first.min(day), last.max(day)));
        }
    }

    /// A batch of `_synced_at` and, in snapshot tables, `_deleted`.
    pub(in crate::html_report) fn batch(&mut self, batch: &RecordBatch) {
        let deleted = match batch.num_columns() {
            2 => flags(batch, 1).true_count() as u64,
            _ => 0,
        };
        self.deleted += deleted;
        self.rows += (batch.num_rows() as u64).saturating_sub(deleted);
        self.read = self.read.max(newest(times(batch, 0)));
    }
}
