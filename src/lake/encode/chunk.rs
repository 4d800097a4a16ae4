//! The chunks of an open row group: pages come from the library one by one, are compressed, and go into the file as a
//! whole.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::iter::once;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use parquet::arrow::arrow_writer::{ArrowColumnChunk, PageKey, PageStore, PageStoreArgs, PageStoreFactory};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::ColumnDescPtr;

use super::page::{LEVEL, Page};
use super::{broken, footer};

/// The chunks of the open row group, in the order of its columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunks(Arc<Mutex<Vec<Chunk>>>);

impl Chunks {
    pub(super) fn take(&self) -> Vec<Chunk> {
        mem::take(&mut *self.lock())
    }

    /// Nothing panics while it holds the lock, and what it guards is whole at any time.
    fn lock(&self) -> MutexGuard<'_, Vec<Chunk>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PageStoreFactory for Chunks {
    fn create(&self, _: &PageStoreArgs<'_>) -> Result<Box<dyn PageStore>> {
        let mut chunks = self.lock();
        chunks.push(Chunk::default());
        Ok(Box::new(Pages { chunks: self.clone(), column: chunks.len() - 1, header: None }))
    }
}

/// One column's pages, with their headers, as they will stand in the file.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Comes last and stands first; empty without one.
    dictionary: Bytes,
    /// Each by itself: in one buffer they would be copied as it grows.
    pages: Vec<Bytes>,
    /// Of all pages and their headers, before they were compressed.
    uncompressed: usize,
}

impl Chunk {
    fn add(&mut self, header: &[u8], values: &[u8]) -> Result<()> {
        let Page { bytes, uncompressed, is_dictionary } = Page::of(header, values)?;
        self.uncompressed += uncompressed;
        match is_dictionary {
            true => self.dictionary = bytes,
            false => self.pages.push(bytes),
        }
        Ok(())
    }

    /// What is said of `column`: what the library says of the encoded one, with sizes and places as they are after
    /// compression. The index of pages is moved to it.
    pub(super) fn describe(
        &self,
        encoded: &mut ArrowColumnChunk,
        column: &ColumnDescPtr,
        indexed: bool,
    ) -> Result<ColumnCloseResult> {
        let (size, said) = (self.len(), encoded.close_mut());
        let (column_index, mut offset_index) = match indexed {
            true => (said.column_index.take(), said.offset_index.take()),
            false => (None, None),
        };
        let mut offset = self.dictionary.len() as i64;
        for (said, page) in offset_index.iter_mut().flat_map(|i| &mut i.page_locations).zip(&self.pages) {
            said.offset = offset;
            said.compressed_page_size = i32::try_from(page.len()).map_err(|_| broken("a page is too large"))?;
            offset += page.len() as i64;
        }
        Ok(ColumnCloseResult {
            bytes_written: size as u64,
            rows_written: said.rows_written,
            metadata: self.metadata(&said.metadata, column)?,
            bloom_filter: None,
            column_index,
            offset_index,
        })
    }

    fn metadata(&self, said: &ColumnChunkMetaData, column: &ColumnDescPtr) -> Result<ColumnChunkMetaData> {
        let mut metadata = ColumnChunkMetaData::builder(Arc::clone(column))
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
            .set_total_compressed_size(self.len() as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_dictionary_page_offset((!self.dictionary.is_empty()).then_some(0))
            .set_data_page_offset(self.dictionary.len() as i64)
            .set_encodings_mask(*said.encodings_mask())
            .set_num_values(said.num_values())
            .set_unencoded_byte_array_data_bytes(said.unencoded_byte_array_data_bytes())
            .set_repetition_level_histogram(said.repetition_level_histogram().cloned())
            .set_definition_level_histogram(said.definition_level_histogram().cloned());
        if let Some(statistics) = said.statistics() {
            metadata = metadata.set_statistics(footer::statistics(statistics));
        }
        if let Some(pages) = said.page_encoding_stats() {
            metadata = metadata.set_page_encoding_stats(pages.clone());
        }
        metadata.build()
    }

    /// Besides its dictionary.
    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    fn len(&self) -> usize {
        self.dictionary.len() + self.pages.iter().map(Bytes::len).sum::<usize>()
    }
}

/// Where the library puts the finished pages of one column: each as its header, then its values.
struct Pages {
    chunks: Chunks,
    column: usize,
    header: Option<Bytes>,
}

impl PageStore for Pages {
    fn put(&mut self, value: Bytes) -> Result<PageKey> {
        let Some(header) = self.header.take() else {
            self.header = Some(value);
            return Ok(PageKey::new(0));
        };
        let mut chunks = self.chunks.lock();
        let chunk = chunks.get_mut(self.column).ok_or_else(|| broken("a page came after its row group ended"))?;
        chunk.add(&header, &value)?;
        Ok(PageKey::new(0))
    }

    /// Never asked for: the chunk is put into the file as a whole.
    fn take(&mut self, _: PageKey) -> Result<Bytes> {
        Err(broken("pages are not kept one by one"))
    }

    fn memory_size(&self) -> usize {
        self.chunks.lock().get(self.column).map_or(0, Chunk::len)
    }
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.len() as u64
    }
}

/// Read once, from its start.
impl ChunkReader for Chunk {
    type T = Rest;

    fn get_read(&self, start: u64) -> Result<Rest> {
        let mut rest = Rest(once(&self.dictionary).chain(&self.pages).cloned().collect());
        io::copy(&mut rest.by_ref().take(start), &mut io::sink())?;
        Ok(rest)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Pages that are still to be read.
pub(super) struct Rest(VecDeque<Bytes>);

impl Read for Rest {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.0.front().is_some_and(Bytes::is_empty) {
            self.0.pop_front();
        }
        let Some(page) = self.0.front_mut() else { return Ok(0) };
        let size = page.len().min(into.len());
        page.copy_to_slice(&mut into[..size]);
        Ok(size)
    }
}
