//! A set of key hashes whose memory hardly grows: at most 600,000 keys in a table, the others in a temporary file.
//!
//! The table is 3 MB up to 210,000 keys; from there it grows without a peak, by 15 to
//! 19 bytes a key. In the file a key takes 1.6 bytes of memory ([`super::key_runs`],
//! docs/decisions/0018). `HashSet<u128>` was the alternative to the table: it doubles,
//! so it takes 19 to 39 bytes a key and, while it moves, the old table beside the new
//! one. Here a table is sixteen parts that grow one by one and by a quarter, and a slot
//! is 96 bits of the hash. Four more choose the part: a hundred in all, so at ten
//! million keys the chance of one collision is 4 · 10^-17.
//!
//! Where no file can be made or written, keys stay in the table. A file that cannot
//! be read back is an error, after which a set is of no use: an answer is never guessed.

use std::io;

use super::key_runs::{Asked, Run, Runs};
use super::reason;
use crate::error::{Error, Result};

/// Keys of a full table: just below a step of its growth, so that it is 10 MB.
const MOST: usize = 600_000;
/// Each one takes a sixteenth of the hashes, by the top four bits.
const PARTS: usize = 16;
/// Slots of a part that has its first key: enough for the sixteenth of a day's thousand rows.
const FIRST: usize = 128;
/// Up to so many slots a part doubles; from then on it grows by a quarter.
const DOUBLES: usize = 16_384;

/// The low 96 bits of a hash, highest first; nothing is all zeros.
type Slot = [u32; 3];
const EMPTY: Slot = [0; 3];

pub(crate) struct KeySet {
    parts: [Part; PARTS],
    /// Keys in the table, and how many of them go to the file together.
    held: usize,
    most: usize,
    /// None before the table was full for the first time.
    runs: Option<Runs>,
}

#[derive(Default)]
struct Part {
    slots: Vec<Slot>,
    filled: usize,
}

impl Default for KeySet {
    fn default() -> KeySet {
        KeySet::of_at_most(MOST)
    }
}

impl KeySet {
    /// With so many keys in memory.
    pub(super) fn of_at_most(most: usize) -> KeySet {
        KeySet { parts: Default::default(), held: 0, most, runs: None }
    }

    /// Adds a hash; false when it was there already.
    pub(crate) fn insert(&mut self, hash: u128) -> Result<bool> {
        let key = key(hash);
        let part = &mut self.parts[part(key)];
        part.make_room();
        let Ok(place) = part.find(slot(key)) else { return Ok(false) };
        if let Some(runs) = &self.runs
            && runs.contains(key).map_err(|e| unreadable(&e))?
        {
            return Ok(false);
        }
        part.put(place, slot(key));
        self.held += 1;
        if self.held == self.most {
            self.empty_table()?;
        }
        Ok(true)
    }

    pub(crate) fn contains(&self, hash: u128) -> Result<bool> {
        let key = key(hash);
        match &self.runs {
            _ if self.holds(key) => Ok(true),
            Some(runs) => runs.contains(key).map_err(|e| unreadable(&e)),
            None => Ok(false),
        }
    }

    /// Whether each answer of [`KeySet::contains`] is one from memory.
    pub(super) fn is_in_memory(&self) -> bool {
        self.runs.as_ref().is_none_or(Runs::is_empty)
    }

    /// Questions that are best asked together: they take as much room as the table.
    pub(super) fn bulk(&self) -> usize {
        self.most.min(MOST)
    }

    /// Leaves the room of the table to such questions. All keys are still there.
    pub(super) fn make_way(&mut self) -> Result<()> {
        self.empty_table()?;
        if self.held == 0 {
            self.parts = Default::default();
        }
        Ok(())
    }

    /// The question whether the set has this hash, with a number for the answer.
    pub(super) fn asked(hash: u128, number: u32) -> Asked {
        Asked::new(key(hash), number)
    }

    /// Calls `found` with the number of each of these sorted questions whose hash is there.
    pub(super) fn find_all(&self, asked: &[Asked], mut found: impl FnMut(u32)) -> Result<()> {
        asked.iter().filter(|asked| self.holds(asked.key())).for_each(|asked| found(asked.number()));
        match &self.runs {
            Some(runs) => runs.find_all(asked, found).map_err(|e| unreadable(&e)),
            None => Ok(()),
        }
    }

    fn holds(&self, key: u128) -> bool {
        let part = &self.parts[part(key)];
        part.filled > 0 && part.find(slot(key)).is_err()
    }

    /// Moves all keys of the table to the file. When it takes none they stay, and so do all that follow.
    fn empty_table(&mut self) -> Result<()> {
        self.parts.iter_mut().for_each(Part::sort);
        match self.write() {
            Ok((runs, run)) => {
                runs.take(run).map_err(|e| unreadable(&e))?;
                self.parts.iter_mut().for_each(Part::clear);
                self.held = 0;
            }
            Err(error) => {
                tracing::debug!(%error, "keys stay in memory: no temporary file takes them");
                self.parts.iter_mut().for_each(|part| part.resize(part.slots.len()));
                self.most = usize::MAX;
            }
        }
        Ok(())
    }

    /// Writes the keys of the table, whose parts are sorted.
    fn write(&mut self) -> io::Result<(&mut Runs, Run)> {
        let runs = match &mut self.runs {
            Some(runs) => runs,
            none => none.insert(Runs::new()?),
        };
        let keys = (0..).zip(&self.parts).flat_map(|(n, part)| part.sorted().iter().map(move |slot| joined(n, *slot)));
        let run = runs.write(keys)?;
        Ok((runs, run))
    }
}

/// The hundred bits of a hash that are compared; their order is that of sorted parts, one after the other.
fn key(hash: u128) -> u128 {
    let slot = hash & ((1 << 96) - 1);
    (hash >> 124) << 96 | slot.max(1)
}

fn part(key: u128) -> usize {
    (key >> 96) as usize
}

fn slot(key: u128) -> Slot {
    [(key >> 64) as u32, (key >> 32) as u32, key as u32]
}

fn joined(part: u128, [high, middle, low]: Slot) -> u128 {
    part << 96 | u128::from(high) << 64 | u128::from(middle) << 32 | u128::from(low)
}

fn unreadable(e: &io::Error) -> Error {
    Error::storage(format!("keys that were put into a temporary file cannot be read back: {}", reason(e)))
        .hint("see to the folder for temporary files, or set TMPDIR to another one")
}

impl Part {
    fn make_room(&mut self) {
        if self.filled * 5 >= self.slots.len() * 4 {
            self.resize(match self.slots.len() {
                0 => FIRST,
                few if few < DOUBLES => few * 2,
                many => many + many / 4,
            });
        }
    }

    fn put(&mut self, place: usize, slot: Slot) {
        self.slots[place] = slot;
        self.filled += 1;
    }

    /// The free place for it; or, as an error, the place where it is.
    /// There is always a free one: a part is four fifths full at most.
    fn find(&self, slot: Slot) -> std::result::Result<usize, usize> {
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

    /// Gives each key its place among so many slots.
    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; slots]);
        for slot in old.into_iter().filter(|slot| *slot != EMPTY) {
            if let Ok(place) = self.find(slot) {
                self.slots[place] = slot;
            }
        }
    }

    /// Sorts the keys where they are, behind all that is empty; nothing can be found then.
    fn sort(&mut self) {
        self.slots.sort_unstable();
    }

    fn sorted(&self) -> &[Slot] {
        &self.slots[self.slots.len() - self.filled..]
    }

    /// Forgets the keys, and keeps the room for the next ones.
    fn clear(&mut self) {
        self.slots.fill(EMPTY);
        self.filled = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs::File;

    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    fn hash(n: u64) -> u128 {
        twox_hash::XxHash3_128::oneshot(&n.to_le_bytes())
    }

    /// Twenty keys, sixteen of them in two runs of a file that tests can reach.
    fn with_a_file() -> (tempfile::NamedTempFile, KeySet) {
        let named = tempfile::NamedTempFile::new().unwrap();
        let mut set = KeySet::of_at_most(8);
        set.runs = Some(Runs::of(named.reopen().unwrap()));
        assert!((0..20).all(|n| set.insert(hash(n)).unwrap()));
        (named, set)
    }

    fn slots(set: &KeySet) -> usize {
        set.parts.iter().map(|p| size_of_val(p.slots.as_slice())).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Few different bits, so that parts fill, slots collide, filters say nothing and hashes come again;
        /// with all keys in memory, and with runs of a few, of a block and of several blocks.
        #[test]
        fn it_holds_what_a_set_holds(
            hashes in prop::collection::vec((0..4_u128, 0..64_u128, 2..64_u128), 0..1_000),
            most in prop_oneof![1..8_usize, Just(50), Just(256), Just(600), Just(MOST)],
        ) {
            let (mut ours, mut theirs) = (KeySet::of_at_most(most), HashSet::new());
            for (high, middle, low) in hashes {
                let hash = high << 124 | middle << 60 | low;
                prop_assert_eq!(ours.contains(hash)?, theirs.contains(&hash));
                prop_assert_eq!(ours.insert(hash)?, theirs.insert(hash));
                prop_assert!(ours.contains(hash)?);
                prop_assert!(ours.held < most);
            }
            prop_assert_eq!(ours.is_in_memory(), theirs.len() < most);
        }
    }

    #[test]
    fn many_keys_take_less_than_nineteen_bytes_each() {
        let mut set = KeySet::default();
        for n in 0..200_000 {
            assert!(set.insert(hash(n)).unwrap());
        }
        assert!(set.insert(0).unwrap() && !set.insert(0).unwrap());
        assert!((0..200_000).all(|n| !set.insert(hash(n)).unwrap() && !set.contains(hash(n + 200_000)).unwrap()));
        assert!(slots(&set) < 3_800_000, "{}", slots(&set));
    }

    #[test]
    fn keys_in_the_file_take_less_than_two_bytes_each() {
        let mut set = KeySet::of_at_most(20_000);
        assert!((0..200_000).all(|n| set.insert(hash(n)).unwrap()));
        assert!((0..200_000).step_by(100).all(|n| !set.insert(hash(n)).unwrap()));
        assert!((200_000..220_000).step_by(100).all(|n| !set.contains(hash(n)).unwrap()));
        let (table, file) = (slots(&set), set.runs.as_ref().map_or(0, Runs::bytes));
        assert!(table < 20_000 * 20, "{table}");
        assert!(file > 0 && file < 200_000 * 17 / 10, "{file}");
    }

    #[test]
    fn a_full_table_is_ten_megabytes() {
        let mut set = KeySet::default();
        assert!((1..MOST as u64).all(|n| set.insert(hash(n)).unwrap()));
        assert!(set.is_in_memory() && slots(&set) < 9_700_000, "{}", slots(&set));
    }

    #[test]
    fn keys_stay_where_they_are_when_the_file_takes_no_more() {
        let (named, mut set) = with_a_file();
        set.runs.as_mut().unwrap().forbid_writing(File::open(named.path()).unwrap());
        assert!((20..100).all(|n| set.insert(hash(n)).unwrap()));
        assert!((0..100).all(|n| set.contains(hash(n)).unwrap() && !set.insert(hash(n)).unwrap()));
        assert!((100..200).all(|n| !set.contains(hash(n)).unwrap()));
        assert_eq!(set.held, 100 - 16);
        set.make_way().unwrap();
        let mut asked: Vec<Asked> = (0..200).map(|n| KeySet::asked(hash(n), n as u32)).collect();
        asked.sort_unstable();
        let mut found = Vec::new();
        set.find_all(&asked, |number| found.push(number)).unwrap();
        found.sort_unstable();
        assert_eq!(found, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_is_cut_is_an_error_and_no_answer() {
        let (named, mut set) = with_a_file();
        named.as_file().set_len(64).unwrap();
        assert_eq!(set.contains(hash(0)).unwrap_err().kind, Kind::Storage);
        assert_eq!(set.insert(hash(0)).unwrap_err().kind, Kind::Storage);
        let asked = [KeySet::asked(hash(0), 0)];
        assert_eq!(set.find_all(&asked, |_| ()).unwrap_err().kind, Kind::Storage);
    }
}
