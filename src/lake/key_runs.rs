//! Keys in a temporary file: sorted runs, written once, searched by block or read from end to end.
//!
//! Answers are exact: what the filter lets through is looked up among the keys
//! themselves. A run has the first key of each block in memory, so a search is one
//! read of 4 KiB. Runs are not merged with each other: each key would be written
//! again and again, and only the few questions that pass the filter go to each run.
//! The file has no name, so nothing is left of it whatever ends the program.

use std::fs::File;
use std::io::{BufWriter, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use super::key_filter::Filter;

/// Bytes of a key in the file: its 100 bits as a number, lowest byte first.
const KEY: usize = size_of::<u128>();
/// Keys of which the first is in memory.
const BLOCK: usize = 256;
/// Bytes that are written, or read from end to end, at a time.
const PIECE: usize = 64 << 10;
/// The lower bits of an `Asked`: all that 100 bits of a key leave.
const NUMBER: u32 = 28;

pub(super) struct Runs {
    file: File,
    runs: Vec<Run>,
    keys: usize,
    filter: Filter,
}

/// Sorted keys in a row.
pub(super) struct Run {
    /// Where it begins, in bytes.
    at: u64,
    keys: usize,
    /// The first key of each block.
    firsts: Vec<u128>,
}

/// A key and the number of who asks for it, below 2^28, in one word: it sorts as its key does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked(u128);

impl Asked {
    pub(super) fn new(key: u128, number: u32) -> Asked {
        Asked(key << NUMBER | u128::from(number))
    }

    pub(super) fn key(self) -> u128 {
        self.0 >> NUMBER
    }

    pub(super) fn number(self) -> u32 {
        self.0 as u32 & ((1 << NUMBER) - 1)
    }
}

impl Runs {
    pub(super) fn new() -> Result<Runs> {
        Ok(Runs::of(tempfile::tempfile()?))
    }

    pub(super) fn of(file: File) -> Runs {
        Runs { file, runs: Vec::new(), keys: 0, filter: Filter::with_room(0) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Writes sorted keys behind the others. They are not among them before [`Runs::take`].
    pub(super) fn write(&mut self, keys: impl Iterator<Item = u128>) -> Result<Run> {
        let at = (self.keys * KEY) as u64;
        self.file.seek(SeekFrom::Start(at))?;
        let mut run = Run { at, keys: 0, firsts: Vec::new() };
        let mut file = BufWriter::with_capacity(PIECE, &self.file);
        for key in keys {
            if run.keys.is_multiple_of(BLOCK) {
                run.firsts.push(key);
            }
            run.keys += 1;
            file.write_all(&key.to_le_bytes())?;
        }
        file.flush()?;
        Ok(run)
    }

    /// Takes what was written last. The filter grows by a quarter, and is filled
    /// anew from the file then: so there are never two of them.
    pub(super) fn take(&mut self, run: Run) -> Result<()> {
        self.keys += run.keys;
        self.runs.push(run);
        let mut unknown = self.runs.len() - 1;
        if self.keys > self.filter.room() {
            self.filter = Filter::with_room(0);
            self.filter = Filter::with_room(self.keys + self.keys / 4);
            unknown = 0;
        }
        for run in &self.runs[unknown..] {
            run.read(&self.file, |keys| keys.iter().for_each(|key| self.filter.add(u128::from_le_bytes(*key))))?;
        }
        Ok(())
    }

    pub(super) fn contains(&self, key: u128) -> Result<bool> {
        if !self.filter.may_hold(key) {
            return Ok(false);
        }
        // What comes again mostly comes again soon.
        for run in self.runs.iter().rev() {
            if run.contains(&self.file, key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Calls `found` with the number of each question, of which there are many and sorted, whose key is here.
    pub(super) fn find_all(&self, asked: &[Asked], mut found: impl FnMut(u32)) -> Result<()> {
        for run in &self.runs {
            let mut rest = asked;
            run.read(&self.file, |keys| rest = common(keys, rest, &mut found))?;
        }
        Ok(())
    }

    /// Another handle of the same file, which cannot be written to.
    #[cfg(test)]
    pub(super) fn forbid_writing(&mut self, file: File) {
        self.file = file;
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.filter.bytes() + self.runs.iter().map(|run| size_of_val(run.firsts.as_slice())).sum::<usize>()
    }
}

impl Run {
    fn contains(&self, file: &File, key: u128) -> Result<bool> {
        let Some(block) = self.firsts.partition_point(|first| *first <= key).checked_sub(1) else { return Ok(false) };
        let keys = BLOCK.min(self.keys - block * BLOCK);
        let mut bytes = [0; BLOCK * KEY];
        let bytes = &mut bytes[..keys * KEY];
        file.read_exact_at(bytes, self.at + (block * BLOCK * KEY) as u64)?;
        let (keys, _) = bytes.as_chunks::<KEY>();
        Ok(keys.binary_search_by_key(&key, |key| u128::from_le_bytes(*key)).is_ok())
    }

    /// Hands all keys to `each`, piece by piece.
    fn read(&self, file: &File, mut each: impl FnMut(&[[u8; KEY]])) -> Result<()> {
        let (mut at, end) = (self.at, self.at + (self.keys * KEY) as u64);
        let mut piece = vec![0; PIECE];
        while at < end {
            let bytes = &mut piece[..PIECE.min((end - at) as usize)];
            file.read_exact_at(bytes, at)?;
            each(bytes.as_chunks::<KEY>().0);
            at += bytes.len() as u64;
        }
        Ok(())
    }
}

/// Calls `found` for questions whose key is among `keys`; gives those that are above all of them.
///
/// Which of the two goes on is random, so it is added and not branched upon.
fn common<'a>(keys: &[[u8; KEY]], asked: &'a [Asked], found: &mut impl FnMut(u32)) -> &'a [Asked] {
    let (mut k, mut a) = (0, 0);
    while k < keys.len() && a < asked.len() {
        let (key, ours) = (u128::from_le_bytes(keys[k]), asked[a].key());
        if key == ours {
            found(asked[a].number());
        }
        k += usize::from(key < ours);
        a += usize::from(key >= ours);
    }
    &asked[a..]
}
