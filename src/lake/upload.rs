//! One object on its way: in parts when it is large, and visible only when complete.
//!
//! A file is written aside on a disk ([`super::appear`]); a store gets parts of a
//! multipart upload. Whatever ends the way early (an error, a signal), what was uploaded is taken
//! back: parts that nobody completes would stay in a bucket, and cost, for ever.
//! (`object_store::buffered::BufWriter` was the alternative; it lets go of the
//! upload before it is completed, and a run that is stopped there leaves the parts.)

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStoreExt, PutPayload, Result};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::Lake;
use super::appear::{Aside, Complete};

/// Size of a part: the least that S3 takes, since until then it stays in memory,
const PART: usize = 5 << 20;
/// and for a disk, what makes waiting for it worth while.
const DISK_PART: usize = 256 << 10;
/// Parts that are on their way at the same time.
const PARTS: usize = 2;

/// An object's bytes as they are written, cut into parts. Nothing is copied on its way from here.
pub(super) struct Parts {
    size: usize,
    full: Vec<Vec<u8>>,
    last: Vec<u8>,
    sha256: Sha256,
}

impl Parts {
    pub(super) fn new(lake: &Lake) -> Parts {
        Parts::of(if lake.folder.is_some() { DISK_PART } else { PART })
    }

    fn of(size: usize) -> Parts {
        Parts { size, full: Vec::new(), last: Vec::new(), sha256: Sha256::new() }
    }

    /// What came so far; none of it stays.
    pub(super) fn take(&mut self) -> Parts {
        mem::replace(self, Parts::of(self.size))
    }

    pub(super) fn add(&mut self, mut bytes: &[u8]) {
        self.sha256.update(bytes);
        while self.last.len() + bytes.len() >= self.size {
            let (fits, rest) = bytes.split_at(self.size - self.last.len());
            self.last.extend_from_slice(fits);
            // One that was filled has others behind it.
            self.full.push(mem::replace(&mut self.last, Vec::with_capacity(self.size)));
            bytes = rest;
        }
        self.last.extend_from_slice(bytes);
    }

    /// Of all bytes so far, in hex.
    pub(super) fn sha256(&self) -> String {
        super::hex(&self.sha256.clone().finalize())
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) struct Upload {
    lake: Arc<Lake>,
    /// Where it is written.
    path: Path,
    way: Way,
}

enum Way {
    /// None while a thread has it that writes.
    Disk(Option<Aside>),
    Store {
        /// Once there was a whole part.
        parts: Option<Box<dyn MultipartUpload>>,
        sending: JoinSet<Result<()>>,
    },
}

impl Upload {
    /// Nothing is sent before there is a whole part.
    pub(super) fn new(lake: &Arc<Lake>, path: Path) -> Upload {
        let way = match &lake.folder {
            Some(folder) => Way::Disk(Some(Aside::new(folder.join(path.as_ref())))),
            None => Way::Store { parts: None, sending: JoinSet::new() },
        };
        Upload { lake: Arc::clone(lake), path, way }
    }

    /// Sends what is whole.
    pub(super) async fn send(&mut self, parts: &mut Parts) -> Result<()> {
        for part in mem::take(&mut parts.full) {
            self.part(part).await?;
        }
        Ok(())
    }

    async fn part(&mut self, part: Vec<u8>) -> Result<()> {
        let (parts, sending) = match &mut self.way {
            Way::Disk(aside) => {
                let mut file = aside.take().ok_or_else(gone)?;
                *aside = Some(on_disk(move || file.write(&part).map(|()| file)).await?);
                return Ok(());
            }
            Way::Store { parts, sending } => (parts, sending),
        };
        room(sending, PARTS - 1).await?;
        let parts = match parts {
            Some(parts) => parts,
            none => none.insert(self.lake.store.put_multipart(&self.path).await?),
        };
        sending.spawn_on(parts.put_part(PutPayload::from(part)), &self.lake.writers());
        Ok(())
    }

    /// Sends what is left. In a store the object appears by that; on a disk it is given, for [`Lake::appear`].
    pub(super) async fn finish(&mut self, mut rest: Parts, object: &Path) -> Result<Option<Complete>> {
        self.send(&mut rest).await?;
        if let (Way::Disk(aside), Some(folder)) = (&mut self.way, &self.lake.folder) {
            let (file, object) = (aside.take().ok_or_else(gone)?, folder.join(object.as_ref()));
            return Ok(Some(Complete { file, last: rest.last, object }));
        }
        self.complete(rest.last).await?;
        if self.path != *object {
            self.lake.store.rename(&self.path, object).await?;
        }
        Ok(None)
    }

    async fn complete(&mut self, last: Vec<u8>) -> Result<()> {
        if let Way::Store { parts: None, .. } = &self.way {
            return self.lake.store.put(&self.path, PutPayload::from(last)).await.map(|_| ());
        }
        if !last.is_empty() {
            self.part(last).await?;
        }
        let Way::Store { parts, sending } = &mut self.way else { return Ok(()) };
        room(sending, 0).await?;
        // It is let go of only when it is completed: until then it may have to be taken back.
        if let Some(parts) = parts {
            parts.complete().await?;
        }
        *parts = None;
        Ok(())
    }

    /// Takes back what was sent, and waits until it is.
    pub(super) async fn abandon(mut self) -> Result<()> {
        let Way::Store { parts, sending } = &mut self.way else { return Ok(()) };
        sending.shutdown().await;
        match parts.take() {
            Some(mut parts) => parts.abort().await,
            None => Ok(()),
        }
    }
}

/// A run that is stopped drops its uploads where they stand: they are taken back
/// all the same, by a task that the end of the run waits for.
impl Drop for Upload {
    fn drop(&mut self) {
        let Way::Store { parts, sending } = &mut self.way else { return };
        let (Some(mut parts), mut sending) = (parts.take(), mem::take(sending)) else { return };
        let task = async move {
            sending.shutdown().await;
            if let Err(error) = parts.abort().await {
                tracing::warn!(%error, "an unfinished upload could not be taken back");
            }
        };
        self.lake.tasks.spawn_on(task, &self.lake.writers());
    }
}

/// Waits until at most so many parts are on their way.
async fn room(sending: &mut JoinSet<Result<()>>, most: usize) -> Result<()> {
    while sending.len() > most {
        match sending.join_next().await {
            Some(Ok(sent)) => sent?,
            Some(Err(e)) => return Err(Error::Generic { store: "upload", source: Box::new(e) }),
            None => break,
        }
    }
    Ok(())
}

/// Work that waits for the disk, on a thread that may.
pub(super) async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(of_disk)?.map_err(of_disk)
}

pub(super) fn of_disk(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: "disk", source: Box::new(e) }
}

/// After an error a file is given up.
fn gone() -> Error {
    Error::Generic { store: "disk", source: "writing failed before".into() }
}
