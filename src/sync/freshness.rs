//! How new the source says its newest record is, where it says so.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Run;
use crate::decode::json;
use crate::error::{Kind, Result};
use crate::fetch::{Call, Client};
use crate::schema::{Files, Table};

/// Asks each key for its newest moment and notes the earliest in the state: up to there,
/// every source has something. Nothing of it can fail the table, whose rows are there already.
pub(super) async fn note(run: &Run, table: &Arc<Table>, files: &Files) -> Result<()> {
    let mut newest: Option<DateTime<Utc>> = None;
    for source in run.sources(table) {
        match ask(run, &source.client, &source.values, table, files).await {
            Ok(Some(time)) => newest = Some(newest.map_or(time, |n| n.min(time))),
            Ok(None) => {}
            // Not offered: the endpoint is newer than the log files themselves.
            Err(error) if error.refusal.is_some() && error.kind != Kind::Unavailable => return Ok(()),
            Err(error) => run.track(table).warn(format!("how new the newest event is could not be asked: {error}")),
        }
    }
    let Some(newest) = newest else { return Ok(()) };
    let mut state = run.state.lock().await;
    state.newest(&table.name, newest);
    run.state_file.save(&state).await
}

async fn ask(
    run: &Run,
    client: &Client,
    values: &[(String, String)],
    table: &Table,
    files: &Files,
) -> Result<Option<DateTime<Utc>>> {
    let Some((path, pointer)) = &files.freshness else { return Ok(None) };
    let value = |name: &str| values.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let Ok(path) = path.fill(value) else { return Ok(None) };
    let answer = client.send(&Call::aside(table, path), &run.track(table).meter).await?;
    let found = json::pointer(&answer, &pointer.0).ok().flatten().and_then(|v| json::unescape(json::inner(v)));
    Ok(found.and_then(|text| DateTime::parse_from_rfc3339(&text).ok()).map(|time| time.to_utc()))
}
