//! How fresh and how large each table of the lake is. Pure.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use chrono::{DateTime, NaiveDate, Utc};

use super::columns::{flags, newest, times};
use crate::schema::Surface;

#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// None: this program does not know the table.
    pub(super) surface: Option<Surface>,
    /// Without those that are marked as deleted.
    pub(super) rows: u64,
    pub(super) deleted: u64,
    pub(super) bytes: u64,
    pub(super) objects: u64,
    pub(super) days: Option<(NaiveDate, NaiveDate)>,
    pub(super) read: Option<DateTime<Utc>>,
    pub(super) settled: Option<DateTime<Utc>>,
}

#[derive(Debug, Default)]
pub(super) struct Fresh {
    pub(super) tables: BTreeMap<String, Table>,
    /// Tables of the catalog that the lake does not have, by surface.
    pub(super) missing: BTreeMap<Surface, Vec<String>>,
}

impl Table {
    /// An object of so many bytes, of a day if the table is cut by day.
    pub(super) fn object(&mut self, day: Option<NaiveDate>, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
        if let Some(day) = day {
            let (first, last) = self.days.unwrap_or((day, day));
            self.days = Some((first.min(day), last.max(day)));
        }
    }

    /// A batch of `_synced_at` and, in snapshot tables, `_deleted`.
    pub(super) fn batch(&mut self, batch: &RecordBatch) {
        let deleted = match batch.num_columns() {
            2 => flags(batch, 1).true_count() as u64,
            _ => 0,
        };
        self.deleted += deleted;
        self.rows += (batch.num_rows() as u64).saturating_sub(deleted);
        self.read = self.read.max(newest(times(batch, 0)));
    }
}
