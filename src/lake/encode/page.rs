//! One page as it stands in a file: its header, told of the compressed size, and its compressed values.
//!
//! Pure but for a compressor that each thread keeps.

use std::cell::RefCell;

use bytes::Bytes;
use parquet::errors::Result;
use zstd::bulk::Compressor;

use super::broken;

/// Of zstd.
pub(super) const LEVEL: i32 = 1;
/// Pages of fewer bytes stand in their frames as they are: a compressor's tables cost more than it could save.
const SMALL: usize = 512;

pub(super) struct Page {
    /// Header and values.
    pub(super) bytes: Bytes,
    /// Of both, before the values were compressed.
    pub(super) uncompressed: usize,
    pub(super) is_dictionary: bool,
}

impl Page {
    /// From what the library gives for a file without compression.
    pub(super) fn of(header: &[u8], values: &[u8]) -> Result<Page> {
        COMPRESSED.with_borrow_mut(|(compressor, compressed)| {
            compressed.clear();
            match values.len() < SMALL {
                true => frame(values, compressed),
                false => compress(values, compressor, compressed)?,
            }
            let Header { bytes: header, dictionary } = Header::of(header, compressed.len())?;
            Ok(Page {
                bytes: Bytes::from([header.as_slice(), compressed.as_slice()].concat()),
                uncompressed: header.len() + values.len(),
                is_dictionary: dictionary,
            })
        })
    }
}

thread_local! {
    /// Made once a thread: what it asks of the processor leaves a virtual machine each time.
    static COMPRESSED: RefCell<(Option<Compressor<'static>>, Vec<u8>)> = const { RefCell::new((None, Vec::new())) };
}

fn compress(page: &[u8], compressor: &mut Option<Compressor<'static>>, into: &mut Vec<u8>) -> Result<()> {
    into.reserve(zstd::zstd_safe::compress_bound(page.len()));
    let compressor = match compressor {
        Some(compressor) => compressor,
        none => none.insert(Compressor::new(LEVEL)?),
    };
    compressor.compress_to_buffer(page, into)?;
    Ok(())
}

/// A page of less than 65,792 bytes as a frame of zstd with one raw block (RFC 8878, 3.1.1): the magic number,
/// what kind of frame it is, its size, the block's header, the page.
fn frame(page: &[u8], into: &mut Vec<u8>) {
    const ONE_BYTE_SIZE: u8 = 0x20;
    const TWO_BYTES_SIZE: u8 = 0x60;
    const RAW_AND_LAST: u32 = 1;
    into.extend_from_slice(&zstd::zstd_safe::MAGICNUMBER.to_le_bytes());
    match u8::try_from(page.len()) {
        Ok(size) => into.extend_from_slice(&[ONE_BYTE_SIZE, size]),
        Err(_) => {
            into.push(TWO_BYTES_SIZE);
            into.extend_from_slice(&((page.len() - 256) as u16).to_le_bytes());
        }
    }
    into.extend_from_slice(&((page.len() as u32) << 3 | RAW_AND_LAST).to_le_bytes()[..3]);
    into.extend_from_slice(page);
}

/// A page's header with the compressed size in it.
///
/// A header is a Thrift struct in its compact form, and begins with three
/// numbers: the kind of page, its size, its size compressed. Each is a byte
/// that says "the next field, an i32" and a zigzag varint.
struct Header {
    bytes: Vec<u8>,
    dictionary: bool,
}

impl Header {
    fn of(header: &[u8], compressed: usize) -> Result<Header> {
        let mut rest = header;
        let kind = field(&mut rest)?;
        field(&mut rest)?;
        let mut bytes = Vec::with_capacity(header.len() + 4);
        bytes.extend_from_slice(&header[..header.len() - rest.len()]);
        field(&mut rest)?;
        bytes.push(NEXT_I32);
        let mut size = (compressed as u64) << 1;
        while size >= 0x80 {
            bytes.push((size as u8) | 0x80);
            size >>= 7;
        }
        bytes.push(size as u8);
        bytes.extend_from_slice(rest);
        Ok(Header { bytes, dictionary: kind == DICTIONARY_PAGE })
    }
}

const NEXT_I32: u8 = 0x15;
/// `PageType.DICTIONARY_PAGE` is 2, in zigzag 4.
const DICTIONARY_PAGE: u64 = 4;

fn field(header: &mut &[u8]) -> Result<u64> {
    let malformed = || broken("a page's header does not begin with its three sizes");
    let (NEXT_I32, mut rest) = header.split_first().map(|(b, rest)| (*b, rest)).ok_or_else(malformed)? else {
        return Err(malformed());
    };
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let (byte, after) = rest.split_first().ok_or_else(malformed)?;
        rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            *header = rest;
            return Ok(value);
        }
    }
    Err(malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pages_are_frames_that_zstd_reads() {
        let bytes: Vec<u8> = (0..65_791).map(|i| (i % 251) as u8).collect();
        for size in (0..1_000).chain([65_790, 65_791]) {
            let mut framed = Vec::new();
            frame(&bytes[..size], &mut framed);
            assert_eq!(zstd::bulk::decompress(&framed, size).unwrap(), bytes[..size], "{size} bytes");
            assert_eq!(zstd::zstd_safe::get_frame_content_size(&framed).unwrap(), Some(size as u64));
        }
    }

    #[test]
    fn a_header_keeps_all_but_the_compressed_size() {
        // A dictionary page of 300 bytes; what follows is not looked at.
        let header = [0x15, 4, 0x15, 0xd8, 4, 0x15, 0xd8, 4, 0x2c, 0x15, 2];
        let with_size = Header::of(&header, 64).unwrap();
        assert_eq!(with_size.bytes, [0x15, 4, 0x15, 0xd8, 4, 0x15, 0x80, 1, 0x2c, 0x15, 2]);
        assert!(with_size.dictionary);
        for broken in [&header[..4], &header[..7], &[], &[0x15, 4, 0x25, 1, 0x15, 1], &[0x15; 3]] {
            assert!(Header::of(broken, 1).is_err(), "{broken:?}");
        }
        assert!(Header::of(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], 1).is_err());
    }
}
