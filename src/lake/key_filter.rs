//! Whether a key may be in the file: 10 to 12.5 bits a key in memory, so that most answers need no read.
//!
//! It never denies a key that was added, and says "maybe" of one other key in a
//! hundred. A Bloom filter in blocks of one cache line; keys are random bits, so
//! they choose block and bits by themselves. Blocks follow the order of the keys:
//! sorted ones are added from the first block to the last.

/// Of a filter that is full, for each key.
const BITS: usize = 10;
const BITS_OF_BLOCK: usize = 512;
/// How many bits a key sets: about seven tenths of `BITS` makes the fewest mistakes.
const MARKS: usize = 7;

#[derive(Clone, Default)]
#[repr(align(64))]
struct Block([u64; BITS_OF_BLOCK / 64]);

pub(super) struct Filter {
    blocks: Vec<Block>,
}

impl Filter {
    pub(super) fn with_room(keys: usize) -> Filter {
        Filter { blocks: vec![Block::default(); (keys * BITS).div_ceil(BITS_OF_BLOCK).max(1)] }
    }

    /// Keys that it takes; with more of them it says "maybe" too often.
    pub(super) fn room(&self) -> usize {
        self.blocks.len() * BITS_OF_BLOCK / BITS
    }

    pub(super) fn add(&mut self, key: u128) {
        let block = self.block(key);
        for (word, bit) in marks(key) {
            self.blocks[block].0[word] |= bit;
        }
    }

    pub(super) fn may_hold(&self, key: u128) -> bool {
        let block = &self.blocks[self.block(key)];
        marks(key).all(|(word, bit)| block.0[word] & bit != 0)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * size_of::<Block>()
    }

    /// By the upper of a key's 100 bits, while `marks` takes the lower ones.
    fn block(&self, key: u128) -> usize {
        let upper = (key >> 36) as u64;
        ((u128::from(upper) * self.blocks.len() as u128) >> 64) as usize
    }
}

/// Words of the block, and a bit of each: nine bits of the key choose one of 512.
fn marks(key: u128) -> impl Iterator<Item = (usize, u64)> {
    (0..MARKS).map(move |n| {
        let place = (key >> (9 * n)) as usize % BITS_OF_BLOCK;
        (place / 64, 1 << (place % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_denies_no_key_that_it_has_and_most_others() {
        let key = |n: u64| twox_hash::XxHash3_128::oneshot(&n.to_le_bytes()) >> 28;
        let mut filter = Filter::with_room(20_000);
        (0..20_000).for_each(|n| filter.add(key(n)));
        assert!((0..20_000).all(|n| filter.may_hold(key(n))));
        let wrong = (20_000..40_000).filter(|n| filter.may_hold(key(*n))).count();
        assert!(wrong < 400, "{wrong} of 20000");
    }
}
