//! One cursor for each scope: a workspace, an organization, a parent whose list is read by windows.
//!
//! One scope that is refused holds its own cursor and nobody else's, and a scope that is
//! new reads its whole backfill. Scopes with one cursor are read together, which is the
//! usual case: a slice holds the rows of all of them, and is rewritten once.
//! Rejected: a slice for each scope, which would make many small objects of few rows.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;

use super::Run;
use super::units::{Step, steps};
use crate::error::Result;
use crate::lake::{State, TableState};
use crate::schema::Table;

/// The cursor of each scope that this run reads. A table without scopes has one without a name.
pub(super) type Cursors = BTreeMap<String, Option<DateTime<Utc>>>;

/// Scopes with the same cursor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) scopes: Arc<BTreeSet<String>>,
    pub(super) cursor: Option<DateTime<Utc>>,
}

/// The scopes that a windowed table is read for, by their names in the state.
pub(super) async fn names(run: &Run, table: &Arc<Table>) -> Result<BTreeSet<String>> {
    if table.parent_columns().is_empty() {
        return Ok(BTreeSet::from([String::new()]));
    }
    let read = |step| {
        std::future::ready(Ok(match step {
            Step::Read(unit) => Some(unit.scope(table)),
            Step::Keep(_) | Step::Unchanged(_) => None,
        }))
    };
    steps(run, table, None).await?.try_filter_map(read).try_collect().await
}

/// The cursors of these scopes. A table that was read before scopes had cursors hands its own on, once, to all of them.
pub(super) async fn load(run: &Run, tables: &[Arc<Table>], names: &BTreeSet<String>) -> Result<Cursors> {
    let mut state = run.state.lock().await;
    let mut carried = false;
    for table in tables {
        if let Some(known) = state.tables.get_mut(&table.name) {
            carried |= carry_over(known, names);
        }
    }
    if carried {
        run.state_file.save(&state).await?;
    }
    Ok(names.iter().map(|name| (name.clone(), cursor(&state, tables, name))).collect())
}

fn carry_over(table: &mut TableState, names: &BTreeSet<String>) -> bool {
    let Some(cursor) = table.cursor.filter(|_| table.scopes.is_empty()) else { return false };
    for name in names.iter().filter(|name| !name.is_empty()) {
        table.scopes.entry(name.clone()).or_default().cursor = Some(cursor);
    }
    !table.scopes.is_empty()
}

/// The cursor of one scope: the earliest of the tables that are decoded from the same responses. `None` if one of
/// them was never read.
pub(crate) fn cursor(state: &State, tables: &[Arc<Table>], name: &str) -> Option<DateTime<Utc>> {
    let of = |table: &Arc<Table>| {
        let table = state.tables.get(&table.name)?;
        match name.is_empty() || table.scopes.is_empty() {
            true => table.cursor,
            false => table.scopes.get(name)?.cursor,
        }
    };
    tables.iter().map(of).collect::<Option<Vec<_>>>()?.into_iter().min()
}

/// Groups of equal cursors, the newest first: what is new does not wait for a backfill.
pub(super) fn groups(cursors: &Cursors) -> Vec<Group> {
    let mut groups: BTreeMap<Reverse<Option<DateTime<Utc>>>, BTreeSet<String>> = BTreeMap::new();
    for (name, cursor) in cursors {
        groups.entry(Reverse(*cursor)).or_default().insert(name.clone());
    }
    groups.into_iter().map(|(Reverse(cursor), scopes)| Group { scopes: Arc::new(scopes), cursor }).collect()
}

/// Puts the cursors into the state and saves it. The table's own is the earliest of its scopes.
pub(super) async fn save(run: &Run, tables: &[Arc<Table>], cursors: &Cursors) -> Result<()> {
    let mut state = run.state.lock().await;
    let earliest = cursors.values().copied().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min());
    let is_read = cursors.values().any(Option::is_some);
    for table in tables {
        if !is_read && !state.tables.contains_key(&table.name) {
            continue;
        }
        let known = state.table(&table.name);
        known.cursor = earliest;
        for (name, cursor) in cursors.iter().filter(|(name, _)| !name.is_empty()) {
            known.scopes.entry(name.clone()).or_default().cursor = *cursor;
        }
        if let Some(cursor) = earliest {
            run.track(table).settled(cursor);
        }
    }
    run.state_file.save(&state).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_with_one_cursor_are_read_together_and_new_ones_last() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0);
        let cursors = [("a", at(10)), ("b", at(20)), ("c", None), ("d", at(20))];
        let cursors = cursors.map(|(name, cursor)| (name.to_string(), cursor)).into_iter().collect();
        let got: Vec<_> =
            groups(&cursors).into_iter().map(|g| (g.scopes.iter().cloned().collect(), g.cursor)).collect();
        let names = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<_>>();
        assert_eq!(got, [(names("b d"), at(20)), (names("a"), at(10)), (names("c"), None)]);
    }

    #[test]
    fn a_cursor_from_before_scopes_is_carried_over_once() {
        let names = |text: &str| text.split(' ').map(str::to_string).collect::<BTreeSet<_>>();
        let mut table = TableState { cursor: DateTime::from_timestamp(10, 0), ..TableState::default() };
        assert!(carry_over(&mut table, &names("a b")));
        assert!(!carry_over(&mut table, &names("a b c")), "what comes later is new");
        assert_eq!(table.scopes.keys().cloned().collect::<BTreeSet<_>>(), names("a b"));
        assert!(table.scopes.values().all(|scope| scope.cursor == table.cursor));
        assert!(!carry_over(&mut TableState::default(), &names("a b")));
        let mut plain = TableState { cursor: DateTime::from_timestamp(10, 0), ..TableState::default() };
        assert!(!carry_over(&mut plain, &names("")));
    }
}
