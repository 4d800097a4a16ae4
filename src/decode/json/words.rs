//! Eight bytes at a time: what most of an answer is looked through with, inside strings and along names.
//!
//! Words of the processor and not its vectors: these need `unsafe` or a compiler for one machine.

/// Whether two texts of one length are the same. Names are short: comparing words where they stand is
/// faster than the call of a function that is made for long texts.
pub(super) fn are_same(one: &[u8], other: &[u8]) -> bool {
    match (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(end), Some(other_end)) => {
            let words = one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0);
            let differ = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b);
            words.fold(differ((end, other_end)), |differs, pair| differs | differ(pair)) == 0
        }
        _ => one.iter().eq(other),
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes of a word that are this one; above the lowest of them, perhaps also some that are not.
pub(super) fn marks(word: u64, byte: u8) -> u64 {
    let word = word ^ (ONES * u64::from(byte));
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// The first byte at or after `at` that is a quote, a backslash or a control
/// character; eight at a time, because most of an answer is inside strings.
#[inline]
pub(super) fn plain_until(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let (words, last) = rest.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let found = marks(word, b'"') | marks(word, b'\\') | control;
        if found != 0 {
            // Borrows only spread upwards, so the lowest mark is a true one.
            return at + index * 8 + (found.trailing_zeros() / 8) as usize;
        }
    }
    let marked = |b: &u8| *b == b'"' || *b == b'\\' || *b < 0x20;
    at + words.len() * 8 + last.iter().position(marked).unwrap_or(last.len())
}

/// The first quote or bracket at or after `at`, which is outside of strings. Little stands between two.
pub(super) fn structure_from(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let structure = |b: &u8| matches!(b, b'"' | b'{' | b'[' | b'}' | b']');
    rest.iter().position(structure).map_or(bytes.len(), |found| at + found)
}
