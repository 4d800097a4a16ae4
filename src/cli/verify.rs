//! `verify`: re-reads what was written and compares it with the run reports.
//!
//! Each object is read whole: its rows are counted, its keys must be unique, its
//! rows must be of its day; rows, bytes and checksum must be those that the last
//! run wrote. What a run wrote that was killed is known by its time, and told.
//! `--totals` asks something else of the lake: see `totals.rs`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::reports::{Written, reports};
use super::sync::{catalog, destination};
use super::{Exit, Format};
use crate::console::{data, tell};
use crate::error::{Error, Result};
use crate::lake::{Found, Lake};
use crate::report::{counted, grouped, text_table};
use crate::schema::{Catalog, Policy};

/// What is wrong with one object.
#[derive(Clone, Debug, Serialize)]
struct Difference {
    path: String,
    what: String,
}

/// All that the run reports tell.
#[derive(Debug, Default)]
struct Word {
    objects: BTreeMap<String, Written>,
    /// When runs went on that never ended: from their beginning to that of the next one.
    unfinished: Vec<(DateTime<Utc>, Option<DateTime<Utc>>)>,
}

#[derive(Debug, Default, Serialize)]
struct Outcome {
    objects: u64,
    rows: u64,
    tables: BTreeMap<String, u64>,
    differences: Vec<Difference>,
    /// Objects that a run wrote which did not end: whole, but nobody wrote down what they should hold.
    unreported: Vec<String>,
}

pub(crate) async fn command(args: &super::Verify) -> Result<Exit> {
    let (catalog, file) = catalog(&args.common)?;
    let lake = Lake::existing(&destination(args.dest.as_ref(), &file)?)?;
    lake.must_be_there().await?;
    if args.totals {
        return super::totals::command(args, &lake, &catalog).await;
    }
    let mut word = word(&lake).await?;
    let mut outcome = Outcome::default();
    let differ = |path: String, what: &str| Difference { path, what: what.to_string() };
    for found in lake.objects().await? {
        let last = word.objects.remove(&found.path);
        let went_on = |(from, to): &(DateTime<Utc>, Option<DateTime<Utc>>)| {
            *from <= found.modified && to.is_none_or(|to| found.modified <= to)
        };
        let late = word.unfinished.iter().any(went_on);
        inspect(&lake, &catalog, &found, last, late, &mut outcome).await?;
    }
    let gone = word.objects.into_keys().map(|path| differ(path, "a run wrote it, and it is not there"));
    outcome.differences.extend(gone);
    let strange = lake.strangers(&catalog).await?.into_iter();
    outcome.differences.extend(strange.map(|path| differ(path, "not written by openai-elt, and a glob reads it")));
    show(&outcome, args.format)?;
    Ok(if outcome.differences.is_empty() { Exit::Good } else { Exit::Integrity })
}

async fn inspect(
    lake: &Lake,
    catalog: &Catalog,
    found: &Found,
    said: Option<Written>,
    late: bool,
    outcome: &mut Outcome,
) -> Result<()> {
    let Outcome { differences, unreported, .. } = outcome;
    let mut differ = |what: String| differences.push(Difference { path: found.path.clone(), what });
    let Some(table) = catalog.get(&found.table) else {
        differ("of a table that this program does not know; give the --schemas it was written with".to_string());
        return Ok(());
    };
    let content = match lake.content(found, table).await {
        Ok(content) => content,
        Err(error) => {
            differ(error.to_string());
            return Ok(());
        }
    };
    match said {
        Some(said) if said.sha256 == content.sha256 => {}
        _ if late => unreported.push(found.path.clone()),
        None => differ("no run report tells of it".to_string()),
        Some(said) if said.rows != content.rows || said.bytes != found.bytes => differ(format!(
            "{} in {}, and its run wrote {} in {}",
            counted(content.rows, "row"),
            counted(found.bytes, "byte"),
            grouped(said.rows),
            grouped(said.bytes)
        )),
        Some(_) => differ("its checksum is not that of what its run wrote".to_string()),
    }
    // Rows of a replaced day may share a key when they differ: both are money.
    if content.repeated > 0 && table.policy != Policy::Replace {
        differ(format!("{} with a key that is there already", counted(content.repeated, "row")));
    }
    if content.misplaced > 0 {
        differ(format!("{} of another day", counted(content.misplaced, "row")));
    }
    outcome.objects += 1;
    outcome.rows += content.rows;
    *outcome.tables.entry(found.table.clone()).or_default() += content.rows;
    Ok(())
}

/// The newest word of the run reports on each object.
async fn word(lake: &Lake) -> Result<Word> {
    let reports = reports(lake).await?;
    let unfinished = reports.iter().enumerate().filter(|(_, r)| r.finished_at.is_none());
    let unfinished = unfinished.map(|(i, r)| (r.started_at, reports.get(i + 1).map(|next| next.started_at))).collect();
    let objects = reports.into_iter().flat_map(|r| r.tables.into_values()).flat_map(|t| t.objects);
    Ok(Word { objects: objects.map(|o| (o.path.clone(), o)).collect(), unfinished })
}

fn show(outcome: &Outcome, format: Format) -> Result<()> {
    if format == Format::Json {
        let text = serde_json::to_string_pretty(outcome).map_err(|e| Error::storage(e.to_string()))?;
        data(&(text + "\n"));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = outcome.differences.iter().map(|d| vec![d.path.clone(), d.what.clone()]).collect();
    if !rows.is_empty() {
        data(&text_table(&["object", "what differs"], &rows, &[false, false]));
    }
    if !outcome.unreported.is_empty() {
        tell(&format!(
            "{} of a run that was killed: whole, and written down by no report",
            counted(outcome.unreported.len() as u64, "object")
        ));
    }
    tell(&format!(
        "{} and {} read back: {}",
        counted(outcome.objects, "object"),
        counted(outcome.rows, "row"),
        if outcome.objects == 0 && rows.is_empty() {
            "no run has written an object yet".to_string()
        } else if rows.is_empty() {
            "all as their runs wrote them".to_string()
        } else {
            counted(rows.len() as u64, "difference")
        }
    ));
    Ok(())
}
