//! `state show|reset|export`: how far each table is settled.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveTime, Utc};
use tokio_util::sync::CancellationToken;

use super::reports::reports;
use super::sync::destination;
use super::{Exit, Format, StateAction, StateOf};
use crate::config::File;
use crate::console::{data, tell, typed};
use crate::error::{Error, Result};
use crate::lake::{Found, Lake, Lease, ScopeState, State, StateFile, TableState};
use crate::plan::midnight;
use crate::report::{counted, text_table};
use crate::schema::{Catalog, Policy, glob};

pub(crate) async fn command(args: &super::State) -> Result<Exit> {
    match &args.action {
        StateAction::Show { of, format } => {
            let (lake, file) = open(of)?;
            let state = file.load().await?;
            match format {
                Format::Text => data(&text(&state)),
                Format::Json => data(&(json(&lake, &state) + "\n")),
            }
        }
        StateAction::Export(of) => {
            let (_, file) = open(of)?;
            data(&file.load().await?.text());
        }
        StateAction::Reset { tables, of } => reset(tables, of).await?,
        StateAction::Rebuild(of) => rebuild(of).await?,
    }
    Ok(Exit::Good)
}

fn text(state: &State) -> String {
    let moment = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let row = |(name, table): (&String, &TableState)| vec![name.clone(), table.cursor.map(moment).unwrap_or_default()];
    let rows: Vec<Vec<String>> = state.tables.iter().map(row).collect();
    text_table(&["table", "settled"], &rows, &[false, false])
}

/// The state as one document. Unlike in the file, each table and scope has all its members, `null` where unknown.
fn json(lake: &Lake, state: &State) -> String {
    let scope =
        |scope: &ScopeState| serde_json::json!({ "cursor": scope.cursor, "max_event_time": scope.max_event_time });
    let table = |table: &TableState| {
        let scopes: BTreeMap<&String, _> = table.scopes.iter().map(|(name, of)| (name, scope(of))).collect();
        serde_json::json!({
            "cursor": table.cursor,
            "last_full_refresh_at": table.last_full_refresh_at,
            "max_event_time": table.max_event_time,
            "scopes": scopes,
            "pending_files": table.pending_files,
            "held_back": table.held_back,
        })
    };
    let tables: BTreeMap<&String, _> = state.tables.iter().map(|(name, of)| (name, table(of))).collect();
    let document = serde_json::json!({ "destination": lake.shown(), "tables": tables });
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn open(of: &StateOf) -> Result<(Arc<Lake>, StateFile)> {
    let config = File::read(of.config.as_deref())?;
    let dest = destination(of.dest.as_ref(), &config)?;
    let lake = Arc::new(Lake::existing(&dest)?);
    let state = of.state.clone().or(config.state);
    let file = StateFile::open(&lake, state.as_deref())?;
    Ok((lake, file))
}

/// The flags that were given, as they are typed once more in a command that a message prints.
fn repeated(of: &StateOf) -> String {
    let config = of.config.as_ref().map(|file| file.to_string_lossy().into_owned());
    [("--dest", &of.dest), ("--state", &of.state), ("--config", &config)]
        .into_iter()
        .filter_map(|(flag, value)| value.as_ref().map(|value| format!(" {flag} {}", typed(value))))
        .collect()
}

async fn reset(patterns: &[String], of: &StateOf) -> Result<()> {
    let (lake, file) = open(of)?;
    let lease = Lease::take(&lake, "state reset", &CancellationToken::new()).await?;
    lease.during(forget(patterns, of, &file)).await
}

async fn forget(patterns: &[String], of: &StateOf, file: &StateFile) -> Result<()> {
    let mut state = file.load().await?;
    for pattern in patterns {
        if !state.tables.keys().any(|name| glob(pattern, name)) {
            let error = Error::usage(format!("the state knows no table `{pattern}`"));
            let error = error.meant(pattern, state.tables.keys().map(String::as_str));
            return Err(error.hint(format!("`openai-elt state show{}` lists them", repeated(of))));
        }
    }
    let chosen = |name: &String| patterns.iter().any(|p| glob(p, name));
    let forgotten: Vec<String> = state.tables.keys().filter(|name| chosen(name)).cloned().collect();
    state.tables.retain(|name, _| !chosen(name));
    file.save(&state).await?;
    tell(&format!("forgotten: {}; the next sync reads their whole history again", forgotten.join(", ")));
    Ok(())
}

/// What the lake itself tells of how far each table is settled.
///
/// Never too far: not later than the last run that tells of the table says, which
/// knows of gaps and of files that wait to be downloaded again; not later than the end of the newest
/// day that has an object, nor than the moment when its newest row was read.
async fn rebuild(of: &StateOf) -> Result<()> {
    let (lake, file) = open(of)?;
    let catalog = Catalog::load(None)?;
    let lease = Lease::take(&lake, "state rebuild", &CancellationToken::new()).await?;
    lease.during(derive(&catalog, of, &lake, &file)).await
}

async fn derive(catalog: &Catalog, of: &StateOf, lake: &Lake, file: &StateFile) -> Result<()> {
    let mut newest: BTreeMap<String, Found> = BTreeMap::new();
    for found in lake.objects().await? {
        // In the order of their paths, which is that of the days.
        newest.insert(found.table.clone(), found);
    }
    let reports = reports(lake).await?;
    let mut untold = Vec::new();
    let mut state = State::default();
    for (name, found) in newest {
        let Some(table) = catalog.get(&name) else { continue };
        let Some(synced) = lake.content(&found, table).await?.synced else { continue };
        let end = found.day.and_then(|day| day.succ_opt()).map(|day| day.and_time(NaiveTime::MIN).and_utc());
        let settled = end.map_or(synced, |end| end.min(synced));
        let settled = if table.policy == Policy::Replace { midnight(settled) } else { settled };
        let told = reports.iter().rev().find_map(|r| r.tables.get(&name));
        let settled = match told {
            // The files that waited are listed again from the oldest on.
            Some(report) => {
                report.settled_after.map(|told| report.waiting_since.into_iter().fold(told.min(settled), Ord::min))
            }
            None => {
                untold.push(name.clone());
                Some(settled)
            }
        };
        let Some(settled) = settled else { continue };
        state.set_cursor(&name, settled);
    }
    file.replace(&state).await?;
    tell(&format!("the state of {} was derived from the lake", counted(state.tables.len() as u64, "table")));
    if !untold.is_empty() {
        let names = untold.join(", ");
        tell(&format!("warning: no run report tells of {names}: a gap in what was read could not be seen"));
        tell(&format!("  hint: `openai-elt sync --full-refresh{}` reads the whole history again", repeated(of)));
    }
    Ok(())
}
