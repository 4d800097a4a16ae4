//! Which columns of a file are encoded: of those without any value one of each type, since the others are the same
//! bytes.
//!
//! A table has columns for all that the API may ever tell, and most tell nothing of most organizations: of a day's
//! usage results more than half. To the library each is a writer with levels, encoders and statistics of its own.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::errors::Result;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use super::broken;

pub(in crate::lake) struct Alike {
    /// The columns that are encoded, in the order of the file's.
    pub(super) encoded: Vec<usize>,
    /// For each column of the file, which of these it is.
    pub(super) places: Vec<usize>,
}

impl Alike {
    /// Nothing is known of the rows: each column is encoded.
    pub(in crate::lake) fn none(schema: &Schema) -> Alike {
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        Alike { encoded: all.clone(), places: all }
    }

    /// These are all the rows.
    pub(in crate::lake) fn of(schema: &Schema, rows: &[RecordBatch]) -> Alike {
        let mut without = HashMap::new();
        let mut alike = Alike { encoded: Vec::new(), places: Vec::new() };
        for (column, field) in schema.fields().iter().enumerate() {
            let next = alike.encoded.len();
            let place = match rows.iter().all(|rows| is_null(rows, column)) {
                true => *without.entry((field.data_type(), field.is_nullable())).or_insert(next),
                false => next,
            };
            if place == next {
                alike.encoded.push(column);
            }
            alike.places.push(place);
        }
        alike
    }

    /// Makes writers for the encoded columns of a file of these types.
    pub(super) fn factory(
        &self,
        schema: &SchemaRef,
        types: &TypePtr,
        properties: &WriterPropertiesPtr,
    ) -> Result<ArrowRowGroupWriterFactory> {
        let fields = self.encoded.iter().filter_map(|column| types.get_fields().get(*column)).map(Arc::clone);
        let types = Type::group_type_builder(types.name()).with_fields(fields.collect()).build()?;
        // Of this file nothing is written: the library makes columns for files alone.
        let file = SerializedFileWriter::new(io::sink(), Arc::new(types), Arc::clone(properties))?;
        Ok(ArrowRowGroupWriterFactory::new(&file, Arc::new(schema.project(&self.encoded)?)))
    }

    /// Whether the columns that are not encoded are without any value, as it was said.
    pub(super) fn check(&self, rows: &RecordBatch) -> Result<()> {
        let same = |(column, place): (usize, &usize)| self.encoded[*place] == column || is_null(rows, column);
        match self.places.iter().enumerate().all(same) {
            true => Ok(()),
            false => Err(broken("a column has values that was said to have none")),
        }
    }
}

fn is_null(rows: &RecordBatch, column: usize) -> bool {
    let values = rows.column(column);
    values.null_count() == values.len()
}
