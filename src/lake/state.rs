//! How far each table has been read: `_state/state.json`.
//!
//! Small, readable, saved whole after every committed slice, and only after the
//! slice's object is durable. A missing file means a first sync. A file that is
//! not ours, cut short or from a newer version is refused: going on from a
//! guess could skip data without anybody noticing. A file of version 1 is
//! read and carried over: its `settled` is the `cursor`, its `whole` is
//! `last_full_refresh_at`; version 1 knew no scopes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{GetResult, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{Lake, storage};
use crate::error::{Error, Result};

const VERSION: u64 = 2;

/// Seconds from 1970 to 2300, where a cursor can be.
const POSSIBLE: std::ops::Range<i64> = 0..10_413_792_000;

type Time = DateTime<Utc>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    version: u64,
    pub(crate) tables: BTreeMap<String, TableState>,
}

/// What is known of one table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableState {
    /// All rows before this time were read; of a table that is read whole, the time when it was last read. With
    /// scopes, the earliest of those that the last run read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Time>,
    /// Tables with partial reads: when every list was last read to its end. `None` if never, or if a list broke
    /// off since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_full_refresh_at: Option<Time>,
    /// Log files: the newest event that the source says it has; it does not promise that all before it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_event_time: Option<Time>,
    /// Windowed tables that are read for several scopes (`workspace_id=ws_1`): each has a cursor of its own. Empty
    /// for a table with one scope, and in what was carried over from version 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) scopes: BTreeMap<String, ScopeState>,
    /// Log files that could not be read and that the cursor has passed: they are downloaded again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending_files: Vec<PendingFile>,
    /// A snapshot that was held back because it would soft-delete an implausible share of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held_back: Option<HeldBack>,
}

/// How far a table has been read for one scope: a workspace, an organization, a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeState {
    /// `None` if nothing was read yet: the scope's first sync reads its whole backfill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_event_time: Option<Time>,
}

/// A log file to download again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PendingFile {
    pub(crate) id: String,
    /// Where it is, below the surface's base URL.
    pub(crate) path: String,
    /// When the source closed the file.
    pub(crate) time: Time,
    /// The values bound into its list (`key.workspace`): which credential downloads it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) bindings: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// When its download first failed.
    pub(crate) first_failed: Time,
}

/// A snapshot that waits for a flag, or for the next run to say the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeldBack {
    /// SHA-256 of the keys that would be soft-deleted.
    pub(crate) digest: String,
    /// Rows that would be soft-deleted.
    pub(crate) deletes: u64,
    /// Rows of the table that are not deleted yet.
    pub(crate) rows: u64,
    /// When it was first held back.
    pub(crate) since: Time,
}

/// The members of a table in a state file of version 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableV1 {
    settled: Time,
    #[serde(default)]
    max_event_time: Option<Time>,
    #[serde(default)]
    whole: Option<Time>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StateV1 {
    #[serde(rename = "version")]
    _version: u64,
    tables: BTreeMap<String, TableV1>,
}

impl From<TableV1> for TableState {
    fn from(old: TableV1) -> TableState {
        TableState {
            cursor: Some(old.settled),
            last_full_refresh_at: old.whole,
            max_event_time: old.max_event_time,
            ..TableState::default()
        }
    }
}

impl Default for State {
    fn default() -> State {
        State { version: VERSION, tables: BTreeMap::new() }
    }
}

impl TableState {
    /// Every cursor of the table, its own and those of its scopes.
    fn cursors(&self) -> impl Iterator<Item = Time> {
        self.cursor.into_iter().chain(self.scopes.values().filter_map(|scope| scope.cursor))
    }
}

impl State {
    pub(crate) fn cursor(&self, table: &str) -> Option<Time> {
        self.tables.get(table).and_then(|t| t.cursor)
    }

    /// The state of a table, made where there is none.
    pub(crate) fn table(&mut self, name: &str) -> &mut TableState {
        self.tables.entry(name.to_string()).or_default()
    }

    pub(crate) fn set_cursor(&mut self, table: &str, cursor: Time) {
        self.table(table).cursor = Some(cursor);
    }

    /// Notes that a table with a cursor was read whole, or that nobody can be sure of it any more.
    pub(crate) fn note_full_refresh(&mut self, table: &str, time: Option<Time>) {
        if let Some(state) = self.tables.get_mut(table) {
            state.last_full_refresh_at = time;
        }
    }

    /// Notes how new the source says its newest event is. A table that was never read has no place for it.
    pub(crate) fn newest(&mut self, table: &str, time: Time) {
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
        let state = match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(1) => serde_json::from_value(value).map(|old: StateV1| State {
                version: VERSION,
                tables: old.tables.into_iter().map(|(name, table)| (name, table.into())).collect(),
            }),
            Some(VERSION) => serde_json::from_value(value),
            Some(newer) if newer > VERSION => {
                return Err(Error::integrity(format!(
                    "the state file has version {newer}, this program knows version {VERSION}"
                ))
                .hint("it was written by a newer openai-elt: use that version"));
            }
            _ => return Err(refuse("the state file is not one of openai-elt: it has no version".to_string())),
        };
        let state: State = state.map_err(|e| refuse(format!("the state file is corrupt: {e}")))?;
        let impossible = |cursor: &Time| !POSSIBLE.contains(&cursor.timestamp());
        let found = state.tables.iter().find_map(|(name, table)| Some((name, table.cursors().find(impossible)?)));
        match found {
            Some((name, cursor)) => {
                let cursor = cursor.to_rfc3339();
                Err(refuse(format!("the state file is corrupt: no sync has read `{name}` up to {cursor}")))
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
            ("{\"version\":3,\"tables\":{}}", "version 3"),
            ("{\"bookmarks\":{}}", "not one of openai-elt"),
            ("[]", "not one of openai-elt"),
            ("{\"version\":1}", "corrupt"),
            ("{\"version\":1,\"tables\":{\"a\":{\"settled\":\"soon\"}}}", "corrupt"),
            ("{\"version\":1,\"tables\":{},\"more\":1}", "corrupt"),
            ("{\"version\":1,\"tables\":{\"a\":{\"settled\":\"-262143-01-01T00:00:00Z\"}}}", "no sync has read `a`"),
            ("{\"version\":1,\"tables\":{\"a\":{\"settled\":\"+9999-12-31T00:00:00Z\"}}}", "no sync has read `a`"),
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
                let time = DateTime::from_timestamp(seconds, 0);
                let state = state.table(&table);
                state.cursor = time;
                state.scopes.insert("workspace_id=ws_1".into(), ScopeState { cursor: None, max_event_time: time });
            }
            prop_assert_eq!(State::parse(&state.text()).unwrap(), state);
        }
    }

    #[test]
    fn a_state_of_version_1_is_carried_over() {
        let old = r#"{"version":1,"tables":{"files":{"settled":"2026-11-20T00:00:00Z","whole":"2026-11-19T00:00:00Z"},
            "log_auth":{"settled":"2026-11-20T00:00:00Z","max_event_time":"2026-11-19T23:00:00Z"}}}"#;
        let state = State::parse(old).unwrap();
        let time = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|t| t.to_utc());
        let (files, logs) = (&state.tables["files"], &state.tables["log_auth"]);
        assert_eq!(files.cursor, time("2026-11-20T00:00:00Z"));
        assert_eq!(files.last_full_refresh_at, time("2026-11-19T00:00:00Z"));
        assert_eq!((logs.max_event_time, logs.last_full_refresh_at), (time("2026-11-19T23:00:00Z"), None));
        assert!(logs.scopes.is_empty());
        assert!(state.text().contains("\"version\": 2"));
        assert_eq!(State::parse(&state.text()).unwrap(), state);
        // Members of one version are unknown to the other.
        assert!(State::parse(&old.replace("\"version\":1", "\"version\":2")).is_err());
    }

    #[test]
    fn what_waits_is_kept() {
        let mut state = State::default();
        let time = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        state.table("log_auth").pending_files.push(PendingFile {
            id: "file-1".into(),
            path: "/compliance/workspaces/ws_1/logs/file-1".into(),
            time,
            bindings: BTreeMap::from([("key.workspace".to_string(), "ws_1".to_string())]),
            size: Some(10),
            sha256: None,
            first_failed: time,
        });
        state.table("users").held_back = Some(HeldBack { digest: "ab".into(), deletes: 150, rows: 250, since: time });
        assert_eq!(State::parse(&state.text()).unwrap(), state);
    }
}
