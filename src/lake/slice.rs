//! One slice being rewritten: new rows first, then the old ones that stay, then the object appears.
//!
//! The same function serves all three policies. New rows are written as they
//! come and only the hashes of their keys are kept; when all have come, the old
//! object is read as a stream and each of its rows is dropped, kept or turned
//! into a tombstone. Until [`Lake::appear`] was called, readers of a disk see the
//! old object, and those of a store until [`Slice::finish`] returns.

use std::sync::Arc;

use arrow_array::builder::BooleanBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use chrono::NaiveDate;
use futures::TryStreamExt;
use object_store::path::Path;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::appear::Complete;
use super::equals::Equals;
use super::fate::{Fate, Parents, fate};
use super::key_marks::{Marked, Marks};
use super::key_set::KeySet;
use super::keys::{KeyMap, hashes, hashes_with, nth};
use super::read::{OldRows, conform, merged_schema};
use super::versions::Version;
use super::writer::{Ended, Extent, Writer};
use super::{Lake, open_old};
use crate::error::{Error, Result};
use crate::schema::{Policy, Table};

/// Rows are gathered up to about this many bytes before they are encoded.
const PENDING: usize = 4 << 20;

pub(crate) struct Slice {
    pub(super) lake: Arc<Lake>,
    pub(super) table: Arc<Table>,
    pub(super) day: Option<NaiveDate>,
    path: Path,
    schema: SchemaRef,
    pending: Vec<RecordBatch>,
    pending_bytes: usize,
    /// Whether there was a writer: one that is lost had rows, and another must not go on without them.
    begun: bool,
    /// The writer, at work on what was gathered before.
    writing: Option<AbortOnDropHandle<Result<Writer>>>,
    /// What it holds in memory, at most.
    writing_bytes: usize,
    arrived: KeySet,
    /// Which old rows arrived, if the keys are in a file and were looked for.
    marked: Option<Marked>,
    /// Replaced tables only: whole rows, to tell a repeated row from two of one key.
    contents: KeySet,
    /// Replaced tables only: the list that rows come from, to tell a repeated row from two that are meant.
    list: Equals,
    /// With history: what the old object says of each key's current version.
    pub(super) versions: KeyMap<Version>,
    pub(super) now: i64,
    pub(super) written: Written,
}

/// What became of one slice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) path: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// In hex.
    pub(crate) sha256: String,
    pub(crate) new_rows: u64,
    pub(crate) tombstones: u64,
    /// Rows that came twice and were written once.
    pub(crate) repeated: u64,
    /// Rows that equal another one of the same list in every value, all written (replaced tables only).
    pub(crate) equal: u64,
    /// The table's days are replaced: no row is expected to come twice.
    pub(crate) replaced: bool,
    /// Rows of one key with different values, all written (replaced tables only).
    pub(crate) conflicts: u64,
}

/// A slice of which all is written, for [`Lake::appear`].
pub(crate) struct Finished {
    pub(crate) written: Written,
    /// Its object, while it stands aside.
    pub(super) aside: Option<Complete>,
}

impl Slice {
    /// `now` is the moment of the run, in microseconds.
    pub(crate) async fn open(lake: &Arc<Lake>, table: &Arc<Table>, day: Option<NaiveDate>, now: i64) -> Result<Slice> {
        let old = match day {
            // A replaced day's old object is never read.
            Some(_) if table.policy == Policy::Replace => None,
            _ => open_old(lake, table, day).await?,
        };
        let schema = merged_schema(table, old.as_ref())?;
        let path = lake.object(table, day);
        let mut slice = Slice {
            lake: Arc::clone(lake),
            table: Arc::clone(table),
            day,
            written: Written {
                path: lake.relative(&path),
                replaced: table.policy == Policy::Replace,
                ..Written::default()
            },
            path,
            schema,
            pending: Vec::new(),
            pending_bytes: 0,
            begun: false,
            writing: None,
            writing_bytes: 0,
            arrived: KeySet::default(),
            marked: None,
            contents: KeySet::default(),
            list: Equals::default(),
            versions: KeyMap::default(),
            now,
        };
        if let (true, Some(old)) = (table.history, old) {
            let mut rows = old.stream()?;
            while let Some(batch) = rows.try_next().await? {
                slice.remember(&conform(&batch, &slice.schema.clone())?)?;
            }
        }
        Ok(slice)
    }

    pub(super) fn column(&self, name: &str) -> Result<usize> {
        self.schema.index_of(name).map_err(|e| Error::integrity(e.to_string()))
    }

    pub(super) fn key_columns(&self) -> Result<Vec<usize>> {
        self.table.key.iter().map(|k| self.column(&self.table.columns[*k].name)).collect()
    }

    /// The columns that make a version: all but the engine's moments and marks.
    pub(super) fn content_columns(&self) -> Vec<usize> {
        let moment = |name: &str| name.starts_with('_') && name != "_extra";
        (0..self.schema.fields().len()).filter(|i| !moment(self.schema.field(*i).name())).collect()
    }

    /// Adds new rows; those that came before are left out.
    ///
    /// `lists` has the number of the list that each row came in; without it each came in one of its own. Only
    /// replaced tables need it.
    pub(crate) async fn add(&mut self, batch: RecordBatch, lists: &[u64]) -> Result<()> {
        let batch = conform(&batch, &self.schema)?;
        let fresh: Vec<bool> = match self.table.policy {
            Policy::Replace => self.fresh_by_content(&batch, lists)?,
            _ => self.fresh_by_key(&batch)?,
        };
        let repeated = fresh.iter().filter(|f| !**f).count() as u64;
        self.written.repeated += repeated;
        let batch = match repeated {
            0 => batch,
            _ => filter_record_batch(&batch, &BooleanArray::from(fresh)).map_err(arrow)?,
        };
        let batch = if self.table.history { self.dated(batch)? } else { batch };
        self.written.new_rows += batch.num_rows() as u64;
        self.gather(batch).await
    }

    fn fresh_by_key(&mut self, batch: &RecordBatch) -> Result<Vec<bool>> {
        hashes(batch, &self.key_columns()?)?.into_iter().map(|key| self.arrived.insert(key)).collect()
    }

    /// Two rows of one key with different values are both money. Of rows that are the same in every column, one
    /// list's are all meant; what another list has of them (a bucket or page that came again) is a repetition.
    fn fresh_by_content(&mut self, batch: &RecordBatch, lists: &[u64]) -> Result<Vec<bool>> {
        let key = self.key_columns()?;
        let more: Vec<usize> = self.content_columns().into_iter().filter(|column| !key.contains(column)).collect();
        let mut fresh = Vec::with_capacity(batch.num_rows());
        for (row, (key, content)) in hashes_with(batch, &key, &more)?.into_iter().enumerate() {
            self.list.go_to(lists.get(row).copied());
            let new_key = self.arrived.insert(key)?;
            let mut is_new = self.contents.insert(content)?;
            let equals = if is_new { 0 } else { self.list.count(content) };
            self.written.conflicts += u64::from(is_new && !new_key);
            if equals > 0 {
                // The third of a list is new unless another list had three of them.
                is_new = self.contents.insert(nth(content, equals))?;
                self.written.equal += u64::from(is_new);
            }
            self.list.add(content);
            fresh.push(is_new);
        }
        Ok(fresh)
    }

    pub(super) fn with_columns(&self, batch: RecordBatch, changed: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
        let mut columns = batch.columns().to_vec();
        for (name, array) in changed {
            columns[self.column(name)?] = array;
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(arrow)
    }

    async fn gather(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() > 0 {
            self.pending_bytes += size(&batch);
            self.pending.push(batch);
        }
        if self.pending_bytes >= PENDING { self.encode(false).await } else { Ok(()) }
    }

    /// Bytes of rows that are in memory: waiting to be encoded, or in the buffers of the row group.
    pub(crate) fn held(&self) -> usize {
        self.pending_bytes + self.writing_bytes
    }

    /// Gives the memory back: what came so far becomes a row group of its own.
    pub(crate) async fn ease(&mut self) -> Result<()> {
        self.encode(true).await
    }

    /// Lets what was gathered be encoded, and end its row group if `ends`; what came before it is encoded by then.
    async fn encode(&mut self, ends: bool) -> Result<()> {
        let pending = self.pending_bytes;
        let (batches, mut writer) = self.gathered(false).await?;
        self.writing_bytes = if ends { 0 } else { pending + writer.held() };
        self.writing = Some(self.lake.write(async move {
            writer.write(&batches).await?;
            if ends {
                writer.flush().await?;
            }
            Ok(writer)
        }));
        Ok(())
    }

    /// What is to be encoded next, and the writer, which has written by then what came before; `last` if no rows
    /// come after these.
    async fn gathered(&mut self, last: bool) -> Result<(Vec<RecordBatch>, Writer)> {
        let batches = std::mem::take(&mut self.pending);
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let bytes = std::mem::take(&mut self.pending_bytes);
        self.written.rows += rows as u64;
        let writer = match self.writer_back().await {
            Some(writer) => writer?,
            None if std::mem::replace(&mut self.begun, true) => {
                return Err(Error::storage("the rows before these could not be written").at(self.written.path.clone()));
            }
            None => {
                let extent = if last { Extent { rows, bytes } } else { Extent::OPEN };
                Writer::new(&self.lake, &self.table, self.path.clone(), &self.schema, &batches, extent)?
            }
        };
        Ok((batches, writer))
    }

    /// Waits for the writer; none before the first rows, and after an error.
    async fn writer_back(&mut self) -> Option<Result<Writer>> {
        let writer = self.writing.take()?.await;
        Some(writer.unwrap_or_else(|e| Err(Error::of_task(&e))))
    }

    /// Settles the old rows and completes the object. `stop` is heeded up to there: what began to appear does.
    pub(crate) async fn finish(mut self, parents: Option<&Parents>, stop: &CancellationToken) -> Result<Finished> {
        let complete = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Error::interrupted()),
            complete = self.complete(parents) => complete,
        };
        let finished = match complete {
            Ok(()) => self.end().await,
            Err(error) => Err(error),
        };
        if finished.is_err() {
            self.abandon().await;
        }
        finished
    }

    async fn complete(&mut self, parents: Option<&Parents>) -> Result<()> {
        let all_dropped = self.table.policy == Policy::Replace && parents.is_none();
        let old = if all_dropped { None } else { open_old(&self.lake, &self.table, self.day).await? };
        let Some(old) = old else { return Ok(()) };
        self.mark().await?;
        let mut marked = self.marked.take();
        let (old, names) = old.into_written();
        let known = self.keys_as_written(names.is_some()).await?;
        let mut rows = old.stream()?;
        while let Some(batch) = rows.try_next().await? {
            let written = conform(&batch, &self.schema)?;
            let batch = names.as_ref().map_or_else(|| Ok(written.clone()), |names| names.rename(&written))?;
            let mut arrived = match &mut marked {
                Some(marked) => marked.next(batch.num_rows())?,
                None => self.arrived(&batch)?,
            };
            if let Some(known) = &known {
                arrived = self.or_twin(&arrived, &written, &batch, known)?;
            }
            let kept = self.settle(batch, &arrived, parents)?;
            self.gather(kept).await?;
        }
        marked.map_or(Ok(()), Marked::end)
    }

    /// The keys of the old rows as they are in the file; none where no row is renamed.
    async fn keys_as_written(&self, renamed: bool) -> Result<Option<KeySet>> {
        let old = if renamed { open_old(&self.lake, &self.table, self.day).await? } else { None };
        // Versions of a row share its key.
        let Some((old, _)) = old.filter(|_| !self.table.history).map(OldRows::into_written) else { return Ok(None) };
        let columns = Arc::new(self.schema.project(&self.key_columns()?).map_err(arrow)?);
        let all: Vec<usize> = (0..columns.fields().len()).collect();
        let (mut rows, mut keys) = (old.columns(columns)?, KeySet::default());
        while let Some(batch) = rows.try_next().await? {
            hashes(&batch, &all)?.into_iter().try_for_each(|key| keys.insert(key).map(|_| ()))?;
        }
        Ok(Some(keys))
    }

    /// A row that gets the key of another old row by being renamed is that row: it counts as if a new one had come.
    fn or_twin(
        &self,
        arrived: &BooleanArray,
        written: &RecordBatch,
        renamed: &RecordBatch,
        known: &KeySet,
    ) -> Result<BooleanArray> {
        let columns = self.key_columns()?;
        let (before, after) = (hashes(written, &columns)?, hashes(renamed, &columns)?);
        let twin = |row: usize| Ok(before[row] != after[row] && known.contains(after[row])?);
        (0..arrived.len()).map(|row| Ok(Some(arrived.value(row) || twin(row)?))).collect()
    }

    /// Of each of these old rows, whether a new one has its key.
    fn arrived(&self, old: &RecordBatch) -> Result<BooleanArray> {
        let keys = hashes(old, &self.key_columns()?)?;
        keys.into_iter().map(|key| self.arrived.contains(key).map(Some)).collect()
    }

    /// Looks for all old rows among the new ones, if the new keys are in a file and it was not done yet.
    pub(super) async fn mark(&mut self) -> Result<()> {
        if self.marked.is_none() && !self.arrived.is_in_memory() {
            self.marked = Some(self.all_marked().await?);
        }
        Ok(())
    }

    /// Whether a new row has the key of the old row that comes so many rows after those passed.
    pub(super) fn has_arrived(&self, ahead: usize, key: u128) -> Result<bool> {
        match &self.marked {
            Some(marked) => marked.is_marked(ahead),
            None => self.arrived.contains(key),
        }
    }

    /// Goes on by so many old rows.
    pub(super) fn pass(&mut self, rows: usize) -> Result<()> {
        self.marked.as_mut().map_or(Ok(()), |marked| marked.next(rows).map(|_| ()))
    }

    /// Back to the first old row.
    pub(super) fn rewind(&mut self) {
        if let Some(marked) = &mut self.marked {
            marked.rewind();
        }
    }

    /// The same of all old rows, when keys are in a file: the old keys are read first, and without
    /// the other columns. The set is given up for it.
    async fn all_marked(&mut self) -> Result<Marked> {
        let mut marks = Marks::of(std::mem::take(&mut self.arrived))?;
        if let Some(old) = open_old(&self.lake, &self.table, self.day).await? {
            let columns = Arc::new(self.schema.project(&self.key_columns()?).map_err(arrow)?);
            let all: Vec<usize> = (0..columns.fields().len()).collect();
            let mut rows = old.columns(columns)?;
            while let Some(batch) = rows.try_next().await? {
                marks.ask(&hashes(&batch, &all)?)?;
            }
        }
        marks.finish(&self.written.path)
    }

    async fn end(&mut self) -> Result<Finished> {
        let (batches, mut writer) = self.gathered(true).await?;
        writer.write(&batches).await?;
        let Ended { bytes, sha256, aside } = writer.finish().await?;
        Ok(Finished { written: Written { bytes, sha256, ..std::mem::take(&mut self.written) }, aside })
    }

    /// With so few keys in memory, for tests of what becomes of the others.
    #[cfg(test)]
    pub(super) fn keep_in_memory(&mut self, keys: usize) {
        (self.arrived, self.contents) = (KeySet::of_at_most(keys), KeySet::of_at_most(keys));
    }

    /// Takes back what was uploaded so far, and waits until it is.
    pub(crate) async fn abandon(mut self) {
        if let Some(Ok(writer)) = self.writer_back().await
            && let Err(e) = writer.abandon().await
        {
            tracing::warn!(path = %self.written.path, error = %e, "an unfinished upload could not be taken back");
        }
    }

    /// Old rows after their fate: dropped, as they were, or as tombstones.
    fn settle(&mut self, old: RecordBatch, arrived: &BooleanArray, parents: Option<&Parents>) -> Result<RecordBatch> {
        let of_parents = match parents {
            None => None,
            Some(parents) => {
                let names = parents.columns.iter().map(|c| self.column(&self.table.columns[*c].name));
                Some(hashes(&old, &names.collect::<Result<Vec<_>>>()?)?)
            }
        };
        let fates = (0..old.num_rows()).map(|row| {
            let parent = of_parents.as_ref().zip(parents).map(|(hashes, parents)| parents.of(hashes[row], self.day));
            fate(self.table.policy, arrived.value(row), parent)
        });
        let fates: Vec<Fate> = fates.collect();
        match (self.table.policy, self.table.history) {
            (Policy::Snapshot, true) => self.close_versions(old, &fates),
            (Policy::Snapshot, false) => self.bury(old, &fates),
            _ => keep(&old, &fates),
        }
    }

    fn bury(&mut self, old: RecordBatch, fates: &[Fate]) -> Result<RecordBatch> {
        let was = old.column(self.column("_deleted")?).as_boolean();
        let dead = |row: usize| was.is_valid(row) && was.value(row);
        let mut deleted = BooleanBuilder::with_capacity(fates.len());
        for (row, fate) in fates.iter().enumerate() {
            let buried = *fate == Fate::Tombstone;
            self.written.tombstones += u64::from(buried && !dead(row));
            deleted.append_value(buried || dead(row));
        }
        let old = self.with_columns(old.clone(), vec![("_deleted", Arc::new(deleted.finish()))])?;
        keep(&old, fates)
    }
}

/// Bytes of a batch's own rows: its arrays may be parts of larger ones. Columns without a value are not counted:
/// decoded batches share one array for them.
fn size(batch: &RecordBatch) -> usize {
    let own = batch.columns().iter().filter(|column| column.null_count() < column.len());
    own.map(|column| column.to_data().get_slice_memory_size().unwrap_or_default()).sum()
}

fn keep(old: &RecordBatch, fates: &[Fate]) -> Result<RecordBatch> {
    if fates.iter().all(|f| *f != Fate::Drop) {
        return Ok(old.clone());
    }
    let stays: BooleanArray = fates.iter().map(|f| Some(*f != Fate::Drop)).collect();
    filter_record_batch(old, &stays).map_err(arrow)
}

pub(super) fn arrow(e: arrow_schema::ArrowError) -> Error {
    Error::storage(format!("rows could not be rewritten: {e}"))
}
