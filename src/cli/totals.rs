//! `verify --totals`: whether the money in the lake adds up, and whether usage and costs cover the same days.
//!
//! It needs no key: the yardstick is the table `costs_totals`, which the same runs
//! read from the API. What is compared with what is decided in [`crate::totals`].

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Exit, Format};
use crate::console::{data, tell};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::money;
use crate::plan::day;
use crate::report::{counted, text_table};
use crate::schema::{Catalog, Surface, Table};
use crate::totals::{Difference, Ledger, Outcome, Span, Usage, compare};

/// The whole answer, as `--format json` prints it.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    /// When each table was last read.
    read: BTreeMap<&'a str, Option<DateTime<Utc>>>,
}

pub(crate) async fn command(args: &super::Verify, lake: &Lake, catalog: &Catalog) -> Result<Exit> {
    let tolerance = tolerance(&args.tolerance)?;
    let grouped = ledger(lake, catalog, "costs").await?;
    let ungrouped = ledger(lake, catalog, "costs_totals").await?;
    let usage = usage(lake, catalog).await?;
    let outcome = compare(&grouped, &ungrouped, &usage, tolerance);
    let read = BTreeMap::from([("costs", grouped.read), ("costs_totals", ungrouped.read), ("usage", usage.read)]);
    match args.format {
        Format::Json => {
            let told = Told { outcome: &outcome, read };
            let text = serde_json::to_string_pretty(&told).map_err(|e| Error::storage(e.to_string()))?;
            data(&(text + "\n"));
        }
        Format::Text => show(&outcome, &usage),
    }
    Ok(if outcome.exceeds() { Exit::Integrity } else { Exit::Good })
}

fn tolerance(text: &str) -> Result<i128> {
    money::parse(text).filter(|units| *units >= 0).ok_or_else(|| {
        Error::usage(format!("--tolerance {text} is not an amount of money"))
            .hint("a number of at most 18 decimals, not negative, such as 0.01")
    })
}

async fn ledger(lake: &Lake, catalog: &Catalog, name: &str) -> Result<Ledger> {
    let table = catalog.get(name).ok_or_else(|| catalog.unknown(name))?;
    let mut ledger = Ledger::default();
    let columns = ["start_time", "currency", "amount", "_synced_at"];
    let objects = lake.scan(table, &columns, (None, None), |batch| add(&mut ledger, batch)).await?;
    if objects == 0 {
        return Err(Error::usage(format!(
            "the lake {} has no table `{name}`: there is nothing to compare",
            lake.shown()
        ))
        .hint("costs and costs_totals are read with OPENAI_ADMIN_KEY: sync both, with the same history"));
    }
    Ok(ledger)
}

fn add(ledger: &mut Ledger, batch: &RecordBatch) -> Result<()> {
    let starts = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    let currencies = batch.column(1).as_string::<i32>();
    let amounts = batch.column(2).as_primitive::<Decimal128Type>();
    for row in 0..batch.num_rows() {
        let of = day(starts.is_valid(row).then(|| starts.value(row)));
        let currency = currencies.is_valid(row).then(|| currencies.value(row).to_string());
        let sum = ledger.amounts.entry((of, currency.clone())).or_default();
        match amounts.is_valid(row) {
            true => money::add(sum, amounts.value(row))?,
            false => *ledger.unknown.entry((of, currency)).or_default() += 1,
        }
    }
    ledger.read = ledger.read.max(newest(batch.column(3)));
    Ok(())
}

/// Every usage table that the lake has.
async fn usage(lake: &Lake, catalog: &Catalog) -> Result<Usage> {
    let mut usage = Usage::default();
    let is_usage = |t: &&std::sync::Arc<Table>| t.surface == Surface::Admin && t.name.starts_with("usage_");
    for table in catalog.iter().filter(is_usage) {
        let mut read = None;
        let note = |batch: &RecordBatch| {
            let starts = batch.column(0).as_primitive::<TimestampMicrosecondType>();
            usage.days.extend(starts.iter().flatten().map(|micros| day(Some(micros))));
            read = read.max(newest(batch.column(1)));
            Ok(())
        };
        lake.scan(table, &["start_time", "_synced_at"], (None, None), note).await?;
        usage.read = [usage.read, read].into_iter().flatten().min();
    }
    Ok(usage)
}

fn newest(column: &dyn Array) -> Option<DateTime<Utc>> {
    let times = column.as_primitive::<TimestampMicrosecondType>();
    times.iter().flatten().max().and_then(DateTime::from_timestamp_micros)
}

fn show(outcome: &Outcome, usage: &Usage) {
    if !outcome.differences.is_empty() {
        let head = ["day", "currency", "grouped", "ungrouped", "difference", ""];
        let rows: Vec<Vec<String>> = outcome.differences.iter().map(cells).collect();
        data(&text_table(&head, &rows, &[false, false, true, true, true, false]));
    }
    if !outcome.coverage.is_empty() {
        let verdict = |exceeds| if exceeds { "" } else { "within the tolerance" }.to_string();
        let rows = outcome.coverage.iter().map(|c| vec![c.day.to_string(), c.what.to_string(), verdict(c.exceeds)]);
        data(&text_table(&["day", "what differs", ""], &rows.collect::<Vec<_>>(), &[false; 3]));
    }
    tell(&format!("grouped and ungrouped costs: {}", money_line(outcome)));
    tell(&format!("usage and costs: {}", coverage_line(outcome, usage)));
}

fn cells(d: &Difference) -> Vec<String> {
    let amount = |units: Option<i128>| units.map_or_else(|| "none".to_string(), money::exact);
    vec![
        d.day.to_string(),
        d.currency.clone().unwrap_or_else(|| "none told".to_string()),
        amount(d.grouped),
        amount(d.ungrouped),
        money::exact(d.difference),
        match (d.grouped_unknown + d.ungrouped_unknown, d.exceeds) {
            (rows @ 1.., _) => format!("{} without an amount", counted(rows, "row")),
            (0, true) => String::new(),
            (0, false) => "within the tolerance".to_string(),
        },
    ]
}

fn money_line(outcome: &Outcome) -> String {
    let Some(span) = outcome.compared else {
        return "nothing to compare yet: no day was over when both were read".to_string();
    };
    let over = outcome.differences.iter().filter(|d| d.exceeds).count() as u64;
    let unknown: u64 = outcome.differences.iter().map(|d| d.grouped_unknown + d.ungrouped_unknown).sum();
    if unknown > 0 {
        let rows = counted(unknown, "row");
        return format!("{} with {rows} without an amount {}", counted(over, "difference"), shown(span));
    }
    match (over, outcome.differences.len() as u64) {
        (0, 0) => format!("equal to the last digit {}", shown(span)),
        (0, some) => format!("{} within {} {}", counted(some, "difference"), limit(outcome), shown(span)),
        (over, _) => format!("{} above {} {}", counted(over, "difference"), limit(outcome), shown(span)),
    }
}

fn limit(outcome: &Outcome) -> String {
    format!("{} a day and currency", money::exact(outcome.tolerance))
}

fn coverage_line(outcome: &Outcome, usage: &Usage) -> String {
    match (outcome.coverage_compared, outcome.coverage.len() as u64) {
        (None, _) if usage.days.is_empty() => "not compared, the lake has no usage".to_string(),
        (None, _) => "nothing to compare yet: no day was over when both were read".to_string(),
        (Some(span), 0) => format!("both cover the same days {}", shown(span)),
        (Some(span), days) => format!("{} on one side only {}", counted(days, "day"), shown(span)),
    }
}

fn shown(span: Span) -> String {
    let days = (span.until - span.from).num_days().unsigned_abs();
    let last = span.until.pred_opt().unwrap_or(span.until);
    format!("on {} from {} to {last}", counted(days, "day"), span.from)
}
