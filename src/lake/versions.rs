//! `history = true`: a whole table that keeps each version of a row.
//!
//! A version is a row's data columns; the engine's moments and marks do not make
//! one. The old object is read once more before the new rows come, to know which
//! of them are new versions: 48 bytes for each current key.

use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, TimestampMicrosecondBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;

use super::fate::Fate;
use super::keys::hashes;
use super::slice::{Slice, arrow};
use crate::error::{Error, Result};
use crate::schema::Type;

#[derive(Clone, Copy)]
pub(super) struct Version {
    content: u128,
    since: i64,
    /// Set when the key arrives: whether with the same content.
    unchanged: Option<bool>,
}

impl Slice {
    /// Notes the current versions of the old object (history only).
    pub(super) fn remember(&mut self, old: &RecordBatch) -> Result<()> {
        let keys = hashes(old, &self.key_columns()?)?;
        let contents = hashes(old, &self.content_columns())?;
        let times =
            |name: &str| Ok::<_, Error>(old.column(self.column(name)?).as_primitive::<TimestampMicrosecondType>());
        let (from, to, synced) = (times("_valid_from")?, times("_valid_to")?, times("_synced_at")?);
        let deleted = old.column(self.column("_deleted")?).as_boolean();
        for row in 0..old.num_rows() {
            if is_current(to, deleted, row) {
                // A file from before history was switched on says only when the row was read.
                let since = if from.is_valid(row) { from.value(row) } else { synced.value(row) };
                self.versions.insert(keys[row], Version { content: contents[row], since, unchanged: None });
            }
        }
        Ok(())
    }

    /// New rows with the moment since when their version is valid.
    pub(super) fn dated(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let keys = hashes(&batch, &self.key_columns()?)?;
        let contents = hashes(&batch, &self.content_columns())?;
        let mut from = TimestampMicrosecondBuilder::new().with_data_type(Type::Timestamp.arrow());
        for (key, content) in keys.iter().zip(contents) {
            let since = match self.versions.get_mut(key) {
                Some(version) => {
                    let unchanged = version.content == content;
                    version.unchanged = Some(unchanged);
                    if unchanged { version.since } else { self.now }
                }
                None => self.now,
            };
            from.append_value(since);
        }
        self.with_columns(batch, vec![("_valid_from", Arc::new(from.finish()))])
    }

    /// With history no old version is ever dropped, but for a current one that arrived unchanged.
    pub(super) fn close_versions(&mut self, old: RecordBatch, fates: &[Fate]) -> Result<RecordBatch> {
        let rows = old.num_rows();
        let keys = hashes(&old, &self.key_columns()?)?;
        let times = |name: &str| {
            Ok::<_, Error>(old.column(self.column(name)?).as_primitive::<TimestampMicrosecondType>().clone())
        };
        let (from, to, synced) = (times("_valid_from")?, times("_valid_to")?, times("_synced_at")?);
        let was_deleted = old.column(self.column("_deleted")?).as_boolean().clone();
        let mut valid_from = TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(Type::Timestamp.arrow());
        let mut valid_to = TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(Type::Timestamp.arrow());
        let (mut deleted, mut current) = (BooleanBuilder::with_capacity(rows), BooleanBuilder::with_capacity(rows));
        let mut stays = Vec::with_capacity(rows);
        for row in 0..rows {
            valid_from.append_value(if from.is_valid(row) { from.value(row) } else { synced.value(row) });
            let open = is_current(&to, &was_deleted, row);
            let arrived = fates[row] == Fate::Drop;
            let unchanged = self.versions.get(&keys[row]).is_some_and(|v| v.unchanged == Some(true));
            let buried = open && fates[row] == Fate::Tombstone;
            let closed = buried || (open && arrived);
            stays.push(!(open && arrived && unchanged));
            self.written.tombstones += u64::from(buried);
            valid_to.append_option(match (closed, to.is_valid(row)) {
                (true, _) => Some(self.now),
                (false, true) => Some(to.value(row)),
                (false, false) => None,
            });
            deleted.append_value(buried || (was_deleted.is_valid(row) && was_deleted.value(row)));
            current.append_value(open && !closed);
        }
        let old = self.with_columns(
            old,
            vec![
                ("_valid_from", Arc::new(valid_from.finish())),
                ("_valid_to", Arc::new(valid_to.finish())),
                ("_deleted", Arc::new(deleted.finish())),
                ("_current", Arc::new(current.finish())),
            ],
        )?;
        filter_record_batch(&old, &BooleanArray::from(stays)).map_err(arrow)
    }
}

/// A version that was neither replaced nor deleted.
fn is_current(valid_to: &arrow_array::TimestampMicrosecondArray, deleted: &BooleanArray, row: usize) -> bool {
    valid_to.is_null(row) && !(deleted.is_valid(row) && deleted.value(row))
}
