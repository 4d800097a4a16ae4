//! One object being written: rows go in, whole parts go out, and it stands aside, complete, when it is finished.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use object_store::path::Path;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{
    DEFAULT_DATA_PAGE_ROW_COUNT_LIMIT, DEFAULT_PAGE_SIZE, EnabledStatistics, WriterProperties,
};
use parquet::schema::types::ColumnPath;
use twox_hash::XxHash3_128;

use super::appear::Complete;
use super::encode::{Alike, Encoder};
use super::upload::{Parts, Upload};
use super::{Lake, storage};
use crate::error::{Error, Result};
use crate::schema::Table;

/// The open row group's encoded pages are kept until it is complete. From about so many bytes on it is,
/// though it may hold less than the 128 MiB of values that are aimed at: memory stays flat as tables grow.
const OPEN: usize = 12 << 20;

pub(super) struct Writer {
    encoder: Encoder<Parts>,
    upload: Upload,
    lake: Arc<Lake>,
    /// The object.
    path: Path,
}

/// What an object will hold.
pub(super) struct Extent {
    pub(super) rows: usize,
    /// Of them in memory.
    pub(super) bytes: usize,
}

impl Extent {
    /// Nobody knows yet.
    pub(super) const OPEN: Extent = Extent { rows: usize::MAX, bytes: usize::MAX };

    /// Whether each column is a single page by the library's own limits.
    fn is_one_page(&self) -> bool {
        self.rows <= DEFAULT_DATA_PAGE_ROW_COUNT_LIMIT && self.bytes < DEFAULT_PAGE_SIZE
    }
}

/// An object that is complete.
pub(super) struct Ended {
    pub(super) bytes: u64,
    /// In hex.
    pub(super) sha256: String,
    /// What is still to appear; none in a store, where it has.
    pub(super) aside: Option<Complete>,
}

impl Writer {
    /// Writes where readers do not look; `first` are the object's first rows.
    pub(super) fn new(
        lake: &Arc<Lake>,
        table: &Table,
        path: Path,
        schema: &SchemaRef,
        first: &[RecordBatch],
        extent: Extent,
    ) -> Result<Writer> {
        // With one page a column these are all rows.
        let alike = if extent.is_one_page() { Alike::of(schema, first) } else { Alike::none(schema) };
        let encoder = Encoder::new(Parts::new(lake), schema, properties(table, schema, first.first(), extent), alike);
        let encoder = encoder.map_err(|e| unwritten(&e, lake, &path))?;
        let upload = Upload::new(lake, lake.aside(&path));
        Ok(Writer { encoder, upload, lake: Arc::clone(lake), path })
    }

    pub(super) async fn write(&mut self, batches: &[RecordBatch]) -> Result<()> {
        for batch in batches {
            self.encoder.write(batch).map_err(|e| unwritten(&e, &self.lake, &self.path))?;
            if self.held() > OPEN { self.flush().await? } else { self.send().await? }
        }
        Ok(())
    }

    /// Bytes in the buffers of the open row group.
    pub(super) fn held(&self) -> usize {
        self.encoder.held()
    }

    /// What came so far becomes a row group.
    pub(super) async fn flush(&mut self) -> Result<()> {
        self.encoder.end_row_group().map_err(|e| unwritten(&e, &self.lake, &self.path))?;
        self.send().await
    }

    async fn send(&mut self) -> Result<()> {
        let sent = self.upload.send(self.encoder.sink()).await;
        sent.map_err(|e| storage(&e, self.lake.shown()).at(self.lake.relative(&self.path)))
    }

    /// Completes the object.
    pub(super) async fn finish(&mut self) -> Result<Ended> {
        let bytes = self.encoder.finish().map_err(|e| unwritten(&e, &self.lake, &self.path))?;
        let parts = self.encoder.sink().take();
        let sha256 = parts.sha256();
        let finished = self.upload.finish(parts, &self.path).await;
        let aside = finished.map_err(|e| storage(&e, self.lake.shown()).at(self.lake.relative(&self.path)))?;
        Ok(Ended { bytes, sha256, aside })
    }

    /// Takes back what was sent, and waits until it is.
    pub(super) async fn abandon(self) -> object_store::Result<()> {
        self.upload.abandon().await
    }
}

fn unwritten(e: &ParquetError, lake: &Lake, path: &Path) -> Error {
    Error::storage(e.to_string()).at(lake.relative(path))
}

/// How every object is written, besides compression: statistics, dictionaries where they pay, and who wrote it.
fn properties(table: &Table, schema: &SchemaRef, sample: Option<&RecordBatch>, extent: Extent) -> WriterProperties {
    let note = |key: &str, value: String| KeyValue::new(key.to_string(), value);
    let mut properties = WriterProperties::builder().set_dictionary_enabled(false);
    if extent.is_one_page() {
        // An index of pages would be made, and left out again (`encode.rs`).
        properties = properties.set_statistics_enabled(EnabledStatistics::Chunk).set_offset_index_disabled(true);
    }
    for (field, values) in sample.iter().flat_map(|rows| rows.schema_ref().fields().iter().zip(rows.columns())) {
        if !is_plain(values, &extent) {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), true);
        }
    }
    for field in schema.fields().iter().filter(|field| field.data_type().is_floating()) {
        // No column index: the library writes it with bounds of the newer order and counts of NaN, and only
        // statistics of a column chunk pass `encode::footer`.
        let path = ColumnPath::from(field.name().as_str());
        properties = properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
    }
    properties
        .set_created_by(concat!("openai-elt version ", env!("CARGO_PKG_VERSION")).to_string())
        .set_key_value_metadata(Some(vec![
            note("openai_elt.table", table.name.clone()),
            note("openai_elt.schema_version", table.version().to_string()),
        ]))
        .build()
}

/// Whether a dictionary would only be work for a column: counts, marks, what hardly any two rows have in common, and
/// in a small object nothing at all or one and the same time. The library would find out when the dictionary is too
/// large, after a million bytes of it; and one of times is made ready for 4,096 of them.
fn is_plain(values: &ArrayRef, extent: &Extent) -> bool {
    let some = values.len() - values.null_count();
    match values.data_type() {
        DataType::Int64 | DataType::Boolean => true,
        _ if some == 0 => extent.is_one_page(),
        DataType::Timestamp(..) if extent.is_one_page() && is_one(values) => true,
        _ if some < SAMPLE => false,
        DataType::Utf8 => are_distinct(extent.rows, values.as_string::<i32>().iter().flatten().map(str::as_bytes)),
        DataType::Timestamp(..) => {
            let times = values.as_primitive::<TimestampMicrosecondType>();
            are_distinct(extent.rows, times.iter().flatten().map(i64::to_le_bytes))
        }
        DataType::Decimal128(..) => {
            let amounts = values.as_primitive::<Decimal128Type>();
            are_distinct(extent.rows, amounts.iter().flatten().map(i128::to_le_bytes))
        }
        _ => false,
    }
}

/// Whether all rows have the same time.
fn is_one(times: &ArrayRef) -> bool {
    let times = times.as_primitive::<TimestampMicrosecondType>().values();
    times.iter().all(|time| Some(time) == times.first())
}

/// Values that tell what the others are like,
const SAMPLE: usize = 500;
/// those after which it may be clear already,
const FEW: usize = 100;
/// and the slots they are looked up in.
const SLOTS: usize = 1024;

/// Whether most of so many rows have a value of their own, told by the first ones.
///
/// Of `c` values, `n` rows repeat about n²/2c. A dictionary has more than every second row of `rows` in it
/// if they are fewer than 1.6 `c`; that is when the first `n` repeat less than 0.8 n² / `rows`.
fn are_distinct(rows: usize, values: impl Iterator<Item = impl AsRef<[u8]>>) -> bool {
    // Hashes, each in the first free slot from its own on; 0 is free. Not a map: this is asked of each column
    // of each object, and it was the half of it.
    let mut seen = [0_u64; SLOTS];
    let mut repeated = 0;
    for (index, value) in values.take(SAMPLE).enumerate() {
        let hash = XxHash3_128::oneshot(value.as_ref()) as u64 | 1;
        let mut slot = (hash >> 32) as usize % SLOTS;
        while seen[slot] != 0 && seen[slot] != hash {
            slot = (slot + 1) % SLOTS;
        }
        repeated += usize::from(std::mem::replace(&mut seen[slot], hash) == hash);
        if index >= FEW && !are_few(repeated, index + 1, rows) {
            return false;
        }
    }
    are_few(repeated, SAMPLE, rows)
}

fn are_few(repeated: usize, of: usize, rows: usize) -> bool {
    rows.saturating_mul(5 * repeated) < 4 * of * of
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many rows that take turns with so many values, in no order.
    fn rows(rows: u64, values: u64) -> Vec<[u8; 8]> {
        let mixed = |row: u64| XxHash3_128::oneshot(&row.to_le_bytes()) as u64;
        (0..rows).map(|row| (mixed(row) % values).to_le_bytes()).collect()
    }

    #[test]
    fn a_dictionary_is_left_out_where_it_would_have_most_rows() {
        for (all, values, distinct) in [
            (1_000, 5, false),
            (1_000, 300, false),
            (1_000, 3_000, true),
            (1_000_000, 3_000, false),
            (1_000_000, 50_000, false),
            (10_000, 50_000, true),
            (1_000_000, u64::MAX, true),
            (u64::MAX, 50_000, false),
            (u64::MAX, u64::MAX, true),
        ] {
            let first = rows(all.min(5_000), values);
            assert_eq!(are_distinct(all as usize, first.iter()), distinct, "{values} values in {all} rows");
        }
    }
}
