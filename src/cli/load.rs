//! `load`: from flags to a load, and from its end to report and exit code.

use std::collections::BTreeMap;

use serde::Serialize;

use super::schema::{checked_schema, chosen};
use super::sync::{catalog, destination};
use super::{Exit, Format};
use crate::console::{data, tell};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::load::{Address, Duckdb, Load, Postgres, TableLoad, Target, is_final};
use crate::report::{Progress, counted, grouped, text_table};
use crate::warehouse::{Dialect, Name, all, fitted};

#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    lake: String,
    target: String,
    schema: String,
    exit_code: u8,
    tables: BTreeMap<String, TableLoad>,
}

pub(crate) async fn command(args: &super::Load) -> Result<Exit> {
    let (catalog, file) = catalog(&args.common)?;
    checked_schema(&args.schema)?;
    if args.schema.contains('.') {
        return Err(Error::usage("--schema names one schema of the database").hint("the database is part of --to"));
    }
    let address = Address::parse(&args.to)?;
    let lake = Lake::existing(&destination(args.dest.as_ref(), &file)?)?;
    lake.must_be_there().await?;
    let held = all(&lake).await?;
    let tables = fitted(&lake, &held, chosen(&catalog, &args.choice, Some(&held))?).await?;
    for unknown in held.keys().filter(|name| catalog.get(name).is_none()) {
        tell(&format!(
            "{unknown}: not loaded: this program does not know the table; give the --schemas it was written with"
        ));
    }
    let (target, dialect) = match &address {
        Address::Duckdb(file) => (Target::Duckdb(Duckdb::new(args.duckdb.clone(), file.clone())), Name::Duckdb),
        Address::Postgres(config) => {
            (Target::Postgres(Box::new(Postgres::connect(config, &address.shown()).await?)), Name::Postgres)
        }
    };
    let shown = address.shown();
    let objects = lake.objects().await?;
    let load = Load::open(lake, target, Dialect::load(dialect)?, args.schema.clone()).await?;
    let jobs = load.jobs(&tables, &objects);
    let progress = Progress::loading(jobs.iter().map(|j| j.track.clone()).collect());
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        lake: load.lake.shown().to_string(),
        target: shown,
        schema: args.schema.clone(),
        exit_code: 0,
        tables: BTreeMap::new(),
    };
    for job in &jobs {
        let done = load.perform(job).await;
        let stop = is_final(&done);
        report.tables.insert(job.table.name.clone(), done);
        if stop {
            break;
        }
    }
    let closed = load.close().await;
    progress.stop();
    if let Err(e) = closed {
        tell(&format!("warning: what was loaded is there, but the file was not closed in order: {e}"));
    }
    let exit = exit_of(&report, jobs.len());
    report.exit_code = exit as u8;
    show(&report, args.format)?;
    Ok(exit)
}

fn exit_of(report: &Report, asked: usize) -> Exit {
    let good = report.tables.values().filter(|t| t.status == "ok").count();
    match good {
        good if good == asked => Exit::Good,
        0 => Exit::Nothing,
        _ => Exit::Partly,
    }
}

fn show(report: &Report, format: Format) -> Result<()> {
    if format == Format::Json {
        let text = serde_json::to_string_pretty(report).map_err(|e| Error::storage(e.to_string()))?;
        data(&(text + "\n"));
    }
    let loaded: Vec<Vec<String>> = report
        .tables
        .iter()
        .filter(|(_, t)| t.slices_loaded > 0)
        .map(|(name, t)| vec![name.clone(), grouped(t.slices_loaded), grouped(t.rows_loaded)])
        .collect();
    if format == Format::Text && !loaded.is_empty() {
        data(&text_table(&["table", "slices", "rows"], &loaded, &[false, true, true]));
    }
    for (name, table) in &report.tables {
        for warning in &table.warnings {
            tell(&format!("{name}: {warning}"));
        }
        if let Some(error) = &table.error {
            tell(&format!("error: {name}: {}", error.message));
            if let Some(cure) = &error.cure {
                tell(&format!("  hint: {cure}"));
            }
        }
    }
    let sum = |count: fn(&TableLoad) -> u64| report.tables.values().map(count).sum::<u64>();
    let to_tell = report.tables.values().any(|t| t.error.is_some() || !t.warnings.is_empty());
    tell(&match sum(|t| t.slices_loaded) {
        0 if !to_tell => {
            format!("{}: nothing has changed in {}", report.target, counted(sum(|t| t.slices_unchanged), "slice"))
        }
        slices => format!(
            "{}: {} with {} loaded, {} unchanged",
            report.target,
            counted(slices, "slice"),
            counted(sum(|t| t.rows_loaded), "row"),
            grouped(sum(|t| t.slices_unchanged))
        ),
    });
    Ok(())
}
