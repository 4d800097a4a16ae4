//! Reading objects back: to compare them with the run reports, and to derive the state from them.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use sha2::{Digest, Sha256};

use super::key_set::KeySet;
use super::keys::hashes;
use super::read::{OldRows, open_at};
use super::{Lake, OBJECT, hex, storage};
use crate::error::{Error, Result};
use crate::plan::day;
use crate::schema::{Catalog, Table};

/// An object of the lake.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) path: String,
    pub(crate) table: String,
    pub(crate) day: Option<NaiveDate>,
    pub(crate) bytes: u64,
    pub(crate) modified: DateTime<Utc>,
    tag: Option<String>,
    location: Path,
}

/// What reading an object whole told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) rows: u64,
    /// Rows whose key another row of the object has too.
    pub(crate) repeated: u64,
    /// Rows of a day table that belong to another day.
    pub(crate) misplaced: u64,
    pub(crate) synced: Option<DateTime<Utc>>,
    pub(crate) sha256: String,
}

impl Found {
    /// Changes whenever the object does: its size, and its tag or else its time.
    pub(crate) fn fingerprint(&self) -> String {
        let tag = self.tag.clone().unwrap_or_else(|| self.modified.to_rfc3339());
        format!("{} {}", self.bytes, tag.trim_matches('"'))
    }
}

impl Lake {
    /// Every object of every table, known or not, by path.
    pub(crate) async fn objects(&self) -> Result<Vec<Found>> {
        let mut found: Vec<Found> = self.listed().await?.into_iter().filter_map(|meta| self.found(meta)).collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn found(&self, meta: ObjectMeta) -> Option<Found> {
        let path = self.relative(&meta.location);
        let parts: Vec<&str> = path.split('/').collect();
        let (table, day) = match parts.as_slice() {
            [table, object] if *object == OBJECT => (*table, None),
            [table, date, object] if *object == OBJECT => (*table, Some(date.strip_prefix("date=")?.parse().ok()?)),
            _ => return None,
        };
        if table.starts_with('_') {
            return None;
        }
        Some(Found {
            table: table.to_string(),
            day,
            bytes: meta.size,
            modified: meta.last_modified,
            tag: meta.e_tag,
            location: meta.location,
            path: path.clone(),
        })
    }

    /// The object as it is at this moment; none when it is gone.
    pub(crate) async fn again(&self, found: &Found) -> Result<Option<Found>> {
        match self.store.head(&found.location).await {
            Ok(meta) => Ok(self.found(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(storage(&e, &self.shown).at(found.path.clone())),
        }
    }

    /// The rows of an object.
    pub(crate) async fn rows(&self, found: &Found) -> Result<OldRows> {
        let rows = open_at(self, found.location.clone()).await?;
        rows.ok_or_else(|| Error::integrity(format!("{} is gone", found.path)))
    }

    /// The bytes of an object, as a stream.
    pub(crate) async fn bytes(&self, found: &Found) -> Result<BoxStream<'static, Result<Bytes>>> {
        let shown = self.shown.clone();
        let got = self.store.get(&found.location).await.map_err(|e| storage(&e, &shown).at(found.path.clone()))?;
        Ok(got.into_stream().map_err(move |e| storage(&e, &shown)).boxed())
    }

    /// Parquet files in the folders of tables that are no slice's object: a glob reads them as rows. A folder is a
    /// table's if the catalog has it, or if it holds an object of ours.
    pub(crate) async fn strangers(&self, catalog: &Catalog) -> Result<Vec<String>> {
        let (mut ours, mut strange) = (BTreeSet::new(), Vec::new());
        for meta in self.listed().await? {
            let path = self.relative(&meta.location);
            match self.found(meta) {
                Some(found) => {
                    ours.insert(found.table);
                }
                None if path.ends_with(".parquet") && !path.starts_with('_') => strange.push(path),
                None => {}
            }
        }
        let of_table = |path: &String| {
            let folder = path.split_once('/').map(|(folder, _)| folder);
            folder.is_some_and(|folder| ours.contains(folder) || catalog.get(folder).is_some())
        };
        strange.retain(of_table);
        Ok(strange)
    }

    /// Reads an object whole.
    pub(crate) async fn content(&self, found: &Found, table: &Table) -> Result<Content> {
        let old = open_at(self, found.location.clone()).await?;
        let old = old.ok_or_else(|| Error::integrity(format!("{} is gone", found.path)))?;
        let mut rows = old.stream()?;
        let mut content = Content::default();
        let mut keys = KeySet::default();
        let mut newest = None;
        while let Some(batch) = rows.try_next().await? {
            let index = |name: &str| batch.schema().index_of(name).map_err(|e| Error::integrity(e.to_string()));
            let mut key = table.key.iter().map(|k| index(&table.columns[*k].name)).collect::<Result<Vec<_>>>()?;
            // With history, a key has a row for each version.
            key.extend(index("_valid_from"));
            content.rows += batch.num_rows() as u64;
            for hash in hashes(&batch, &key)? {
                content.repeated += u64::from(!keys.insert(hash)?);
            }
            let times =
                |name: &str| Ok::<_, Error>(batch.column(index(name)?).as_primitive::<TimestampMicrosecondType>());
            if let (Some(slices), Some(of)) = (&table.slices, found.day) {
                let by = times(&table.columns[slices.by].name)?;
                let other = |row: &usize| day(by.is_valid(*row).then(|| by.value(*row))) != of;
                content.misplaced += (0..batch.num_rows()).filter(other).count() as u64;
            }
            newest = newest.max(times("_synced_at")?.iter().flatten().max());
        }
        content.sha256 = self.checksum(&found.location).await?;
        content.synced = newest.and_then(DateTime::from_timestamp_micros);
        Ok(content)
    }

    async fn checksum(&self, location: &Path) -> Result<String> {
        let failed = |e: object_store::Error| storage(&e, &self.shown);
        let mut parts = self.store.get(location).await.map_err(failed)?.into_stream();
        let mut sha256 = Sha256::new();
        while let Some(part) = parts.try_next().await.map_err(failed)? {
            sha256.update(&part);
        }
        Ok(hex(&sha256.finalize()))
    }

    /// The texts of the run reports, oldest first: at most so many, and then the newest ones.
    pub(crate) async fn reports(&self, most: usize) -> Result<Vec<(String, String)>> {
        let prefix = self.path(&["_runs"]);
        let mut listed: Vec<ObjectMeta> = match self.store.list(Some(&prefix)).try_collect().await {
            Ok(listed) => listed,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(e) => return Err(storage(&e, &self.shown)),
        };
        listed.retain(|m| m.location.as_ref().ends_with(".json"));
        // Their names begin with the moment of the run.
        listed.sort_by(|a, b| b.location.cmp(&a.location));
        listed.truncate(most);
        let mut texts = BTreeMap::new();
        for meta in listed {
            let path = self.relative(&meta.location);
            let failed = |e: object_store::Error| storage(&e, &self.shown).at(path.clone());
            let bytes = self.store.get(&meta.location).await.map_err(failed)?.bytes().await.map_err(failed)?;
            texts.insert(path.clone(), String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(texts.into_iter().collect())
    }
}

/// The hashes of an object's keys, and of its whole rows but for the moment they were read, both sorted.
#[cfg(test)]
pub(crate) async fn row_hashes(lake: &Lake, table: &Table, path: &Path) -> Result<(Vec<u128>, Vec<u128>)> {
    let old = open_at(lake, path.clone()).await?.ok_or_else(|| Error::integrity(format!("{path} is not there")))?;
    let mut rows = old.stream()?;
    let (mut keys, mut all) = (Vec::new(), Vec::new());
    while let Some(batch) = rows.try_next().await? {
        let index = |name: &str| batch.schema().index_of(name).map_err(|e| Error::integrity(e.to_string()));
        let key = table.key.iter().map(|k| index(&table.columns[*k].name)).collect::<Result<Vec<_>>>()?;
        let data = table.columns.iter().filter(|c| c.from != crate::schema::From::SyncedAt).map(|c| index(&c.name));
        keys.extend(hashes(&batch, &key)?);
        all.extend(hashes(&batch, &data.collect::<Result<Vec<_>>>()?)?);
    }
    keys.sort_unstable();
    all.sort_unstable();
    Ok((keys, all))
}
