//! Which slices of the lake a script or a load is about.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, SubsecRound, Utc};
use serde_json::Value;

use crate::error::{Error, Result, nearest};
use crate::lake::Lake;

/// The slices of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slices {
    /// `<table>/data.parquet`.
    pub(crate) whole: bool,
    /// With the number of rows, where a report tells it.
    pub(crate) days: BTreeMap<NaiveDate, Option<u64>>,
}

impl Slices {
    fn add(&mut self, day: Option<NaiveDate>, rows: Option<u64>) {
        match day {
            None => self.whole = true,
            Some(day) => {
                self.days.insert(day, rows);
            }
        }
    }

    fn holds(&self, day: Option<NaiveDate>) -> bool {
        day.map_or(self.whole, |day| self.days.contains_key(&day))
    }
}

pub(crate) type Changes = BTreeMap<String, Slices>;

/// Everything that the lake holds.
pub(crate) async fn all(lake: &Lake) -> Result<Changes> {
    let mut changes = Changes::new();
    for found in lake.objects().await? {
        changes.entry(found.table).or_default().add(found.day, None);
    }
    Ok(changes)
}

/// Which runs' slices are meant.
#[derive(Clone, Debug)]
pub(crate) enum Runs {
    /// These, by the ids of their reports; `last` is the newest one.
    Named(Vec<String>),
    /// All that began after this one.
    Since(String),
}

/// What these runs wrote, by their reports.
pub(crate) async fn of_runs(lake: &Lake, runs: &Runs) -> Result<Changes> {
    let reports = lake.reports(usize::MAX).await?;
    let ids: Vec<&str> = reports.iter().map(|(path, _)| id(path)).collect();
    let known = |run: &String| match run.as_str() {
        "last" => ids.last().copied(),
        run => ids.iter().copied().find(|i| *i == run),
    };
    let found = |run: &String| known(run).ok_or_else(|| unknown(lake, run, &ids));
    let wanted: BTreeSet<&str> = match runs {
        Runs::Named(runs) => runs.iter().map(found).collect::<Result<_>>()?,
        Runs::Since(run) => {
            let run = found(run)?;
            ids.iter().copied().filter(|i| *i > run).collect()
        }
    };
    let there = all(lake).await?;
    let mut changes = Changes::new();
    let mut began = None;
    for (path, text) in &reports {
        let report = parsed(path, text)?;
        if wanted.contains(id(path)) && unfinished(&report) {
            began = [began, started(&report)].into_iter().flatten().min();
        }
        for (table, day, rows) in objects(&report) {
            // What is not there any more cannot be loaded, and `verify` tells of it.
            if !there.get(&table).is_some_and(|s| s.holds(day)) {
                continue;
            }
            // A later run has the last word on the number of rows.
            let asked = wanted.contains(id(path)) || changes.get(&table).is_some_and(|s: &Slices| s.holds(day));
            if asked {
                changes.entry(table).or_default().add(day, rows);
            }
        }
    }
    // A run that was killed tells of no object: then all that is as young as it may be its own.
    for found in lake.objects().await?.into_iter().filter(|f| began.is_some_and(|began| f.modified >= began)) {
        let slices = changes.entry(found.table.clone()).or_default();
        if !slices.holds(found.day) {
            slices.add(found.day, None);
        }
    }
    Ok(changes)
}

fn unknown(lake: &Lake, run: &str, ids: &[&str]) -> Error {
    let error = Error::usage(format!("{} has no report of the run {run}", lake.shown()));
    match nearest(run, ids.iter().copied()).or(ids.last().copied()) {
        Some(near) => error.hint(format!("did you mean {near}? `last` is the newest one")),
        None => error.hint("sync first: each run leaves its report in _runs/"),
    }
}

fn id(path: &str) -> &str {
    path.trim_start_matches("_runs/").trim_end_matches(".json")
}

type Object = (String, Option<NaiveDate>, Option<u64>);

fn parsed(path: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|e| Error::integrity(format!("{path}: not a run report: {e}")))
}

fn unfinished(report: &Value) -> bool {
    report.get("finished_at").is_none_or(Value::is_null)
}

/// To the second, as some stores tell the time of an object.
fn started(report: &Value) -> Option<DateTime<Utc>> {
    let moment: DateTime<Utc> = report.get("started_at")?.as_str()?.parse().ok()?;
    Some(moment.trunc_subsecs(0))
}

fn objects(report: &Value) -> Vec<Object> {
    let tables = report.get("tables").and_then(|t| t.as_object());
    let objects = tables.into_iter().flatten().filter_map(|(_, t)| t.get("objects")?.as_array()).flatten();
    let object = |o: &Value| {
        let (table, day) = slice(o.get("path")?.as_str()?)?;
        Some((table, day, o.get("rows").and_then(Value::as_u64)))
    };
    objects.filter_map(object).collect()
}

/// `costs/date=2026-11-20/data.parquet` → the table and its day.
fn slice(path: &str) -> Option<(String, Option<NaiveDate>)> {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        [table, _] => Some(((*table).to_string(), None)),
        [table, day, _] => Some(((*table).to_string(), Some(day.strip_prefix("date=")?.parse().ok()?))),
        _ => None,
    }
}
