//! Unpacks bodies that are compressed although no `Content-Encoding` says so.
//!
//! A log file may be stored as gzip, and some proxies compress an answer and
//! drop the header that says so. JSON never begins with the bytes that gzip and
//! zstd begin with, so these bytes decide. A member can hold another one, and a
//! kilobyte can hold a gigabyte: layers and size are limited.

use std::io::Read;

use flate2::bufread::GzDecoder;

use super::MAX_BODY;
use super::room::Share;
use crate::error::{Error, Kind, Result};

const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Compressed bytes inside compressed bytes: deeper than this is left packed.
const LAYERS: usize = 3;
/// Bytes unpacked before other tasks have their turn.
const CHUNK: usize = 1 << 20;

/// Whether the bytes begin as compressed ones do.
pub(super) fn is_packed(bytes: &[u8]) -> bool {
    bytes.starts_with(GZIP) || bytes.starts_with(ZSTD)
}

/// Returns the bytes inside all compressed layers. `layer` is called with the bytes of each layer but the first.
pub(super) async fn unpack(mut bytes: Vec<u8>, share: &mut Share, mut layer: impl FnMut(&[u8])) -> Result<Vec<u8>> {
    for _ in 0..LAYERS {
        if !is_packed(&bytes) {
            break;
        }
        bytes = one_layer(&bytes, share).await?;
        layer(&bytes);
    }
    Ok(bytes)
}

async fn one_layer(packed: &[u8], share: &mut Share) -> Result<Vec<u8>> {
    let mut reader: Box<dyn Read + Send + '_> = match packed.starts_with(GZIP) {
        true => Box::new(Members { member: Some(GzDecoder::new(packed)) }),
        false => Box::new(zstd::stream::read::Decoder::with_buffer(packed).map_err(|e| broken(&e))?),
    };
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; CHUNK.min(packed.len().saturating_mul(4).max(4096))]);
    loop {
        let read = reader.read(&mut chunk).map_err(|e| broken(&e))?;
        if read == 0 {
            return Ok(bytes);
        }
        if bytes.len() + read > MAX_BODY {
            return Err(Error::contract(format!("its compressed bytes unpack to more than {} MiB", MAX_BODY >> 20)));
        }
        share.fit(packed.len() + bytes.len() + read).await?;
        bytes.extend_from_slice(&chunk[..read]);
        tokio::task::yield_now().await;
    }
}

/// A download that was cut short, or changed on its way: the next attempt may bring it whole.
fn broken(e: &std::io::Error) -> Error {
    Error::new(Kind::Unavailable, format!("its compressed bytes are cut short or damaged: {e}"))
}

/// The members of a gzip file, one after the other. Zeros may follow the last one: some tools fill up a block.
struct Members<'a> {
    member: Option<GzDecoder<&'a [u8]>>,
}

impl Read for Members<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(into)?;
            if read > 0 {
                return Ok(read);
            }
            let rest = *member.get_ref();
            self.member = rest.iter().any(|byte| *byte != 0).then(|| GzDecoder::new(rest));
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(bytes: Vec<u8>) -> Result<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(unpack(bytes, &mut Share::default(), |_| {}))
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        let large = gzip(&vec![b' '; MAX_BODY + 1]);
        assert!(large.len() < MAX_BODY / 100);
        assert_eq!(unpacked(large).unwrap_err().kind, Kind::Contract);
    }

    proptest! {
        /// Whatever the text, however often and in however many members it was compressed.
        #[test]
        fn what_was_packed_comes_back(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..4),
            zeros in 0_usize..600,
            layers in 0_usize..2,
            zstd in any::<bool>(),
        ) {
            let whole = pieces.concat();
            prop_assume!(!is_packed(&whole));
            let mut packed: Vec<u8> = match zstd {
                true => pieces.iter().flat_map(|piece| zstd::bulk::compress(piece, 1).unwrap()).collect(),
                false => pieces.iter().flat_map(|piece| gzip(piece)).chain(vec![0; zeros]).collect(),
            };
            for _ in 0..layers {
                packed = gzip(&packed);
            }
            prop_assert_eq!(unpacked(packed.clone()).unwrap(), whole);
            // A file that was cut is never taken for a shorter one, but at the edge of a member.
            let cut = packed.len() / 2;
            if let (true, Ok(bytes)) = (pieces.len() == 1 && zeros == 0 && cut > 3, unpacked(packed[..cut].to_vec())) {
                prop_assert!(false, "half of it gave {} bytes", bytes.len());
            }
        }

        #[test]
        fn any_bytes_end_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), magic in 0_usize..3) {
            let magic: &[u8] = [GZIP, ZSTD, &[]][magic];
            let _ = unpacked([magic, bytes.as_slice()].concat());
        }
    }
}
