//! One object on its way to the store: in parts when it is large, and visible only when complete.
//!
//! Whatever ends the way early (an error, a signal), what was uploaded is taken
//! back: parts that nobody completes would stay in a bucket, and cost, for ever.
//! (`object_store::buffered::BufWriter` was the alternative; it lets go of the
//! upload before it is completed, and a run that is stopped there leaves the parts.)

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, Result};
use parquet::arrow::async_writer::AsyncFileWriter;
use parquet::errors::ParquetError;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

/// Part size; S3 wants at least 5 MiB.
const PART: usize = 8 << 20;
/// Parts that are on their way at the same time.
const PARTS: usize = 2;

pub(super) struct Upload {
    store: Arc<dyn ObjectStore>,
    tasks: TaskTracker,
    path: Path,
    buffer: Vec<u8>,
    /// Once there was a whole part.
    parts: Option<Box<dyn MultipartUpload>>,
    sending: JoinSet<Result<()>>,
    sha256: Sha256,
}

impl Upload {
    /// Nothing is sent before there is a whole part. `tasks` are waited for before the program ends.
    pub(super) fn new(store: &Arc<dyn ObjectStore>, tasks: &TaskTracker, path: Path) -> Upload {
        Upload {
            store: Arc::clone(store),
            tasks: tasks.clone(),
            path,
            buffer: Vec::new(),
            parts: None,
            sending: JoinSet::new(),
            sha256: Sha256::new(),
        }
    }

    /// The checksum of what was written so far, in hex.
    pub(super) fn sha256(&self) -> String {
        super::hex(&self.sha256.clone().finalize())
    }

    pub(super) async fn put(&mut self, mut bytes: Bytes) -> Result<()> {
        self.sha256.update(&bytes);
        while self.buffer.len() + bytes.len() >= PART {
            self.buffer.extend_from_slice(&bytes.split_to(PART - self.buffer.len()));
            self.send().await?;
        }
        self.buffer.extend_from_slice(&bytes);
        Ok(())
    }

    /// Sends the buffer as one part.
    async fn send(&mut self) -> Result<()> {
        self.room(PARTS - 1).await?;
        if self.parts.is_none() {
            self.parts = Some(self.store.put_multipart(&self.path).await?);
        }
        let part = PutPayload::from(std::mem::take(&mut self.buffer));
        if let Some(parts) = &mut self.parts {
            self.sending.spawn(parts.put_part(part));
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

    /// Lets the object appear.
    pub(super) async fn finish(&mut self) -> Result<()> {
        if self.parts.is_none() {
            let whole = PutPayload::from(std::mem::take(&mut self.buffer));
            return self.store.put(&self.path, whole).await.map(|_| ());
        }
        if !self.buffer.is_empty() {
            self.send().await?;
        }
        self.room(0).await?;
        // It is let go of only when it is completed: until then it may have to be taken back.
        if let Some(parts) = &mut self.parts {
            parts.complete().await?;
        }
        self.parts = None;
        Ok(())
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

impl AsyncFileWriter for Upload {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, parquet::errors::Result<()>> {
        async move { self.put(bytes).await.map_err(|e| ParquetError::External(Box::new(e))) }.boxed()
    }

    fn complete(&mut self) -> BoxFuture<'_, parquet::errors::Result<()>> {
        async move { self.finish().await.map_err(|e| ParquetError::External(Box::new(e))) }.boxed()
    }
}
