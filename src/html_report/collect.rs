//! Reads from the lake what the page tells: each table once, and only the columns that it needs.

use std::collections::BTreeSet;

use arrow_array::RecordBatch;
use chrono::{DateTime, Days, NaiveDate, Utc};

use super::aggregates::audit::{self, Audit};
use super::aggregates::codex::{self, Codex};
use super::aggregates::freshness::{Fresh, Table};
use super::aggregates::names::{self, Names};
use super::aggregates::spend::{self, Money, largest};
use super::aggregates::tokens::{self, Tokens};
use super::period::Period;
use super::{HtmlReport, sections::people::SHOWN};
use crate::error::Result;
use crate::lake::{Lake, State};
use crate::schema::{Catalog, From};

/// Days that are told when nobody says which.
const USUAL_DAYS: u64 = 90;
/// Tables that say up to when, and from when, there is something to tell.
const DATED: [&str; 4] = ["costs", "usage_completions", "codex_usage", "audit_logs"];

/// One lake, and what has been looked for in it.
struct Reader<'l> {
    lake: &'l Lake,
    catalog: &'l Catalog,
    days: (Option<NaiveDate>, Option<NaiveDate>),
    absent: BTreeSet<&'static str>,
}

pub(crate) async fn collect(
    lake: &Lake,
    catalog: &Catalog,
    state: &State,
    (since, until): (Option<NaiveDate>, Option<NaiveDate>),
    now: DateTime<Utc>,
) -> Result<HtmlReport> {
    let fresh = fresh(lake, catalog, state).await?;
    let period = period(&fresh, since, until, now);
    let days = (Some(period.from), Some(period.until));
    let mut reader = Reader { lake, catalog, days, absent: BTreeSet::new() };
    reader.absent.extend(USED.iter().filter(|name| !fresh.tables.contains_key(**name)));
    let mut money = Money::default();
    reader.read("costs", &spend::COLUMNS, |batch| money.add(batch, period)).await?;
    let mut tokens = Tokens::default();
    reader.read("usage_completions", &tokens::COLUMNS, |batch| tokens.add(batch, period)).await?;
    let mut codex = Codex::default();
    reader.read("codex_usage", &codex::USAGE_COLUMNS, |batch| codex.add_usage(batch, period)).await?;
    reader.read("codex_code_reviews", &codex::REVIEW_COLUMNS, |batch| codex.add_reviews(batch, period)).await?;
    let responses = "codex_code_review_responses";
    reader.read(responses, &codex::RESPONSE_COLUMNS, |batch| codex.add_responses(batch, period)).await?;
    let mut audit = Audit::default();
    reader.read("audit_logs", &audit::COLUMNS, |batch| audit.add(batch, period)).await?;
    let names = reader.names(&money).await?;
    let (source, absent) = (lake.shown().to_string(), reader.absent);
    Ok(HtmlReport { made: now, source, period, absent, money, tokens, names, codex, audit, fresh })
}

/// Tables that the page is made from.
const USED: [&str; 9] = [
    "audit_logs",
    "codex_code_review_responses",
    "codex_code_reviews",
    "codex_usage",
    "costs",
    "project_api_keys",
    "projects",
    "usage_completions",
    "users",
];

impl Reader<'_> {
    /// A table that the lake lacks has no rows.
    async fn read(
        &self,
        name: &'static str,
        columns: &[&str],
        each: impl FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        if self.absent.contains(name) {
            return Ok(());
        }
        let table = self.catalog.get(name).ok_or_else(|| self.catalog.unknown(name))?;
        let versions = table.position(&From::Current).map(|_| "_current");
        let columns: Vec<&str> = columns.iter().copied().chain(versions).collect();
        self.lake.scan(table, &columns, self.days, each).await.map(|_| ())
    }

    async fn names(&self, money: &Money) -> Result<Names> {
        let (mut projects, mut keys, mut users) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for spend in money.currencies.values() {
            projects.extend(spend.projects.keys().cloned());
            keys.extend(largest(&spend.keys, SHOWN).first.iter().map(|(id, _)| (*id).to_string()));
            users.extend(largest(&spend.users, SHOWN).first.iter().map(|(id, _)| (*id).to_string()));
        }
        let mut names = Names::default();
        self.read("project_api_keys", &names::KEY_COLUMNS, |batch| names.add_keys(batch, &keys)).await?;
        self.read("users", &names::USER_COLUMNS, |batch| names.add_users(batch, &users)).await?;
        projects.extend(names.keys.values().map(|key| key.project.clone()));
        self.read("projects", &names::PROJECT_COLUMNS, |batch| names.add_projects(batch, &projects)).await?;
        Ok(names)
    }
}

/// The days asked for; else the last ninety of which the lake tells anything.
fn period(fresh: &Fresh, since: Option<NaiveDate>, until: Option<NaiveDate>, now: DateTime<Utc>) -> Period {
    let spans: Vec<(NaiveDate, NaiveDate)> = DATED.iter().filter_map(|name| fresh.tables.get(*name)?.days).collect();
    let tomorrow = now.date_naive() + Days::new(1);
    let newest = spans.iter().map(|span| span.1 + Days::new(1)).max();
    let until = until.unwrap_or_else(|| newest.unwrap_or(tomorrow).min(tomorrow));
    let usual = until.checked_sub_days(Days::new(USUAL_DAYS)).unwrap_or(until);
    let oldest = DATED.iter().find_map(|name| fresh.tables.get(*name)?.days).map(|span| span.0);
    let from = since.unwrap_or_else(|| oldest.unwrap_or(usual).max(usual)).min(until);
    Period { from, until }
}

/// Every table of the lake, and those that it does not have.
async fn fresh(lake: &Lake, catalog: &Catalog, state: &State) -> Result<Fresh> {
    let mut fresh = Fresh::default();
    for found in lake.objects().await? {
        fresh.tables.entry(found.table).or_default().object(found.day, found.bytes);
    }
    for (name, entry) in &mut fresh.tables {
        entry.settled = state.cursor(name);
        if let Some(table) = catalog.get(name) {
            entry.surface = Some(table.surface);
            read_whole(lake, table, entry).await?;
        }
    }
    let unread = |name: &str| !fresh.tables.contains_key(name);
    let wanted = catalog.iter().filter(|t| unread(&t.name) && !t.only_if_named && t.retired.is_none());
    for table in wanted {
        fresh.missing.entry(table.surface).or_default().push(table.name.clone());
    }
    Ok(fresh)
}

async fn read_whole(lake: &Lake, table: &crate::schema::Table, entry: &mut Table) -> Result<()> {
    let deleted = table.position(&From::Deleted).map(|_| "_deleted");
    let columns: Vec<&str> = ["_synced_at"].into_iter().chain(deleted).collect();
    let note = |batch: &RecordBatch| {
        entry.batch(batch);
        Ok(())
    };
    lake.scan(table, &columns, (None, None), note).await.map(|_| ())
}
