//! How far each table is settled: `_state/state.json`.
//!
//! Small, readable, saved whole after every committed slice, and only after the
//! slice's object is durable. A missing file means a first sync. A file that is
//! not ours, cut short or from a newer version is refused: going on from a
//! guess could skip data without anybody noticing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::{Lake, storage};
use crate::error::{Error, Result};

const VERSION: u64 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    version: u64,
    pub(crate) tables: BTreeMap<String, TableState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableState {
    /// Everything before it was read; whole tables: when they were last read whole.
    pub(crate) settled: DateTime<Utc>,
}

impl Default for State {
    fn default() -> State {
        State { version: VERSION, tables: BTreeMap::new() }
    }
}

impl State {
    pub(crate) fn settled(&self, table: &str) -> Option<DateTime<Utc>> {
        self.tables.get(table).map(|t| t.settled)
    }

    pub(crate) fn settle(&mut self, table: &str, settled: DateTime<Utc>) {
        self.tables.insert(table.to_string(), TableState { settled });
    }

    /// Reads the text of a state file, or says why it cannot be trusted.
    pub(crate) fn parse(text: &str) -> Result<State> {
        let refuse = |what: String| {
            Error::integrity(what).hint(
                "restore it from a copy, or move it away: without it the next sync reads the whole history again and writes the same rows",
            )
        };
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|e| refuse(format!("the state file is corrupt or cut short: {e}")))?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(VERSION) => {}
            Some(newer) if newer > VERSION => {
                return Err(Error::integrity(format!(
                    "the state file has version {newer}, this program knows version {VERSION}"
                ))
                .hint("it was written by a newer openai-elt: use that version"));
            }
            _ => return Err(refuse("the state file is not one of openai-elt: it has no version 1".to_string())),
        }
        serde_json::from_value(value).map_err(|e| refuse(format!("the state file is corrupt: {e}")))
    }

    pub(crate) fn text(&self) -> String {
        // A map of strings and times always has a JSON text.
        serde_json::to_string_pretty(self).map(|t| t + "\n").unwrap_or_default()
    }
}

/// Where the state is kept.
#[derive(Clone, Debug)]
pub(crate) struct StateFile {
    lake: Lake,
    path: Path,
}

impl StateFile {
    /// Beside the tables, or where `--state` says: a file, or a URL of one.
    pub(crate) fn open(lake: &Lake, elsewhere: Option<&str>) -> Result<StateFile> {
        let Some(elsewhere) = elsewhere else {
            return Ok(StateFile { lake: lake.clone(), path: lake.path(&["_state", "state.json"]) });
        };
        let name = elsewhere.rsplit('/').next().unwrap_or_default();
        if name.is_empty() || std::path::Path::new(elsewhere).is_dir() {
            return Err(
                Error::usage(format!("--state {elsewhere} is a folder")).hint("give it a file, such as state.json")
            );
        }
        let folder = elsewhere.strip_suffix(name).unwrap_or_default();
        let folder = if folder.is_empty() { "." } else { folder };
        let home = Lake::open(folder)?;
        Ok(StateFile { path: home.path(&[name]), lake: home })
    }

    pub(crate) async fn load(&self) -> Result<State> {
        let at = |e: Error| e.at(self.shown());
        let found = match self.lake.store.get(&self.path).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(State::default()),
            Err(e) => return Err(at(storage(&e, self.lake.shown()))),
        };
        let bytes = found.bytes().await.map_err(|e| at(storage(&e, self.lake.shown())))?;
        let text = std::str::from_utf8(&bytes);
        let text = text.map_err(|_| at(Error::integrity("the state file is corrupt: not UTF-8")))?;
        State::parse(text).map_err(at)
    }

    /// An atomic rename on a disk, one PUT elsewhere; the lease keeps other writers out.
    pub(crate) async fn save(&self, state: &State) -> Result<()> {
        if self.path.as_ref().ends_with("_state/state.json") {
            self.lake.private_folder("_state")?;
        }
        self.lake.put_private(&self.path, state.text()).await.map_err(|e| e.at(self.shown()))
    }

    pub(crate) fn shown(&self) -> String {
        self.lake.relative(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_it_cannot_trust() {
        assert!(State::parse("{\"version\":1,\"tables\":{}}").is_ok());
        for (text, expected) in [
            ("", "cut short"),
            ("{\"version\":1,\"tab", "cut short"),
            ("{\"version\":2,\"tables\":{}}", "version 2"),
            ("{\"bookmarks\":{}}", "not one of openai-elt"),
            ("[]", "not one of openai-elt"),
            ("{\"version\":1}", "corrupt"),
            ("{\"version\":1,\"tables\":{\"a\":{\"settled\":\"soon\"}}}", "corrupt"),
            ("{\"version\":1,\"tables\":{},\"more\":1}", "corrupt"),
        ] {
            let error = State::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_ends_without_panic(text in ".*") {
            let _ = State::parse(&text);
        }

        #[test]
        fn what_is_saved_is_loaded(tables in prop::collection::btree_map("[a-z_]{1,9}", 0_i64..4_000_000_000, 0..5)) {
            let mut state = State::default();
            for (table, seconds) in tables {
                state.settle(&table, DateTime::from_timestamp(seconds, 0).unwrap());
            }
            prop_assert_eq!(State::parse(&state.text()).unwrap(), state);
        }
    }
}
