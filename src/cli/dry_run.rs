//! `sync --dry-run`: what would be asked, how many requests that is, and about how long it takes.
//!
//! Nothing is asked, written or leased: what is told comes from the table files, the
//! state, the parents in the lake and the reports of the last runs. Where these say
//! nothing, the plan says "at least".

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::reports::{Of, Report, newest};
use super::sync::Plan;
use super::{Exit, Format};
use crate::console::{data, tell};
use crate::error::{Error, Result};
use crate::estimate::{Lists, Requests, Taken, seconds};
use crate::lake::{Lake, Owner, OwnerFile, State, StateFile};
use crate::plan::{self, Window};
use crate::report::{counted, text_table};
use crate::schema::Table;
use crate::sync::{Part, count_parents, scope, scope_cursor};

/// Runs that are looked at for what a table took: enough to hold one of each kind.
const RUNS: usize = 30;

/// The whole plan, as `--format json` prints it.
#[derive(Debug, Serialize)]
struct Planned {
    destination: String,
    now: DateTime<Utc>,
    tables: BTreeMap<String, PlannedTable>,
    requests: u64,
    /// True where the number is a lower bound.
    at_least: bool,
    /// Null where no run has told yet.
    seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct PlannedTable {
    /// What is read: `whole`, `part` (what is not known yet), `windows`, or `nothing`: retired, or `with` another table.
    reads: &'static str,
    with: Option<String>,
    parent: Option<String>,
    windows: u64,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    /// Chains of pages; null where the parents are not in the lake yet.
    lists: Option<u64>,
    requests: u64,
    at_least: bool,
    seconds: Option<f64>,
}

/// What is known before a run.
struct Known {
    lake: Option<Lake>,
    owner: Owner,
    state: State,
    /// The last runs, the newest first.
    runs: Vec<Report>,
}

pub(super) async fn command(plan: &Plan, format: Format, now: DateTime<Utc>) -> Result<Exit> {
    let known = Known::of(plan).await?;
    let mut tables = BTreeMap::new();
    for name in &plan.chosen {
        let Some(table) = plan.catalog.get(name) else { continue };
        tables.insert(name.clone(), known.table(plan, table, now).await?);
    }
    let requests = tables.values().map(|t| Requests { number: t.requests, at_least: t.at_least }).sum::<Requests>();
    let planned = Planned {
        destination: plan.dest.clone(),
        now,
        tables,
        requests: requests.number,
        at_least: requests.at_least,
        // Tables run beside each other: the whole takes the pace of a whole run.
        seconds: seconds(requests, known.pace()).map(rounded),
    };
    match format {
        Format::Text => data(&text(&planned)),
        Format::Json => {
            let text = serde_json::to_string_pretty(&planned).map_err(|e| Error::usage(e.to_string()))?;
            data(&(text + "\n"));
        }
    }
    if planned.at_least {
        tell("at least: how many pages a list has is not known before it was read");
    }
    Ok(Exit::Good)
}

impl Known {
    async fn of(plan: &Plan) -> Result<Known> {
        // A folder that is not there yet must not be made.
        let there = plan.dest.contains("://") || Path::new(&plan.dest).is_dir();
        let lake = if there { Some(Lake::open(&plan.dest)?) } else { None };
        let (state, runs) = match &lake {
            Some(lake) => (StateFile::open(lake, plan.state.as_deref())?.load().await?, newest(lake, RUNS).await?),
            None => (State::default(), Vec::new()),
        };
        let owner = match &lake {
            Some(lake) => OwnerFile::load(lake).await?.1,
            None => Owner::default(),
        };
        let lake = lake.map(|lake| lake.renaming(owner.renamed()));
        Ok(Known { lake, owner, state, runs })
    }

    async fn table(&self, plan: &Plan, table: &Arc<Table>, now: DateTime<Utc>) -> Result<PlannedTable> {
        let mut planned = PlannedTable {
            reads: "nothing",
            with: table.same_as.clone(),
            parent: table.parent.as_ref().map(|p| p.table.clone()),
            windows: 0,
            from: None,
            until: None,
            lists: Some(0),
            requests: 0,
            at_least: false,
            seconds: None,
        };
        if table.same_as.is_some() || table.retired.is_some() {
            return Ok(planned);
        }
        let windows = self.windows(plan, table, now);
        let span = windows.as_ref().and_then(|w| w.first().zip(w.last()));
        (planned.from, planned.until) = (span.map(|s| s.0.start), span.map(|s| s.1.end));
        let part = match &self.lake {
            Some(lake) => Part::of(lake, table, self.state.tables.get(&table.name), now, plan.wish).await?,
            None => None,
        };
        planned.reads = match (&windows, &part) {
            (Some(_), _) => "windows",
            (None, Some(_)) => "part",
            (None, None) => "whole",
        };
        planned.windows = windows.as_ref().map_or(0, Vec::len) as u64;
        let lists = Lists {
            owners: self.owners(plan, table, part.as_deref()).await?,
            windows: windows.map_or(1, |w| w.len() as u64),
            passes: table.request.passes.len().max(1) as u64,
        };
        let last = self.last(plan, table, lists, part.is_some());
        let requests = lists.requests(last);
        planned.lists = lists.number();
        (planned.requests, planned.at_least) = (requests.number, requests.at_least);
        planned.seconds = seconds(requests, last).map(rounded);
        Ok(planned)
    }

    fn windows(&self, plan: &Plan, table: &Arc<Table>, now: DateTime<Utc>) -> Option<Vec<Window>> {
        let slices = table.slices.as_ref()?;
        let scopes = plan.access.iter().filter(|a| a.surface == table.surface).flat_map(|a| &a.stands_for);
        let scopes = scopes.filter(|values| table.parent.is_none() && table.can_be_asked_with(values));
        let tables = [Arc::clone(table)];
        // The scope that is furthest behind: what is read for the others is less.
        let cursors = scopes.map(|values| scope_cursor(&self.state, &tables, &scope(table, values)));
        let cursor = match table.parent {
            Some(_) => self.state.cursor(&table.name),
            None => cursors.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min()),
        };
        let start = plan::start(slices, table.policy, cursor, now);
        Some(plan::windows(slices, table.policy, start.cursor, now, plan.wish))
    }

    /// How many are asked for a list of the table: parents, keys or workspaces.
    async fn owners(&self, plan: &Plan, table: &Arc<Table>, part: Option<&Part>) -> Result<Option<u64>> {
        let of_surface = plan.access.iter().filter(|a| a.surface == table.surface);
        let values = of_surface.flat_map(|a| &a.stands_for).filter(|values| table.can_be_asked_with(values));
        let mut values: Vec<Vec<(String, String)>> = values.map(|values| self.as_in_rows(values)).collect();
        values.dedup();
        let Some(parent) = &table.parent else { return Ok(Some(values.len() as u64)) };
        let (Some(lake), Some(_)) = (&self.lake, self.state.cursor(&parent.table)) else { return Ok(None) };
        let agree = |bound: &[(String, String)], (name, value): &(String, String)| {
            bound.iter().all(|(n, v)| n != name || v == value)
        };
        let fits = |bound: &[(String, String)]| values.iter().any(|v| v.iter().all(|value| agree(bound, value)));
        count_parents(&plan.catalog, lake, table, part, fits).await
    }

    /// What a key stands for, as rows carry it: a project by its id.
    fn as_in_rows(&self, values: &[(String, String)]) -> Vec<(String, String)> {
        let id = |name: &str, value: &str| {
            if name == "key.project" { self.owner.project(value).map(str::to_string) } else { None }
        };
        values.iter().map(|(name, value)| (name.clone(), id(name, value).unwrap_or_else(|| value.clone()))).collect()
    }

    /// What the table took in the newest run of the kind that is planned: its whole history, or what is new.
    fn last(&self, plan: &Plan, table: &Table, lists: Lists, in_part: bool) -> Option<Taken> {
        let days = table.slices.is_some();
        if days && (plan.wish.since.is_some() || plan.wish.full_refresh || self.state.cursor(&table.name).is_none()) {
            // So many windows were never asked, or in a time that nobody remembers.
            return None;
        }
        let is_alike = |of: &&Of| match (days, in_part) {
            (true, _) => of.settled_before.is_some(),
            (false, false) => !of.in_part,
            // A whole pass tells of a part only where each list has one page.
            (false, true) => of.in_part || lists.number().is_some_and(|lists| of.requests <= lists),
        };
        let of =
            |run: &'_ Report| run.tables.get(&table.name).filter(|of| of.status == "ok").filter(is_alike).map(taken);
        self.runs.iter().find_map(of)
    }

    /// What the newest run that asked anything took as a whole.
    fn pace(&self) -> Option<Taken> {
        self.runs.iter().find_map(|run| {
            let requests = run.tables.values().map(|of| of.requests).sum();
            let seconds = (run.finished_at? - run.started_at).as_seconds_f64();
            (requests > 0).then_some(Taken { requests, seconds })
        })
    }
}

fn taken(of: &Of) -> Taken {
    Taken { requests: of.requests, seconds: of.seconds }
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

fn text(planned: &Planned) -> String {
    let rows: Vec<Vec<String>> = planned
        .tables
        .iter()
        .map(|(name, table)| {
            vec![name.clone(), what(table), requests(table.requests, table.at_least), time(table.seconds)]
        })
        .collect();
    let head = ["table", "what is read", "requests", "time"];
    let mut text = text_table(&head, &rows, &[false, false, true, true]);
    let tables = counted(planned.tables.len() as u64, "table");
    let requests =
        if planned.at_least { "at least " } else { "about " }.to_string() + &counted(planned.requests, "request");
    let time = planned.seconds.map_or("an unknown time".to_string(), |s| format!("about {}", lasting(s)));
    text.push_str(&format!("\n{tables}, {requests}, {time}\n"));
    text
}

fn requests(number: u64, at_least: bool) -> String {
    let number = crate::report::grouped(number);
    if at_least { format!("at least {number}") } else { number }
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or(String::new(), lasting)
}

fn lasting(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

fn what(table: &PlannedTable) -> String {
    if let Some(with) = &table.with {
        return format!("with {with}");
    }
    let moment = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%MZ").to_string();
    let lists = match (&table.parent, table.lists) {
        (Some(parent), None) => format!("a list for each row of {parent}"),
        (Some(parent), Some(lists)) => format!("{} below {parent}", counted(lists, "list")),
        (None, lists) => counted(lists.unwrap_or_default(), "list"),
    };
    match (table.reads, table.from.zip(table.until)) {
        ("windows", Some((from, until))) => {
            format!("{}..{}, {}, {lists}", moment(from), moment(until), counted(table.windows, "window"))
        }
        ("whole", _) => format!("whole, {lists}"),
        ("part", _) => format!("what is not known, {lists}"),
        _ => "nothing".to_string(),
    }
}
