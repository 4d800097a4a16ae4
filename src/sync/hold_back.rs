//! Soft deletes that are not plausible, and what confirms them.
//!
//! A list that breaks off looks like one whose rows are gone, and nothing in an
//! answer tells the two apart. So a snapshot that would soft-delete many rows at
//! once is held back and reported. It goes through when the user says so
//! (`--accept-deletes`), or when the next sync would delete the same rows.
//! A source that archives a parent says what it does, and nothing is deleted then.
//!
//! A list is judged alone first: where one project's list broke off, the rows of
//! the others are written. The table as a whole is judged by what is left, which
//! includes the rows of parents that are gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Run;
use super::read::Drained;
use super::tally::note;
use crate::error::{Error, Kind, Result};
use crate::lake::{HeldBack, Loss, Losses, ParentFate, ParentState, Parents, only_list};
use crate::report::{counted, grouped};
use crate::schema::{HoldBack, Policy, Table};

/// What is held back of a table. Pure.
#[derive(Debug, PartialEq)]
enum Decision {
    /// Every soft delete is plausible.
    Write,
    /// The rows of these lists stay, and the others are written.
    KeepLists(Vec<u128>),
    /// Nothing is written.
    KeepTable,
}

/// What of these losses is held back, and all that would be soft-deleted of it. `read` are the
/// lists that were read, `broke_off` those of them that ended although they had promised more.
fn decide(limits: HoldBack, losses: &Losses, read: &BTreeSet<u128>, broke_off: &[u128]) -> (Decision, Loss) {
    let is_implausible =
        |loss: &Loss| loss.missing >= limits.rows.max(1) && loss.missing as f64 > limits.share * loss.rows as f64;
    let (mut held, mut rest, mut lists) = (Loss::default(), Loss::default(), Vec::new());
    for (list, loss) in losses {
        let is_read = loss.parent == ParentState::Read;
        match loss.parent {
            ParentState::Kept => rest.rows += loss.rows,
            _ if is_read && (is_implausible(loss) || (loss.missing > 0 && broke_off.contains(list))) => {
                lists.push(*list);
                held.add(loss);
                rest.rows += loss.rows;
            }
            _ => rest.add(loss),
        }
    }
    let all_held = !lists.is_empty() && read.iter().all(|list| lists.contains(list));
    if is_implausible(&rest) || all_held {
        held.add(&Loss { rows: 0, ..rest.clone() });
        held.rows = rest.rows;
        return (Decision::KeepTable, held);
    }
    lists.sort_unstable();
    match lists.is_empty() {
        true => (Decision::Write, held),
        false => (Decision::KeepLists(lists), held),
    }
}

/// What the state is to say of each table, once its rows are durable.
#[derive(Default)]
pub(super) struct Outcome(Vec<(String, Option<HeldBack>)>);

impl Outcome {
    /// Whether lists were held back: then the table was not read whole.
    pub(super) fn is_held(&self) -> bool {
        self.0.iter().any(|(_, held)| held.is_some())
    }

    /// Notes it in the state that the next save writes. A read that was partial says nothing of earlier ones.
    pub(super) async fn note(self, run: &Run, in_part: bool) {
        let mut state = run.state.lock().await;
        for (table, held) in self.0 {
            if held.is_some() || !in_part {
                state.table(&table).held_back = held;
            }
        }
    }
}

/// Judges what the drained lists would soft-delete. Lists that are held back keep their rows.
/// Errors if a table is held back whole: then the state says so, and nothing may be written.
pub(super) async fn examine(run: &Run, tables: &[Arc<Table>], drained: &mut Drained) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for (index, table) in tables.iter().enumerate().filter(|(_, table)| table.policy == Policy::Snapshot) {
        let least = if drained.broke_off.is_empty() { table.hold_back.rows } else { 1 };
        let sink = &mut drained.sinks[index];
        sink.drained(&BTreeSet::new(), drained.parents.as_ref()).await?;
        let losses = sink.losses(drained.parents.as_ref(), least).await?;
        let read = read_lists(drained.parents.as_ref());
        let (decision, loss) = decide(table.hold_back, &losses, &read, &drained.broke_off);
        let held = hold(run, table, &decision, &loss).await?;
        if let (Some(_), Decision::KeepLists(lists)) = (&held, &decision) {
            for list in lists {
                note(&mut drained.parents, *list, ParentFate::Keep);
                if let Some(loss) = losses.get(list) {
                    run.track(table).skip(loss.shown.clone(), &implausible(table, loss));
                }
            }
        }
        outcome.0.push((table.name.clone(), held));
    }
    Ok(outcome)
}

/// Returns what is held back, or `None` if all is written: because it is plausible, accepted or confirmed.
async fn hold(run: &Run, table: &Table, decision: &Decision, loss: &Loss) -> Result<Option<HeldBack>> {
    if *decision == Decision::Write || run.accept_deletes {
        return Ok(None);
    }
    let mut state = run.state.lock().await;
    let before = state.tables.get(&table.name).and_then(|state| state.held_back.clone());
    let held = held_back(loss, before.as_ref(), run.time(table));
    if before.is_some_and(|before| (before.digest, before.deletes) == (held.digest.clone(), held.deletes)) {
        let rows = counted(loss.missing, "row");
        run.track(table).warn(format!("soft-deleted {rows} that an earlier run held back and that are still missing"));
        return Ok(None);
    }
    if *decision == Decision::KeepTable {
        state.table(&table.name).held_back = Some(held);
        run.state_file.save(&state).await?;
        return Err(implausible(table, loss));
    }
    Ok(Some(held))
}

fn held_back(loss: &Loss, before: Option<&HeldBack>, now: DateTime<Utc>) -> HeldBack {
    let digest = format!("{:032x}", loss.digest);
    let since = before.filter(|before| before.digest == digest).map_or(now, |before| before.since);
    HeldBack { digest, deletes: loss.missing, rows: loss.rows, since }
}

fn implausible(table: &Table, loss: &Loss) -> Error {
    let missing = format!("{} of {}", grouped(loss.missing), counted(loss.rows, "row"));
    let what =
        format!("{missing} are missing from the list: not soft-deleted, because a list that broke off looks the same");
    Error::new(Kind::HeldBack, what).hint(format!(
        "if these rows are gone, the next run in which the same rows are missing soft-deletes them; `--tables {} --accept-deletes` does so at once",
        table.name
    ))
}

fn read_lists(parents: Option<&Parents>) -> BTreeSet<u128> {
    match parents {
        None => BTreeSet::from([only_list()]),
        Some(parents) => {
            parents.fates.iter().filter(|(_, fate)| **fate == ParentFate::Read).map(|(list, _)| *list).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loss(rows: u64, missing: u64, parent: ParentState) -> Loss {
        Loss { rows, missing, digest: missing.into(), parent, ..Loss::default() }
    }

    fn decided(lists: &[(u128, Loss)], broke_off: &[u128]) -> (Decision, u64) {
        let losses: Losses = lists.iter().cloned().collect();
        let read = lists.iter().filter(|(_, l)| l.parent == ParentState::Read).map(|(list, _)| *list).collect();
        let (decision, loss) = decide(HoldBack::default(), &losses, &read, broke_off);
        (decision, loss.missing)
    }

    #[test]
    fn cases() {
        use Decision::{KeepLists, KeepTable, Write};
        use ParentState::{Gone, Kept, Read};
        for (rows, missing, expected) in [
            (250, 0, Write),
            (250, 125, Write),
            (250, 126, KeepTable),
            (25, 19, Write),
            (25, 20, KeepTable),
            (40, 20, Write),
            (20, 20, KeepTable),
        ] {
            assert_eq!(decided(&[(1, loss(rows, missing, Read))], &[]).0, expected, "{missing} of {rows}");
        }
        let good = (2, loss(500, 3, Read));
        assert_eq!(decided(&[(1, loss(30, 30, Read)), good.clone()], &[]), (KeepLists(vec![1]), 30));
        assert_eq!(decided(&[(1, loss(30, 30, Gone)), good.clone()], &[]), (Write, 0));
        assert_eq!(decided(&[(1, loss(900, 900, Gone)), good.clone()], &[]), (KeepTable, 903));
        assert_eq!(decided(&[(1, loss(900, 900, Kept)), good.clone()], &[]), (Write, 0));
        assert_eq!(decided(&[(1, loss(9, 1, Read)), good], &[1]), (KeepLists(vec![1]), 1));
        assert_eq!(decided(&[(1, loss(9, 1, Read))], &[1]), (KeepTable, 1));
        let many: Vec<(u128, Loss)> = (0..50).map(|n| (n, loss(10, 6, Read))).collect();
        assert_eq!(decided(&many, &[]), (KeepTable, 300));
    }

    fn any_loss() -> impl Strategy<Value = Loss> {
        let parent = prop_oneof![Just(ParentState::Read), Just(ParentState::Kept), Just(ParentState::Gone)];
        (0_u64..100, 0_u64..100, parent).prop_map(|(stay, missing, parent)| loss(stay + missing, missing, parent))
    }

    proptest! {
        /// Whatever the lists: what is written soft-deletes no implausible share of the table or of a list.
        #[test]
        fn nothing_implausible_is_written(
            losses in prop::collection::vec(any_loss(), 1..8),
            share in 0.0..1.0,
            least in 0_u64..60,
            broken in 0_u128..8,
        ) {
            let limits = HoldBack { share, rows: least };
            let losses: Losses = (0..).zip(losses).collect();
            let read = losses.iter().filter(|(_, l)| l.parent == ParentState::Read).map(|(list, _)| *list).collect();
            let (decision, held) = decide(limits, &losses, &read, &[broken]);
            let kept = match &decision {
                Decision::KeepTable => return Ok(()),
                Decision::KeepLists(lists) => lists.clone(),
                Decision::Write => Vec::new(),
            };
            let is_too_much = |missing: u64, rows: u64| missing > 0 && missing >= least && missing as f64 > share * rows as f64;
            let (mut deleted, mut rows) = (0, 0);
            for (list, loss) in &losses {
                rows += loss.rows;
                if kept.contains(list) || loss.parent == ParentState::Kept {
                    continue;
                }
                deleted += loss.missing;
                if loss.parent == ParentState::Read {
                    prop_assert!(!is_too_much(loss.missing, loss.rows));
                    prop_assert!(*list != broken || loss.missing == 0);
                }
            }
            prop_assert!(!is_too_much(deleted, rows));
            prop_assert_eq!(held.missing, kept.iter().map(|list| losses[list].missing).sum::<u64>());
        }
    }
}
