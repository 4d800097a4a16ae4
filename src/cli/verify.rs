//! `verify`: re-reads what was written and compares it with the run reports.
//!
//! Each object is read whole: its rows are counted, its keys must be unique, its
//! rows must be of its day; rows and bytes must be those that the last run wrote.

use std::collections::BTreeMap;

use serde::Serialize;

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

/// What the last run that wrote an object said of it.
#[derive(Clone, Copy, Debug)]
struct Said {
    rows: u64,
    bytes: u64,
}

#[derive(Debug, Default, Serialize)]
struct Outcome {
    objects: u64,
    rows: u64,
    tables: BTreeMap<String, u64>,
    differences: Vec<Difference>,
}

pub(crate) async fn command(args: &super::Verify) -> Result<Exit> {
    let (catalog, file) = catalog(&args.common)?;
    let lake = Lake::existing(&destination(args.dest.as_ref(), &file)?)?;
    let mut said = said(&lake).await?;
    let mut outcome = Outcome::default();
    for found in lake.objects().await? {
        let last = said.remove(&found.path);
        inspect(&lake, &catalog, &found, last, &mut outcome).await?;
    }
    let gone =
        said.into_keys().map(|path| Difference { path, what: "a run wrote it, and it is not there".to_string() });
    outcome.differences.extend(gone);
    show(&outcome, args.format)?;
    Ok(if outcome.differences.is_empty() { Exit::Good } else { Exit::Integrity })
}

async fn inspect(
    lake: &Lake,
    catalog: &Catalog,
    found: &Found,
    said: Option<Said>,
    outcome: &mut Outcome,
) -> Result<()> {
    let mut differ = |what: String| outcome.differences.push(Difference { path: found.path.clone(), what });
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
        None => differ("no run report tells of it".to_string()),
        Some(said) if said.rows != content.rows || said.bytes != found.bytes => differ(format!(
            "{} in {}, and its run wrote {} in {}",
            counted(content.rows, "row"),
            counted(found.bytes, "byte"),
            grouped(said.rows),
            grouped(said.bytes)
        )),
        Some(_) => {}
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
async fn said(lake: &Lake) -> Result<BTreeMap<String, Said>> {
    let mut said = BTreeMap::new();
    for (path, text) in lake.reports().await? {
        let report: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| Error::integrity(format!("{path}: not a run report: {e}")))?;
        let tables = report.get("tables").and_then(|t| t.as_object());
        let objects = tables.into_iter().flatten().filter_map(|(_, t)| t.get("objects")?.as_array()).flatten();
        for object in objects {
            let number = |name: &str| object.get(name).and_then(serde_json::Value::as_u64);
            if let (Some(path), Some(rows), Some(bytes)) =
                (object.get("path").and_then(|p| p.as_str()), number("rows"), number("bytes"))
            {
                said.insert(path.to_string(), Said { rows, bytes });
            }
        }
    }
    Ok(said)
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
    tell(&format!(
        "{} and {} read back: {}",
        counted(outcome.objects, "object"),
        counted(outcome.rows, "row"),
        if rows.is_empty() {
            "all as their runs wrote them".to_string()
        } else {
            counted(rows.len() as u64, "difference")
        }
    ));
    Ok(())
}
