//! Ranged reads of one object, for the Parquet reader: of a file that stays open, or by requests to a store.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::Lake;
use super::upload::{of_disk, on_disk};

pub(super) struct Reader {
    from: From,
    size: u64,
}

enum From {
    /// Read here and not by `object_store`: its threads would allocate what they read, and each thread keeps
    /// the memory that it had once. Being open, it stays the same object when another takes its place.
    Disk(Arc<File>),
    Store(Arc<dyn ObjectStore>, Path),
}

impl Reader {
    /// None when there is no such object.
    pub(super) async fn open(lake: &Lake, path: Path) -> object_store::Result<Option<Reader>> {
        if let Some(folder) = &lake.folder {
            // Not on a thread that may wait: most slices are new, and to wake one costs many times the look.
            let opened = opened(&folder.join(path.as_ref())).map_err(of_disk)?;
            return Ok(opened.map(|(file, size)| Reader { from: From::Disk(Arc::new(file)), size }));
        }
        match lake.store.head(&path).await {
            Ok(meta) => Ok(Some(Reader { from: From::Store(Arc::clone(&lake.store), path), size: meta.size })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn ranges(&self, ranges: Vec<Range<u64>>) -> object_store::Result<Vec<Bytes>> {
        let file = match &self.from {
            From::Disk(file) => Arc::clone(file),
            From::Store(store, path) => return store.get_ranges(path, &ranges).await,
        };
        // A broken file can ask for any range.
        let is_beyond = |range: &Range<u64>| range.start > range.end || range.end > self.size;
        if ranges.iter().any(is_beyond) {
            return Err(object_store::Error::Generic { store: "disk", source: "it points beyond its end".into() });
        }
        let room = |range: &Range<u64>| vec![0; (range.end - range.start) as usize];
        let mut parts: Vec<Vec<u8>> = ranges.iter().map(room).collect();
        let read = move || {
            ranges.iter().zip(&mut parts).try_for_each(|(range, part)| file.read_exact_at(part, range.start))?;
            Ok(parts)
        };
        Ok(on_disk(read).await?.into_iter().map(Bytes::from).collect())
    }
}

/// A file and its size; none when there is no file.
fn opened(path: &std::path::Path) -> io::Result<Option<(File, u64)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let about = file.metadata()?;
    Ok(about.is_file().then_some((file, about.len())))
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            let mut parts = self.get_byte_ranges(vec![range]).await?;
            parts.pop().ok_or_else(|| ParquetError::General("no bytes were read".to_string()))
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        self.ranges(ranges).map_err(|e| ParquetError::External(Box::new(e))).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.size;
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}
