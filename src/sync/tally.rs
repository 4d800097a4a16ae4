//! How the lists of one table went: which failed alone, and when that is the table's failure.

use super::units::Unit;
use crate::error::{Error, Kind, Result};
use crate::lake::{ParentFate, Parents};
use crate::report::Track;
use crate::schema::Table;

/// When so many parents in a row, from the first on, are refused for one reason, it is the table's.
const ALL_REFUSED: usize = 20;

/// How the lists of one table went.
#[derive(Default)]
pub(super) struct Tally {
    /// Whether one list may fail alone: there are others.
    alone: bool,
    pub(super) good: usize,
    bad: usize,
    last: Option<Error>,
}

impl Tally {
    pub(super) fn new(alone: bool) -> Tally {
        Tally { alone, ..Tally::default() }
    }

    /// One list's failure: the parent's alone, or the whole table's.
    pub(super) fn fail(
        &mut self,
        error: Error,
        unit: &Unit,
        table: &Table,
        known: &mut Option<Parents>,
        track: &Track,
    ) -> Result<()> {
        let of_the_table = match error.kind {
            Kind::Storage | Kind::Integrity | Kind::Interrupted | Kind::Usage => true,
            Kind::WrongKey => table.parent.is_some(),
            // As for a wrong key: the lists of all other parents would meet the same refusal.
            _ => table.parent.is_some() && error.refusal.as_ref().is_some_and(|refusal| refusal.of_key),
        };
        if of_the_table || !self.alone {
            return Err(error);
        }
        note(known, unit.hash(table), ParentFate::Keep);
        let shown = unit.shown(table);
        self.bad += 1;
        self.last = Some(error.clone().at(shown.clone()));
        track.skip(shown, &error);
        match self.good == 0 && self.bad >= ALL_REFUSED {
            true => self.verdict(),
            false => Ok(()),
        }
    }

    /// When not one list could be read, that is the table's failure.
    pub(super) fn verdict(&mut self) -> Result<()> {
        match self.last.take() {
            Some(error) if self.good == 0 => {
                Err(error.at(format!("{} of {} lists failed, the last:", self.bad, self.bad)))
            }
            _ => Ok(()),
        }
    }
}

/// A parent that failed once stays failed: half of its children are not all of them.
pub(super) fn note(known: &mut Option<Parents>, hash: u128, fate: ParentFate) {
    if let Some(known) = known {
        let noted = known.fates.entry(hash).or_insert(fate);
        if fate == ParentFate::Keep {
            *noted = fate;
        }
    }
}
