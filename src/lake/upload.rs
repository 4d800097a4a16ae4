//! One object on its way to the store: in parts when it is large, and visible only when complete.
//!
//! Whatever ends the way early (an error, a signal), what was uploaded is taken
//! back: parts that nobody completes would stay in a bucket, and cost, for ever.
//! (`object_store::buffered::BufWriter` was the alternative; it lets go of the
//! upload before it is completed, and a run that is stopped there leaves the parts.)

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, Result};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

/// Part size: the least that S3 takes.
const PART: usize = 5 << 20;
/// Parts that are on their way at the same time.
const PARTS: usize = 2;

/// An object's bytes as they are written, cut into parts. Nothing is copied on its way from here.
#[derive(Default)]
pub(super) struct Parts {
    full: Vec<Vec<u8>>,
    last: Vec<u8>,
    sha256: Sha256,
}

impl Parts {
    pub(super) fn add(&mut self, mut bytes: &[u8]) {
        self.sha256.update(bytes);
        while self.last.len() + bytes.len() >= PART {
            let (fits, rest) = bytes.split_at(PART - self.last.len());
            self.last.extend_from_slice(fits);
            self.full.push(mem::take(&mut self.last));
            bytes = rest;
        }
        self.last.extend_from_slice(bytes);
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
    store: Arc<dyn ObjectStore>,
    tasks: TaskTracker,
    path: Path,
    /// Once there was a whole part.
    parts: Option<Box<dyn MultipartUpload>>,
    sending: JoinSet<Result<()>>,
}

impl Upload {
    /// Nothing is sent before there is a whole part. `tasks` are waited for before the program ends.
    pub(super) fn new(store: &Arc<dyn ObjectStore>, tasks: &TaskTracker, path: Path) -> Upload {
        Upload { store: Arc::clone(store), tasks: tasks.clone(), path, parts: None, sending: JoinSet::new() }
    }

    /// Sends what is whole.
    pub(super) async fn send(&mut self, parts: &mut Parts) -> Result<()> {
        for part in mem::take(&mut parts.full) {
            self.part(part).await?;
        }
        Ok(())
    }

    async fn part(&mut self, part: Vec<u8>) -> Result<()> {
        self.room(PARTS - 1).await?;
        if self.parts.is_none() {
            self.parts = Some(self.store.put_multipart(&self.path).await?);
        }
        if let Some(parts) = &mut self.parts {
            self.sending.spawn(parts.put_part(PutPayload::from(part)));
        }
        Ok(())
    }

    /// Waits until at most so many parts are on their way.
    async fn room(&mut self, most: usize) -> Result<()> {
        while self.sending.len() > most {
            match self.sending.join_next().await {
                Some(Ok(sent)) => sent?,
                Some(Err(e)) => return Err(object_store::Error::Generic { store: "upload", source: Box::new(e) }),
                None => break,
            }
        }
        Ok(())
    }

    /// Sends what is left and lets the object appear; gives the checksum of all of it, in hex.
    pub(super) async fn finish(&mut self, mut parts: Parts) -> Result<String> {
        self.send(&mut parts).await?;
        let sha256 = super::hex(&parts.sha256.finalize());
        if self.parts.is_none() {
            self.store.put(&self.path, PutPayload::from(parts.last)).await?;
            return Ok(sha256);
        }
        if !parts.last.is_empty() {
            self.part(parts.last).await?;
        }
        self.room(0).await?;
        // It is let go of only when it is completed: until then it may have to be taken back.
        if let Some(parts) = &mut self.parts {
            parts.complete().await?;
        }
        self.parts = None;
        Ok(sha256)
    }

    /// Takes back what was sent, and waits until it is.
    pub(super) async fn abandon(mut self) -> Result<()> {
        self.sending.shutdown().await;
        match self.parts.take() {
            Some(mut parts) => parts.abort().await,
            None => Ok(()),
        }
    }
}

/// A run that is stopped drops its uploads where they stand: they are taken back
/// all the same, by a task that the end of the run waits for.
impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(mut parts), Ok(runtime)) = (self.parts.take(), tokio::runtime::Handle::try_current()) else { return };
        let mut sending = std::mem::take(&mut self.sending);
        let task = async move {
            sending.shutdown().await;
            if let Err(error) = parts.abort().await {
                tracing::warn!(%error, "an unfinished upload could not be taken back");
            }
        };
        self.tasks.spawn_on(task, &runtime);
    }
}
