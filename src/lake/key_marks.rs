//! Which rows of an old object arrived, when the keys that arrived are in a file.
//!
//! Of a whole table nearly every row did, and a search in the file for each would
//! take longer than all the rest of a rewrite. So they are asked for in bulk: as many
//! keys as a set has in memory are sorted and compared with each run of the file,
//! which is read from its beginning to its end. A row is one bit then.

use arrow_array::BooleanArray;
use arrow_array::builder::BooleanBufferBuilder;

use super::key_runs::Asked;
use super::key_set::KeySet;
use crate::error::{Error, Result};

pub(super) struct Marks {
    set: KeySet,
    /// Keys of the newest rows, which have no answer yet.
    asked: Vec<Asked>,
    arrived: BooleanBufferBuilder,
}

/// The answers, for who reads the same rows once more.
pub(super) struct Marked {
    arrived: BooleanArray,
    told: usize,
    path: String,
}

impl Marks {
    pub(super) fn of(mut set: KeySet) -> Result<Marks> {
        set.make_way()?;
        Ok(Marks { asked: Vec::with_capacity(set.bulk()), set, arrived: BooleanBufferBuilder::new(0) })
    }

    /// Asks for the keys of more rows.
    pub(super) fn ask(&mut self, hashes: &[u128]) -> Result<()> {
        for hash in hashes {
            self.asked.push(KeySet::asked(*hash, self.asked.len() as u32));
            if self.asked.len() == self.set.bulk() {
                self.answer()?;
            }
        }
        Ok(())
    }

    /// The answers; `path` is where the rows are.
    pub(super) fn finish(mut self, path: &str) -> Result<Marked> {
        self.answer()?;
        let arrived = BooleanArray::new(self.arrived.finish(), None);
        Ok(Marked { arrived, told: 0, path: path.to_string() })
    }

    fn answer(&mut self) -> Result<()> {
        let first = self.arrived.len();
        self.arrived.append_n(self.asked.len(), false);
        self.asked.sort_unstable();
        self.set.find_all(&self.asked, |number| self.arrived.set_bit(first + number as usize, true))?;
        self.asked.clear();
        Ok(())
    }
}

impl Marked {
    /// Of so many rows, which arrived.
    pub(super) fn next(&mut self, rows: usize) -> Result<BooleanArray> {
        if rows > self.arrived.len() - self.told {
            return Err(self.changed());
        }
        self.told += rows;
        Ok(self.arrived.slice(self.told - rows, rows))
    }

    /// Whether the row that comes so many rows after those told arrived.
    pub(super) fn is_marked(&self, ahead: usize) -> Result<bool> {
        let place = self.told + ahead;
        if place < self.arrived.len() { Ok(self.arrived.value(place)) } else { Err(self.changed()) }
    }

    /// Back to the first row.
    pub(super) fn rewind(&mut self) {
        self.told = 0;
    }

    /// An error when there were fewer rows than before.
    pub(super) fn end(self) -> Result<()> {
        if self.told == self.arrived.len() { Ok(()) } else { Err(self.changed()) }
    }

    fn changed(&self) -> Error {
        Error::integrity("something else changed the file while it was read").at(self.path.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Keys that come again in the object, as its versions do, included.
        #[test]
        fn a_row_is_marked_when_its_key_is_there(
            there in prop::collection::vec(0..200_u64, 0..200),
            rows in prop::collection::vec(0..200_u64, 0..400),
            most in prop_oneof![1..20_usize, Just(1_000)],
            alike in any::<bool>(),
        ) {
            let hash = |n: &u64| if alike { u128::from(*n + 2) } else { twox_hash::XxHash3_128::oneshot(&n.to_le_bytes()) };
            let mut set = KeySet::of_at_most(most);
            for n in &there {
                set.insert(hash(n))?;
            }
            let mut marks = Marks::of(set)?;
            for rows in rows.chunks(7) {
                marks.ask(&rows.iter().map(hash).collect::<Vec<_>>())?;
            }
            let mut marked = marks.finish("path")?;
            for rows in rows.chunks(5) {
                let arrived: Vec<bool> = marked.next(rows.len())?.values().iter().collect();
                prop_assert_eq!(arrived, rows.iter().map(|n| there.contains(n)).collect::<Vec<_>>());
            }
            prop_assert!(marked.next(1).is_err());
            marked.end()?;
        }
    }
}
