//! One object being written: rows go in, whole parts go out, and it stands aside, complete, when it is finished.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use object_store::path::Path;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::encode::Encoder;
use super::upload::{Parts, Upload};
use super::{Lake, storage};
use crate::error::{Error, Result};
use crate::schema::{Column, Policy, Table, Type};

/// The open row group's encoded pages are kept until it is complete. From about so many bytes on it is,
/// though it may hold less than the 128 MiB of values that are aimed at: memory stays flat as tables grow.
const OPEN: usize = 12 << 20;

pub(super) struct Writer {
    encoder: Encoder<Parts>,
    upload: Upload,
    /// The object and its destination, as messages name them.
    place: String,
    shown: String,
}

impl Writer {
    /// Writes to `aside`, where readers do not look; `place` is what messages call the object.
    pub(super) fn new(lake: &Lake, table: &Table, aside: Path, place: &str, schema: &SchemaRef) -> Result<Writer> {
        let encoder = Encoder::new(Parts::default(), schema, properties(table)).map_err(|e| unwritten(&e, place))?;
        let upload = Upload::new(&lake.uploads, &lake.tasks, aside);
        Ok(Writer { encoder, upload, place: place.to_string(), shown: lake.shown.clone() })
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.encoder.write(batch).map_err(|e| unwritten(&e, &self.place))?;
        if self.held() > OPEN { self.flush().await } else { self.send().await }
    }

    /// Bytes in the buffers of the open row group.
    pub(super) fn held(&self) -> usize {
        self.encoder.held()
    }

    /// What came so far becomes a row group.
    pub(super) async fn flush(&mut self) -> Result<()> {
        self.encoder.end_row_group().map_err(|e| unwritten(&e, &self.place))?;
        self.send().await
    }

    async fn send(&mut self) -> Result<()> {
        let sent = self.upload.send(self.encoder.sink()).await;
        sent.map_err(|e| storage(&e, &self.shown).at(self.place.clone()))
    }

    /// Completes the object; gives its size in bytes and its checksum in hex.
    pub(super) async fn finish(&mut self) -> Result<(u64, String)> {
        let bytes = self.encoder.finish().map_err(|e| unwritten(&e, &self.place))?;
        let finished = self.upload.finish(std::mem::take(self.encoder.sink())).await;
        let sha256 = finished.map_err(|e| storage(&e, &self.shown).at(self.place.clone()))?;
        Ok((bytes, sha256))
    }

    /// Takes back what was sent, and waits until it is.
    pub(super) async fn abandon(self) -> object_store::Result<()> {
        self.upload.abandon().await
    }
}

fn unwritten(e: &ParquetError, place: &str) -> Error {
    Error::storage(e.to_string()).at(place)
}

/// How every object is written, besides compression: statistics, dictionaries where they pay, and who wrote it.
fn properties(table: &Table) -> WriterProperties {
    let note = |key: &str, value: String| KeyValue::new(key.to_string(), value);
    let mut properties = WriterProperties::builder();
    for column in undictionaried(table) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column.name.as_str()), false);
    }
    properties
        .set_created_by(concat!("openai-elt version ", env!("CARGO_PKG_VERSION")).to_string())
        .set_key_value_metadata(Some(vec![
            note("openai_elt.table", table.name.clone()),
            note("openai_elt.schema_version", table.version().to_string()),
        ]))
        .build()
}

/// Columns for which a dictionary is only work: one that is the key alone has each value once, and
/// counts differ from row to row.
fn undictionaried(table: &Table) -> impl Iterator<Item = &Column> {
    let alone = |index: usize| table.key == [index] && table.policy != Policy::Replace;
    let columns = table.columns.iter().enumerate();
    columns.filter(move |(index, column)| alone(*index) || column.kind == Type::Int).map(|(_, column)| column)
}
