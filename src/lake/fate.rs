//! What becomes of the rows that a slice already holds. Pure.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use crate::schema::Policy;

use super::keys::KeyMap;

/// What this run learned of one parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParentFate {
    /// All its children were read.
    Read,
    /// Archived, or it could not be read: its children stay as they are.
    Keep,
}

/// The parents of a table, by the hash of their bound values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parents {
    /// The child's columns that hold the bound values, in the order that was hashed.
    pub(crate) columns: Vec<usize>,
    pub(crate) fates: KeyMap<ParentFate>,
    /// What holds for a parent that is not among them; none = it is gone.
    pub(crate) absent: Option<ParentFate>,
    /// The days that the source answered for, where it says which: another day's rows stay.
    pub(crate) answered: Option<KeyMap<BTreeSet<NaiveDate>>>,
}

impl Parents {
    /// Of a parent's rows of a day.
    pub(super) fn of(&self, hash: u128, day: Option<NaiveDate>) -> Option<ParentFate> {
        let fate = self.fates.get(&hash).copied().or(self.absent);
        let is_answered = |day: NaiveDate| match &self.answered {
            Some(answered) => answered.get(&hash).is_some_and(|days| days.contains(&day)),
            None => true,
        };
        fate.map(|fate| if day.is_none_or(is_answered) { fate } else { ParentFate::Keep })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Drop,
    Keep,
    Tombstone,
}

/// The fate of one old row. `parent` is none for tables without parents, and
/// `Some(None)` for a row whose parent is gone.
pub(super) fn fate(policy: Policy, arrived: bool, parent: Option<Option<ParentFate>>) -> Fate {
    match (arrived, parent, policy) {
        (true, _, _) => Fate::Drop,
        (false, Some(Some(ParentFate::Keep)), _) => Fate::Keep,
        (false, _, Policy::Merge) => Fate::Keep,
        (false, Some(None), Policy::Replace) => Fate::Keep,
        (false, _, Policy::Replace) => Fate::Drop,
        (false, _, Policy::Snapshot) => Fate::Tombstone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Policy::{Merge, Replace, Snapshot};

    #[test]
    fn cases() {
        let read = Some(Some(ParentFate::Read));
        let keep = Some(Some(ParentFate::Keep));
        let gone = Some(None);
        let cases = [
            (Replace, true, None, Fate::Drop),
            (Replace, false, None, Fate::Drop),
            (Replace, false, read, Fate::Drop),
            (Replace, false, keep, Fate::Keep),
            (Replace, false, gone, Fate::Keep),
            (Merge, true, None, Fate::Drop),
            (Merge, false, None, Fate::Keep),
            (Snapshot, true, keep, Fate::Drop),
            (Snapshot, false, None, Fate::Tombstone),
            (Snapshot, false, read, Fate::Tombstone),
            (Snapshot, false, keep, Fate::Keep),
            (Snapshot, false, gone, Fate::Tombstone),
        ];
        for (policy, arrived, parent, expected) in cases {
            assert_eq!(fate(policy, arrived, parent), expected, "{policy:?} {arrived} {parent:?}");
        }
    }
}
