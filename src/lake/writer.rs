//! One object being written: rows go in, whole parts go out, and it stands aside, complete, when it is finished.

use std::hash::BuildHasherDefault;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::DataType;
use object_store::path::Path;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use twox_hash::XxHash3_128;

use super::encode::Encoder;
use super::keys::KeyMap;
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

/// An object that is there.
pub(super) struct Appeared {
    pub(super) bytes: u64,
    /// In hex.
    pub(super) sha256: String,
    /// For [`Lake::settle`].
    pub(super) folders: Vec<PathBuf>,
}

impl Writer {
    /// Writes where readers do not look; `sample` is of the object's rows.
    pub(super) fn new(lake: &Arc<Lake>, table: &Table, path: Path, sample: &RecordBatch) -> Result<Writer> {
        let encoder = Encoder::new(Parts::new(lake), &sample.schema(), properties(table, sample));
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

    /// Completes the object and lets it appear.
    pub(super) async fn finish(&mut self) -> Result<Appeared> {
        let bytes = self.encoder.finish().map_err(|e| unwritten(&e, &self.lake, &self.path))?;
        let parts = self.encoder.sink().take();
        let sha256 = parts.sha256();
        let finished = self.upload.finish(parts, &self.path).await;
        let folders = finished.map_err(|e| storage(&e, self.lake.shown()).at(self.lake.relative(&self.path)))?;
        Ok(Appeared { bytes, sha256, folders })
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
fn properties(table: &Table, sample: &RecordBatch) -> WriterProperties {
    let note = |key: &str, value: String| KeyValue::new(key.to_string(), value);
    let mut properties = WriterProperties::builder();
    for (field, values) in sample.schema_ref().fields().iter().zip(sample.columns()) {
        if differ(values) {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), false);
        }
    }
    properties
        .set_created_by(concat!("openai-elt version ", env!("CARGO_PKG_VERSION")).to_string())
        .set_key_value_metadata(Some(vec![
            note("openai_elt.table", table.name.clone()),
            note("openai_elt.schema_version", table.version().to_string()),
        ]))
        .build()
}

/// Whether a dictionary would only be work for a column: counts, and what hardly any two rows have in common.
/// The library would find out when the dictionary is too large, after a million bytes of it.
fn differ(values: &ArrayRef) -> bool {
    match values.data_type() {
        DataType::Int64 => true,
        _ if values.len() - values.null_count() < SAMPLE => false,
        DataType::Utf8 => are_distinct(values.as_string::<i32>().iter().flatten().map(str::as_bytes)),
        DataType::Timestamp(..) => {
            let times = values.as_primitive::<TimestampMicrosecondType>();
            are_distinct(times.iter().flatten().map(i64::to_le_bytes))
        }
        DataType::Decimal128(..) => {
            let amounts = values.as_primitive::<Decimal128Type>();
            are_distinct(amounts.iter().flatten().map(i128::to_le_bytes))
        }
        _ => false,
    }
}

/// Values that tell: where only a few thousand are in use, two of so many are the same.
const SAMPLE: usize = 500;

fn are_distinct(values: impl Iterator<Item = impl AsRef<[u8]>>) -> bool {
    let mut seen = KeyMap::with_capacity_and_hasher(SAMPLE, BuildHasherDefault::default());
    values.take(SAMPLE).all(|value| seen.insert(XxHash3_128::oneshot(value.as_ref()), ()).is_none())
}
