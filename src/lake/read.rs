//! The rows that a slice already holds, as a stream in today's columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringArray, new_null_array};
use arrow_schema::{Schema, SchemaRef};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;

use super::ranges::Reader;
use super::{Lake, storage};
use crate::console::typed;
use crate::error::{Error, Result};
use crate::schema::{Column, From, Table};

/// Rows of one old object.
pub(crate) struct OldRows {
    builder: ParquetRecordBatchStreamBuilder<Reader>,
    path: String,
    /// The destination, as the user wrote it.
    dest: String,
    /// None when no row can have another name for its project.
    names: Option<Names>,
}

/// The columns that hold a project, and what is read in place of a name.
#[derive(Clone)]
pub(super) struct Names {
    columns: Vec<String>,
    renamed: Arc<BTreeMap<String, String>>,
}

/// The old object of a slice; none when there is none.
pub(crate) async fn open_old(lake: &Lake, table: &Table, day: Option<chrono::NaiveDate>) -> Result<Option<OldRows>> {
    let old = open_at(lake, lake.object(table, day)).await?;
    Ok(old.map(|old| OldRows { names: Names::of(lake, table, &old), ..old }))
}

/// The object at a path; none when there is none.
pub(super) async fn open_at(lake: &Lake, location: Path) -> Result<Option<OldRows>> {
    let path = lake.relative(&location);
    let reader = match Reader::open(lake, location).await {
        Ok(Some(reader)) => reader,
        Ok(None) => return Ok(None),
        Err(e) => return Err(storage(&e, &lake.shown).at(path)),
    };
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(|e| broken(&e, &path, &lake.shown))?;
    Ok(Some(OldRows { builder, path, dest: lake.shown.clone(), names: None }))
}

impl OldRows {
    pub(crate) fn schema(&self) -> &SchemaRef {
        self.builder.schema()
    }

    /// Returns the number of rows that the file's footer tells.
    pub(crate) fn rows(&self) -> u64 {
        u64::try_from(self.builder.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The same rows as they were written, and what to rename in them.
    pub(super) fn into_written(self) -> (OldRows, Option<Names>) {
        let OldRows { builder, path, dest, names } = self;
        (OldRows { builder, path, dest, names: None }, names)
    }

    /// Whether a column can hold one of these texts, as the statistics of its row groups say.
    fn may_hold<'a>(&self, column: &str, texts: impl Iterator<Item = &'a String> + Clone) -> bool {
        let schema = self.builder.parquet_schema();
        let Some(index) = schema.columns().iter().position(|c| c.name() == column) else { return false };
        self.builder.metadata().row_groups().iter().any(|group| {
            let Some(statistics) = group.column(index).statistics() else { return true };
            let (Some(least), Some(most)) = (statistics.min_bytes_opt(), statistics.max_bytes_opt()) else {
                return true;
            };
            texts.clone().any(|text| least <= text.as_bytes() && text.as_bytes() <= most)
        })
    }

    /// All columns of the file, as they are.
    pub(crate) fn stream(self) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let OldRows { builder, path, dest, names } = self;
        let stream = builder.with_batch_size(8_192).build().map_err(|e| broken(&e, &path, &dest))?;
        let stream = stream.map_err(move |e| broken(&e, &path, &dest));
        Ok(match names {
            None => stream.boxed(),
            Some(names) => stream.and_then(move |batch| std::future::ready(names.rename(&batch))).boxed(),
        })
    }

    /// Some columns by name, in the order of `names`; one that the file lacks is null.
    pub(crate) fn columns(self, wanted: SchemaRef) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let OldRows { builder, path, dest, names: renamed } = self;
        let schema = builder.parquet_schema();
        let names: Vec<&str> = wanted.fields().iter().map(|f| f.name().as_str()).collect();
        let mask = ProjectionMask::columns(schema, names);
        let stream =
            builder.with_projection(mask).with_batch_size(8_192).build().map_err(|e| broken(&e, &path, &dest))?;
        let today = move |batch: RecordBatch| match &renamed {
            None => conform(&batch, &wanted),
            Some(names) => names.rename(&batch).and_then(|batch| conform(&batch, &wanted)),
        };
        Ok(stream
            .map_err(move |e| broken(&e, &path, &dest))
            .and_then(move |batch| std::future::ready(today(batch)))
            .boxed())
    }
}

impl Names {
    fn of(lake: &Lake, table: &Table, old: &OldRows) -> Option<Names> {
        if lake.renamed.is_empty() {
            return None;
        }
        let of_project = |column: &&Column| column.from == From::Bound("key.project".to_string());
        let columns = table.columns.iter().filter(of_project).map(|column| column.name.clone());
        let columns: Vec<String> = columns.filter(|column| old.may_hold(column, lake.renamed.keys())).collect();
        (!columns.is_empty()).then(|| Names { columns, renamed: Arc::clone(&lake.renamed) })
    }

    /// The batch with the id in place of each name.
    pub(super) fn rename(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = batch.columns().to_vec();
        for name in &self.columns {
            let Ok(index) = batch.schema_ref().index_of(name) else { continue };
            let Some(texts) = columns[index].as_string_opt::<i32>() else { continue };
            let known = |text: &str| self.renamed.get(text).map(String::as_str);
            if texts.iter().flatten().any(|text| known(text).is_some()) {
                let texts = texts.iter().map(|text| text.map(|text| known(text).unwrap_or(text)));
                columns[index] = Arc::new(StringArray::from_iter(texts));
            }
        }
        RecordBatch::try_new(batch.schema(), columns)
            .map_err(|e| Error::integrity(format!("old rows do not fit the table: {e}")))
    }
}

/// The columns that a rewritten object will have: the table's own.
///
/// A whole table's object keeps the order that it has, and columns it lacks go
/// after them, so that loading by position goes on working when history is
/// switched on. A column that the table does not know was written by a newer
/// version, or with `history`; dropping it would lose data.
pub(super) fn merged_schema(table: &Table, old: Option<&OldRows>) -> Result<SchemaRef> {
    let wanted = table.arrow();
    let Some(old) = old else { return Ok(wanted) };
    for field in old.schema().fields() {
        let known = wanted.field_with_name(field.name());
        let known = known.map_err(|_| {
            Error::integrity(format!(
                "{}: the file has a column `{}` that this table does not know",
                old.path,
                field.name()
            ))
            .hint("it was written by a newer version, with --schemas or with history = true: use the same again")
        })?;
        if known.data_type() != field.data_type() {
            return Err(Error::integrity(format!(
                "{}: the column `{}` is {} in the file and {} in the table; a type never changes",
                old.path,
                field.name(),
                field.data_type(),
                known.data_type()
            )));
        }
    }
    if table.slices.is_some() {
        return Ok(wanted);
    }
    let mut fields = old.schema().fields().to_vec();
    for field in wanted.fields() {
        if old.schema().field_with_name(field.name()).is_err() {
            fields.push(Arc::clone(field));
        }
    }
    let bare = fields.iter().map(|f| Arc::new(arrow_schema::Field::new(f.name(), f.data_type().clone(), true)));
    Ok(Arc::new(Schema::new(bare.collect::<Vec<_>>())))
}

/// The batch in the columns of `schema`; missing ones are null.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let column = |field: &Arc<arrow_schema::Field>| match batch.column_by_name(field.name()) {
        Some(array) => Arc::clone(array),
        None => new_null_array(field.data_type(), batch.num_rows()),
    };
    let columns: Vec<Arc<dyn Array>> = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|e| Error::integrity(format!("old rows do not fit the table: {e}")))
}

fn broken(e: &ParquetError, path: &str, dest: &str) -> Error {
    let (table, dest) = (path.split('/').next().unwrap_or_default(), typed(dest));
    Error::integrity(format!("{path}: not a readable Parquet file: {e}")).hint(format!("something else changed or cut the file: restore it, or move it away and run `openai-elt state reset {table} --dest {dest}`, so that the next sync reads its table again; what the source no longer has of it is lost then"))
}
