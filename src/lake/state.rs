//! How far each table is settled: `_state/state.json`.
//!
//! Small, readable, saved whole after every committed slice, and only after the
//! slice's object is durable. A missing file means a first sync. A file that is
//! not ours, cut short or from a newer version is refused: going on from a
//! guess could skip data without anybody noticing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{GetResult, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{Lake, storage};
use crate::error::{Error, Result};

const VERSION: u64 = 1;

/// Seconds from 1970 to 2300, where a settled moment can be.
const POSSIBLE: std::ops::Range<i64> = 0..10_413_792_000;

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
    /// Log files: the newest event that the source says it has; it does not promise that all before it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_event_time: Option<DateTime<Utc>>,
    /// Tables that are read in part: when they were last read whole, without a hole since. None: never, or not surely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) whole: Option<DateTime<Utc>>,
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

    /// Refuses a state from the future: a table that is settled later than now would not be read until then.
    pub(crate) fn check_clock(&self, now: DateTime<Utc>) -> Result<()> {
        let Some((name, table)) = self.tables.iter().find(|(_, t)| t.settled > now + chrono::Duration::days(1)) else {
            return Ok(());
        };
        let settled = table.settled.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        Err(Error::integrity(format!("the state says that {name} is settled up to {settled}, which is not yet"))
            .hint(format!("set this machine's clock right; if a wrong clock wrote the state, `openai-elt state reset {name}` reads the table again")))
    }

    pub(crate) fn settle(&mut self, table: &str, settled: DateTime<Utc>) {
        let known = self.tables.entry(table.to_string());
        known.or_insert(TableState { settled, max_event_time: None, whole: None }).settled = settled;
    }

    /// Notes that a settled table was read whole, or that nobody can be sure of it any more.
    pub(crate) fn note_whole(&mut self, table: &str, whole: Option<DateTime<Utc>>) {
        if let Some(state) = self.tables.get_mut(table) {
            state.whole = whole;
        }
    }

    /// Notes how new the source says its newest event is. A table that is not settled at all has no place for it.
    pub(crate) fn newest(&mut self, table: &str, time: DateTime<Utc>) {
        if let Some(state) = self.tables.get_mut(table) {
            state.max_event_time = Some(time);
        }
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
        let state: State =
            serde_json::from_value(value).map_err(|e| refuse(format!("the state file is corrupt: {e}")))?;
        let impossible = state.tables.iter().find(|(_, table)| !POSSIBLE.contains(&table.settled.timestamp()));
        match impossible {
            Some((name, table)) => {
                let settled = table.settled.to_rfc3339();
                Err(refuse(format!("the state file is corrupt: no sync has settled `{name}` at {settled}")))
            }
            None => Ok(state),
        }
    }

    pub(crate) fn text(&self) -> String {
        // A map of strings and times always has a JSON text.
        serde_json::to_string_pretty(self).map(|t| t + "\n").unwrap_or_default()
    }
}

/// Where the state is kept.
#[derive(Debug)]
pub(crate) struct StateFile {
    lake: Lake,
    path: Path,
    /// Object stores: what was last seen or written there, so that only that is replaced.
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    version: Option<UpdateVersion>,
    /// What was last sent: an answer may be lost on its way although the text arrived.
    sent: Option<String>,
}

impl StateFile {
    /// Beside the tables, or where `--state` says: a file, or a URL of one.
    pub(crate) fn open(lake: &Lake, elsewhere: Option<&str>) -> Result<StateFile> {
        let Some(elsewhere) = elsewhere else {
            let path = lake.path(&["_state", "state.json"]);
            return Ok(StateFile { lake: lake.clone(), path, seen: Mutex::default() });
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
        Ok(StateFile { path: home.path(&[name]), lake: home, seen: Mutex::default() })
    }

    pub(crate) async fn load(&self) -> Result<State> {
        let mut seen = self.seen.lock().await;
        let found = self.found().await?;
        seen.version = found.as_ref().map(|(version, _)| version.clone());
        match found {
            Some((_, text)) => State::parse(&text).map_err(|e| e.at(self.shown())),
            None => Ok(State::default()),
        }
    }

    async fn found(&self) -> Result<Option<(UpdateVersion, String)>> {
        let failed = |e: object_store::Error| storage(&e, self.lake.shown()).at(self.shown());
        let found: GetResult = match self.lake.store.get(&self.path).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let text = String::from_utf8(found.bytes().await.map_err(failed)?.into());
        let text = text.map_err(|_| Error::integrity("the state file is corrupt: not UTF-8").at(self.shown()))?;
        Ok(Some((version, text)))
    }

    /// An atomic rename on a disk, a conditional PUT elsewhere.
    ///
    /// The lease already keeps other runs out; but `--state` may name a file that a
    /// run into another destination uses too, and a lease can be lost.
    pub(crate) async fn save(&self, state: &State) -> Result<()> {
        if self.path.as_ref().ends_with("_state/state.json") {
            self.lake.private_folder("_state")?;
        }
        let mut seen = self.seen.lock().await;
        let saved = match self.lake.folder {
            Some(_) => self.lake.put_private(&self.path, state.text()).await,
            None => self.swap(&mut seen, state.text()).await,
        };
        saved.map_err(|e| e.at(self.shown()))
    }

    /// Saves a state in the place of whatever is there.
    pub(crate) async fn replace(&self, state: &State) -> Result<()> {
        let version = match self.lake.store.head(&self.path).await {
            Ok(meta) => Some(UpdateVersion { e_tag: meta.e_tag, version: meta.version }),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(e) => return Err(storage(&e, self.lake.shown()).at(self.shown())),
        };
        self.seen.lock().await.version = version;
        self.save(state).await
    }

    async fn swap(&self, seen: &mut Seen, text: String) -> Result<()> {
        let before = seen.sent.replace(text.clone());
        for again in [true, false] {
            let mode = seen.version.clone().map_or(PutMode::Create, PutMode::Update);
            match self.lake.store.put_opts(&self.path, PutPayload::from(text.clone()), mode.into()).await {
                Ok(put) => {
                    seen.version = Some(UpdateVersion { e_tag: put.e_tag, version: put.version });
                    return Ok(());
                }
                Err(object_store::Error::Precondition { .. } | object_store::Error::AlreadyExists { .. }) if again => {
                    let ours = [before.as_ref(), Some(&text)];
                    let found = self.found().await?;
                    let Some((version, _)) = found.filter(|(_, found)| ours.contains(&Some(found))) else { break };
                    seen.version = Some(version);
                }
                Err(object_store::Error::Precondition { .. } | object_store::Error::AlreadyExists { .. }) => break,
                Err(e) => return Err(storage(&e, self.lake.shown())),
            }
        }
        Err(Error::integrity("the state was changed by somebody else while this run went on")
            .hint("let one run at a time use this state; what was committed stays, and the next run goes on from the state that is there"))
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
            ("{\"version\":1,\"tables\":{\"a\":{\"settled\":\"-262143-01-01T00:00:00Z\"}}}", "no sync has settled `a`"),
            ("{\"version\":1,\"tables\":{\"a\":{\"settled\":\"+9999-12-31T00:00:00Z\"}}}", "no sync has settled `a`"),
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

    #[test]
    fn a_state_from_before_full_passes_says_that_there_was_none() {
        let old = r#"{"version":1,"tables":{"files":{"settled":"2026-11-20T00:00:00Z"}}}"#;
        let mut state = State::parse(old).unwrap();
        assert_eq!(state.tables["files"].whole, None);
        let whole = DateTime::from_timestamp(1_795_000_000, 0);
        state.note_whole("files", whole);
        state.settle("files", DateTime::from_timestamp(1_795_003_600, 0).unwrap());
        assert_eq!(State::parse(&state.text()).unwrap().tables["files"].whole, whole);
    }
}
