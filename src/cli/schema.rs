//! `schema`: a warehouse's script on stdout. The lake is only read.

use std::sync::Arc;

use super::Exit;
use super::sync::catalog;
use crate::console::data;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::schema::{Catalog, Table, glob};
use crate::warehouse::{Changes, Dialect, Order, Runs, all, fitted, of_runs};

pub(crate) async fn command(args: &super::Schema) -> Result<Exit> {
    let (catalog, file) = catalog(&args.common)?;
    let dialect = Dialect::load(args.dialect)?;
    checked_schema(&args.schema)?;
    let external = args.external || dialect.in_place;
    if external && dialect.sql.external_whole.is_empty() {
        return Err(Error::usage(format!("{} cannot read the lake in place", dialect.title))
            .hint("leave out --external: the tables are then made to be loaded"));
    }
    let dest = args.dest.as_ref().or(file.dest.as_ref());
    let lake = dest.map(|d| Lake::existing(d)).transpose()?;
    let held = match &lake {
        Some(lake) => {
            lake.must_be_there().await?;
            Some(all(lake).await?)
        }
        None => None,
    };
    let runs = match &args.changed_since {
        Some(run) => Some(Runs::Since(run.clone())),
        None => (!args.changed_by.is_empty()).then(|| Runs::Named(args.changed_by.clone())),
    };
    let changed = match (&lake, &runs) {
        (_, None) => None,
        (Some(lake), Some(runs)) => Some(of_runs(lake, runs).await?),
        (None, Some(_)) => {
            return Err(Error::usage("what a run changed is in its report").hint("give --dest the lake"));
        }
    };
    let mut tables = chosen(&catalog, &args.choice, held.as_ref())?;
    if let (Some(lake), Some(held)) = (&lake, &held) {
        tables = fitted(lake, held, tables).await?;
    }
    let url = args.location.clone().or_else(|| lake.as_ref().map(Lake::url_or_path));
    let placeholder = url.is_none();
    let url = url.unwrap_or_else(|| dialect.example().to_string());
    let location = dialect.location(&url).ok_or_else(|| {
        Error::usage(format!("{} cannot read {url}", dialect.title))
            .hint("copy the lake to where it can, and say with --location where that is")
    })?;
    let order = Order {
        dialect: &dialect,
        tables: &tables,
        schema: &args.schema,
        lake: &location,
        remote: url.contains("://"),
        held: held.as_ref(),
        changed: changed.as_ref(),
        external,
    };
    let body = order.write()?;
    data(&(head(&dialect, &location, placeholder, &what(&runs, external), tables.len()) + &body));
    Ok(Exit::Good)
}

fn what(runs: &Option<Runs>, external: bool) -> String {
    match runs {
        _ if external => "the lake, read in place".to_string(),
        None => "a first load, which replaces what is there".to_string(),
        Some(Runs::Named(runs)) => format!("the slices that were changed by {}", runs.join(", ")),
        Some(Runs::Since(run)) => format!("the slices that were changed after {run}"),
    }
}

fn head(dialect: &Dialect, location: &str, placeholder: bool, what: &str, tables: usize) -> String {
    let plain = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    let (lake, what) = (plain(location), plain(what));
    let replace = if placeholder { " (a placeholder: write your own, or give --dest)" } else { "" };
    format!(
        "-- {}: {what}. Made by `openai-elt schema`, version {}.\n-- Lake: {lake}{replace}\n-- Tables: {tables}. \
         Replaced at once: {}. Running this again changes nothing.\n",
        dialect.title,
        env!("CARGO_PKG_VERSION"),
        dialect.atomic
    )
}

/// The tables that were asked for; with a lake and no names, those that it holds.
pub(crate) fn chosen(catalog: &Catalog, choice: &super::Choice, held: Option<&Changes>) -> Result<Vec<Arc<Table>>> {
    for pattern in choice.tables.iter().chain(&choice.exclude) {
        if !catalog.iter().any(|t| glob(pattern, &t.name)) {
            return Err(catalog.unknown(pattern));
        }
    }
    let named = |t: &Table| choice.tables.iter().any(|p| glob(p, &t.name));
    let wanted = |t: &Table| match choice.tables.is_empty() {
        true => held.is_none_or(|held| held.contains_key(&t.name)),
        false => named(t),
    };
    let excluded = |t: &Table| choice.exclude.iter().any(|p| glob(p, &t.name));
    Ok(catalog.iter().filter(|t| wanted(t) && !excluded(t)).cloned().collect())
}

/// Names of schemas and data sets: letters, digits, `_` and `-`, with dots between their parts.
pub(crate) fn checked_schema(name: &str) -> Result<()> {
    let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if name.split('.').all(word) && name.split('.').count() <= 2 {
        return Ok(());
    }
    Err(Error::usage(format!("--schema {name:?} is not a name"))
        .hint("such as openai or catalog.openai: letters, digits, _ and -"))
}
