//! How often a row came in the list that is being read: the results of one bucket, or the records of one page.
//!
//! Nearly no list has two equal rows. So hashes are only noted, and counted from the first row on of which the
//! slice knows an equal.

use super::keys::KeyMap;

#[derive(Default)]
pub(super) struct Equals {
    list: Option<u64>,
    noted: Vec<u128>,
    counts: Option<KeyMap<u32>>,
}

impl Equals {
    /// The next rows are of this list; without a number each row is of a list of its own.
    pub(super) fn go_to(&mut self, list: Option<u64>) {
        if list.is_none() || list != self.list {
            self.list = list;
            self.noted.clear();
            self.counts = None;
        }
    }

    /// How many rows of the list had this hash before.
    pub(super) fn count(&mut self, hash: u128) -> u32 {
        let noted = &self.noted;
        let counts = self.counts.get_or_insert_with(|| {
            let mut counts = KeyMap::<u32>::default();
            noted.iter().for_each(|hash| *counts.entry(*hash).or_default() += 1);
            counts
        });
        counts.get(&hash).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, hash: u128) {
        match &mut self.counts {
            Some(counts) => *counts.entry(hash).or_default() += 1,
            None => self.noted.push(hash),
        }
    }
}
