//! Batches of rows become the bytes of a Parquet file: the library encodes columns, pages are compressed here.
//!
//! The library makes a compressor and a decompressor for each column of each row
//! group, which was a fifth of all work where a day has a thousand rows in thirty
//! columns. So it is told to compress nothing, and each page is compressed on its
//! way into its column's chunk, by one compressor for each thread. The files are
//! the same as if the library had compressed, but for the smallest pages
//! (docs/decisions/0015). Pages of an open row group are kept compressed; nothing
//! else of a file stays in memory.

mod alike;
mod chunk;
mod footer;
mod page;

use std::cell::RefCell;
use std::io::Write;
use std::mem;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::TypePtr;

pub(super) use alike::Alike;
use chunk::{Chunk, Chunks};
use footer::Footer;

/// Row groups end at so many rows, or
const ROWS: usize = 1 << 20;
/// at so many bytes of values, whichever comes first.
const VALUES: usize = 128 << 20;

/// One Parquet file being written to `W`, row group by row group.
pub(super) struct Encoder<W: Write + Send> {
    file: SerializedFileWriter<Footer<W>>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    alike: Alike,
    chunks: Chunks,
    /// The open row group: one writer for each encoded column, none when there is no row group open.
    columns: Vec<ArrowColumnWriter>,
    rows: usize,
}

impl<W: Write + Send> Encoder<W> {
    /// The Arrow schema is left out of the footer: the Parquet types say it all, to every reader alike.
    pub(super) fn new(into: W, schema: &SchemaRef, properties: WriterProperties, alike: Alike) -> Result<Encoder<W>> {
        let (types, properties) = (parquet(schema)?, Arc::new(properties));
        let chunks = Chunks::default();
        let factory = alike.factory(schema, &types, &properties)?.with_page_store_factory(Arc::new(chunks.clone()));
        let file = SerializedFileWriter::new(Footer::new(into), types, properties)?;
        Ok(Encoder { file, factory, schema: Arc::clone(schema), alike, chunks, columns: Vec::new(), rows: 0 })
    }

    /// Adds rows to the open row group; one that is complete goes to `W`.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut written = 0;
        while written < batch.num_rows() {
            let rows = (batch.num_rows() - written).min(ROWS - self.rows);
            // A slice is not free: each of its columns is made anew.
            match rows == batch.num_rows() {
                true => self.add(batch)?,
                false => self.add(&batch.slice(written, rows))?,
            }
            written += rows;
            let values: usize = self.columns.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum();
            if self.rows == ROWS || values >= VALUES {
                self.end_row_group()?;
            }
        }
        Ok(())
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.columns.is_empty() {
            self.columns = self.factory.create_column_writers(self.file.flushed_row_groups().len())?;
        }
        self.alike.check(batch)?;
        for (index, column) in self.alike.encoded.iter().zip(&mut self.columns) {
            // Tables are flat: a column is one leaf.
            for leaf in compute_leaves(self.schema.field(*index), batch.column(*index))? {
                column.write(&leaf)?;
            }
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    /// What the open row group holds, in bytes.
    pub(super) fn held(&self) -> usize {
        self.columns.iter().map(ArrowColumnWriter::memory_size).sum()
    }

    /// The rows that came so far become a row group.
    pub(super) fn end_row_group(&mut self) -> Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        self.rows = 0;
        let columns = mem::take(&mut self.columns).into_iter();
        let mut closed: Vec<_> = columns.map(ArrowColumnWriter::close).collect::<Result<_>>()?;
        let mut chunks = self.chunks.take();
        // Where all columns have one page, an index of pages says what the footer says already.
        let indexed = chunks.iter().any(|chunk| chunk.pages() > 1);
        let columns = self.file.schema_descr().columns().to_vec();
        let mut group = self.file.next_row_group()?;
        let places = &self.alike.places;
        for (index, (place, column)) in places.iter().zip(&columns).enumerate() {
            let (chunk, closed) = (&mut chunks[*place], &mut closed[*place]);
            group.append_column(chunk, chunk.describe(closed, column, indexed)?)?;
            if !places[index + 1..].contains(place) {
                // Its bytes are in the file now; together they are as large as the row group.
                *chunk = Chunk::default();
            }
        }
        group.close()?;
        Ok(())
    }

    /// Writes the last row group and the footer; gives the size of the file in bytes.
    pub(super) fn finish(&mut self) -> Result<u64> {
        self.end_row_group()?;
        self.file.inner_mut().buffer();
        self.file.finish()?;
        let columns = self.file.schema_descr().num_columns();
        self.file.inner_mut().write_out(columns)?;
        Ok(self.file.bytes_written() as u64)
    }

    pub(super) fn sink(&mut self) -> &mut W {
        self.file.inner_mut().inner_mut()
    }
}

/// The Parquet types of a schema. The last one's are kept: one table's objects come one after the other.
fn parquet(schema: &SchemaRef) -> Result<TypePtr> {
    thread_local! {
        static LAST: RefCell<Option<(SchemaRef, TypePtr)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| match last {
        Some((of, types)) if of == schema => Ok(Arc::clone(types)),
        last => {
            let types = ArrowSchemaConverter::new().convert(schema)?.root_schema_ptr();
            *last = Some((Arc::clone(schema), Arc::clone(&types)));
            Ok(types)
        }
    })
}

fn broken(what: &str) -> ParquetError {
    ParquetError::General(what.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Array, ArrayRef, Int64Array, StringArray, new_null_array};
    use arrow_schema::{DataType, Field, Schema, TimeUnit};
    use bytes::Bytes;
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::arrow::arrow_writer::ArrowWriterOptions;
    use parquet::basic::{Compression, ZstdLevel};

    fn rows(from: i64, to: i64) -> RecordBatch {
        let few = (from..to).map(|i| (i % 5 > 0).then(|| format!("value {}", i % 701)));
        let all = (from..to).map(|i| format!("{:x}", i.wrapping_mul(0x5851_f42d_4c95_7f2d)));
        let columns: [(&str, ArrayRef); 4] = [
            ("few", Arc::new(StringArray::from_iter(few))),
            ("all", Arc::new(StringArray::from_iter_values(all))),
            ("number", Arc::new(Int64Array::from_iter_values((from..to).map(|i| i * i)))),
            ("none", new_null_array(&DataType::Utf8, (to - from) as usize)),
        ];
        let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns.map(|(_, array)| array).to_vec()).unwrap()
    }

    fn properties(compression: Option<Compression>) -> WriterProperties {
        let properties = WriterProperties::builder().set_column_dictionary_enabled("number".into(), false);
        match compression {
            Some(compression) => properties.set_compression(compression).build(),
            None => properties.build(),
        }
    }

    fn ours(groups: &[RecordBatch]) -> Vec<u8> {
        encoded(groups, Alike::none(&groups[0].schema()))
    }

    fn encoded(groups: &[RecordBatch], alike: Alike) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), &groups[0].schema(), properties(None), alike).unwrap();
        for group in groups {
            encoder.write(group).unwrap();
            encoder.end_row_group().unwrap();
        }
        let size = encoder.finish().unwrap();
        let bytes = mem::take(encoder.sink());
        assert_eq!(bytes.len() as u64, size);
        bytes
    }

    #[test]
    fn a_file_is_what_the_library_writes_where_no_page_is_small() {
        let filled = |from, to| rows(from, to).project(&[0, 1, 2]).unwrap();
        let groups = [filled(0, 100_000), filled(100_000, 130_000)];
        let compression = Compression::ZSTD(ZstdLevel::try_new(page::LEVEL).unwrap());
        let options =
            ArrowWriterOptions::new().with_properties(properties(Some(compression))).with_skip_arrow_metadata(true);
        let mut theirs = ArrowWriter::try_new_with_options(Vec::new(), groups[0].schema(), options).unwrap();
        for group in &groups {
            theirs.write(group).unwrap();
            theirs.flush().unwrap();
        }
        assert_eq!(ours(&groups), theirs.into_inner().unwrap());
    }

    /// Some columns with values, and some without any: of one type or of several, between those and at the end.
    fn sparse() -> RecordBatch {
        let none = |of: DataType| new_null_array(&of, 1_000);
        let columns: [(&str, ArrayRef); 8] = [
            ("none", none(DataType::Utf8)),
            ("all", Arc::new(StringArray::from_iter_values((0..1_000).map(|i| i.to_string())))),
            ("no count", none(DataType::Int64)),
            ("nothing", none(DataType::Utf8)),
            ("one", Arc::new((0..1_000).map(|i| (i == 999).then_some(7)).collect::<Int64Array>())),
            ("no time", none(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))),
            ("no number", none(DataType::Int64)),
            ("no mark", none(DataType::Boolean)),
        ];
        let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns.map(|(_, array)| array).to_vec()).unwrap()
    }

    #[test]
    fn columns_without_values_are_the_same_bytes_as_if_each_were_encoded() {
        let rows = sparse();
        let alike = Alike::of(rows.schema_ref(), std::slice::from_ref(&rows));
        assert_eq!(alike.encoded, [0, 1, 2, 4, 5, 7]);
        let halves = [rows.slice(0, 600), rows.slice(600, 400)];
        assert_eq!(encoded(&halves, alike), ours(&halves));
    }

    #[test]
    fn values_of_a_column_that_was_said_to_have_none_are_not_lost() {
        let rows = sparse();
        let alike = Alike::of(rows.schema_ref(), &[rows.slice(0, 600)]);
        let mut encoder = Encoder::new(Vec::new(), rows.schema_ref(), properties(None), alike).unwrap();
        encoder.write(&rows.slice(0, 600)).unwrap();
        assert!(encoder.write(&rows.slice(600, 400)).is_err());
    }

    #[test]
    fn columns_of_one_page_have_no_index_of_pages() {
        let batch = rows(0, 1_000);
        let file = Bytes::from(ours(std::slice::from_ref(&batch)));
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let columns = reader.metadata().row_group(0).columns();
        assert!(columns.iter().all(|c| c.offset_index_offset().is_none() && c.column_index_offset().is_none()));
        assert_eq!(columns[2].statistics().and_then(|s| s.null_count_opt()), Some(0));
        let read: Vec<RecordBatch> = reader.build().unwrap().map(std::result::Result::unwrap).collect();
        assert_eq!(read, [batch]);
    }
}
