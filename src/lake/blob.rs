//! The bytes of a file, kept below `_files/` by day, id and hash.
//!
//! Written as they come, whatever their length, and visible only when complete:
//! the hash is part of the name and known last, so a file is written aside first.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use chrono::NaiveDate;
use futures::TryStreamExt;
use object_store::path::Path;
use sha2::{Digest, Sha256};

use super::upload::{Parts, Upload};
use super::{Lake, hex, storage};
use crate::error::{Error, Result};

const FILES: &str = "_files";
/// Of a name, in bytes: a disk takes 255, and the file aside has more to its name.
const LONGEST: usize = 200;

/// A file being written.
pub(crate) struct Blob {
    lake: Arc<Lake>,
    day: NaiveDate,
    name: String,
    parts: Parts,
    upload: Upload,
}

impl Lake {
    /// The ids of the files that are kept of some days.
    pub(crate) async fn blobs(&self, days: impl IntoIterator<Item = NaiveDate>) -> Result<HashSet<String>> {
        let mut ids = HashSet::new();
        for day in days {
            let folder = self.path(&[FILES, &format!("date={day}")]);
            let mut objects = self.store.list(Some(&folder));
            loop {
                let object = match objects.try_next().await {
                    Ok(Some(object)) => object,
                    Ok(None) | Err(object_store::Error::NotFound { .. }) => break,
                    Err(e) => return Err(storage(&e, &self.shown)),
                };
                let mut below = object.location.prefix_match(&folder).into_iter().flatten();
                ids.extend(below.next().map(|id| id.as_ref().to_string()));
            }
        }
        Ok(ids)
    }

    /// The id as it stands in a path; one that no disk would take as a name, by its hash.
    pub(crate) fn blob_name(id: &str) -> String {
        let name = object_store::path::PathPart::from(id).as_ref().to_string();
        if name.len() <= LONGEST { name } else { hex(&Sha256::digest(id)) }
    }

    pub(crate) fn blob(self: &Arc<Lake>, day: NaiveDate, id: &str) -> Result<Blob> {
        self.private_folder("_staging")?;
        let name = Lake::blob_name(id);
        let aside = self.path(&["_staging", &format!("{FILES}~{day}~{name}")]);
        let upload = Upload::new(self, aside);
        Ok(Blob { lake: Arc::clone(self), day, name, parts: Parts::new(self), upload })
    }
}

impl Blob {
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.parts.add(&bytes);
        let sent = self.upload.send(&mut self.parts).await;
        sent.map_err(|e| storage(&e, &self.lake.shown).at(self.shown()))
    }

    fn shown(&self) -> String {
        format!("{FILES}/{}", self.name)
    }

    /// Lets the file appear; gives its path.
    pub(crate) async fn finish(mut self) -> Result<String> {
        let parts = self.parts.take();
        let sha256 = parts.sha256();
        let day = format!("date={}", self.day);
        // Parts as they are: the name is encoded already, and must not be twice.
        let path = format!("{}/{FILES}/{day}/{}/{}", self.lake.root, self.name, sha256);
        let path = Path::parse(path).map_err(|e| Error::storage(e.to_string()))?;
        self.lake.private_folder(FILES)?;
        let finished = self.upload.finish(parts, &path).await;
        let aside = finished.map_err(|e| storage(&e, &self.lake.shown).at(self.shown()))?;
        self.lake.settle(self.lake.place(aside.into_iter().collect(), |_| {}).await?).await?;
        self.lake.make_private(&path)?;
        Ok(self.lake.relative(&path))
    }

    /// Takes back what was written.
    pub(crate) async fn abandon(self) {
        let name = self.name;
        if let Err(error) = self.upload.abandon().await {
            tracing::warn!(%name, %error, "an unfinished upload could not be taken back");
        }
    }
}
