//! A set of key hashes for slices of millions of rows: 15 to 19 bytes a key, and no peak while it grows.
//!
//! `HashSet<u128>` was the alternative: it doubles, so it takes 19 to 39 bytes a
//! key and, while it moves, the old table beside the new one; five million keys
//! came to 214 MB for a moment. Here a table is sixteen parts that grow one by one
//! and by a quarter, and a slot is 96 bits of the hash. Four more choose the part:
//! a hundred in all, so at five million keys the chance of one collision is 10^-17.

/// Each one takes a sixteenth of the hashes, by the top four bits.
const PARTS: usize = 16;
/// Slots of a part that has its first key.
const FIRST: usize = 64;
/// Up to so many slots a part doubles; from then on it grows by a quarter.
const DOUBLES: usize = 4_096;

/// The low 96 bits of a hash; nothing is all zeros.
type Slot = [u32; 3];
const EMPTY: Slot = [0; 3];

#[derive(Default)]
pub(crate) struct KeySet {
    parts: [Part; PARTS],
}

#[derive(Default)]
struct Part {
    slots: Vec<Slot>,
    filled: usize,
}

impl KeySet {
    /// Adds a hash; false when it was there already.
    pub(crate) fn insert(&mut self, hash: u128) -> bool {
        self.parts[part(hash)].insert(slot(hash))
    }

    pub(crate) fn contains(&self, hash: u128) -> bool {
        let part = &self.parts[part(hash)];
        !part.slots.is_empty() && part.find(slot(hash)).is_err()
    }
}

fn part(hash: u128) -> usize {
    (hash >> 124) as usize
}

fn slot(hash: u128) -> Slot {
    let slot = [hash as u32, (hash >> 32) as u32, (hash >> 64) as u32];
    if slot == EMPTY { [1, 0, 0] } else { slot }
}

impl Part {
    fn insert(&mut self, slot: Slot) -> bool {
        if self.filled * 5 >= self.slots.len() * 4 {
            self.grow();
        }
        let Ok(place) = self.find(slot) else { return false };
        self.slots[place] = slot;
        self.filled += 1;
        true
    }

    /// The free place for it; or, as an error, the place where it is.
    /// There is always a free one: a part is four fifths full at most.
    fn find(&self, slot: Slot) -> Result<usize, usize> {
        let bits = u64::from(slot[0]) << 32 | u64::from(slot[1]);
        let mut place = ((u128::from(bits) * self.slots.len() as u128) >> 64) as usize;
        loop {
            match self.slots[place] {
                EMPTY => return Ok(place),
                there if there == slot => return Err(place),
                _ => place = if place + 1 == self.slots.len() { 0 } else { place + 1 },
            }
        }
    }

    fn grow(&mut self) {
        let more = match self.slots.len() {
            0 => FIRST,
            few if few < DOUBLES => few * 2,
            many => many + many / 4,
        };
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; more]);
        for slot in old.into_iter().filter(|slot| *slot != EMPTY) {
            if let Ok(place) = self.find(slot) {
                self.slots[place] = slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few different bits, so that parts fill, slots collide and hashes come again.
        #[test]
        fn it_holds_what_a_set_holds(hashes in prop::collection::vec((0..4_u128, 0..64_u128, 2..64_u128), 0..1_000)) {
            let (mut ours, mut theirs) = (KeySet::default(), HashSet::new());
            for (high, middle, low) in hashes {
                let hash = high << 124 | middle << 60 | low;
                prop_assert_eq!(ours.contains(hash), theirs.contains(&hash));
                prop_assert_eq!(ours.insert(hash), theirs.insert(hash));
                prop_assert!(ours.contains(hash));
            }
        }
    }

    #[test]
    fn many_keys_take_less_than_nineteen_bytes_each() {
        let mut set = KeySet::default();
        let hash = |n: u64| twox_hash::XxHash3_128::oneshot(&n.to_le_bytes());
        for n in 0..200_000 {
            assert!(set.insert(hash(n)));
        }
        assert!(set.insert(0) && !set.insert(0));
        assert!((0..200_000).all(|n| !set.insert(hash(n)) && !set.contains(hash(n + 200_000))));
        let slots: usize = set.parts.iter().map(|p| p.slots.len()).sum();
        assert!(slots * size_of::<Slot>() < 3_800_000, "{slots}");
    }
}
