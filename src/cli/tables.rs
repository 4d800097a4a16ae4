//! `tables`: the catalog as text, JSON or Markdown (docs/tables.md is the latter).

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Exit, ListFormat};
use crate::console::data;
use crate::error::{Error, Result};
use crate::schema::{Catalog, Method, Parameter, Parameters, Policy, Surface, Table, glob};

pub(crate) fn command(args: &super::Tables) -> Result<Exit> {
    let (catalog, _) = super::sync::catalog(&args.common)?;
    let tables = chosen(&catalog, &args.names)?;
    match args.format {
        ListFormat::Text => data(&text(&tables, !args.names.is_empty())),
        ListFormat::Markdown => data(&markdown(&tables)),
        ListFormat::Json => {
            let list: Vec<Value> = tables.iter().map(|t| describe(t)).collect();
            let text = serde_json::to_string_pretty(&list).map_err(|e| Error::usage(e.to_string()))?;
            data(&(text + "\n"));
        }
    }
    Ok(Exit::Good)
}

fn chosen(catalog: &Catalog, names: &[String]) -> Result<Vec<Arc<Table>>> {
    if let Some(unknown) = names.iter().find(|n| !catalog.iter().any(|t| glob(n, &t.name))) {
        return Err(catalog.unknown(unknown));
    }
    let wanted = |t: &Table| names.is_empty() || names.iter().any(|n| glob(n, &t.name));
    let mut tables: Vec<Arc<Table>> = catalog.iter().filter(|t| wanted(t)).cloned().collect();
    tables.sort_by(|a, b| (a.surface, &a.name).cmp(&(b.surface, &b.name)));
    Ok(tables)
}

fn text(tables: &[Arc<Table>], with_columns: bool) -> String {
    let mut text = String::new();
    for table in tables {
        let _ = writeln!(text, "{}  ({}, {})", table.name, table.surface.name(), kind(table));
        wrapped(&table.doc, &mut text);
    }
    for table in tables.iter().filter(|_| with_columns) {
        let _ = writeln!(text, "\n{}", table.name);
        wrapped(&format!("key: {}", key(table)), &mut text);
        for column in &table.columns {
            let _ = writeln!(text, "  {}  {}", column.name, column.kind.name());
            wrapped(&column.doc, &mut text);
        }
    }
    text
}

/// Sentences below their head, set in, in lines that fit a terminal of 80 columns.
fn wrapped(sentences: &str, text: &mut String) {
    const WIDTH: usize = 80;
    const SET_IN: &str = "      ";
    let mut line = String::new();
    for word in sentences.split_whitespace() {
        let longer = SET_IN.len() + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && longer > WIDTH {
            let _ = writeln!(text, "{SET_IN}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        let _ = writeln!(text, "{SET_IN}{line}");
    }
}

fn kind(table: &Table) -> String {
    let policy = match table.policy {
        crate::schema::Policy::Replace => "replace",
        crate::schema::Policy::Merge => "merge",
        crate::schema::Policy::Snapshot => "snapshot",
    };
    if table.slices.is_some() { format!("{policy}, by day") } else { policy.to_string() }
}

fn key(table: &Table) -> String {
    let names: Vec<&str> = table.key.iter().map(|k| table.columns[*k].name.as_str()).collect();
    if names.is_empty() { "one row".to_string() } else { names.join(", ") }
}

fn days(seconds: i64) -> String {
    match seconds {
        s if s % 86_400 == 0 => format!("{} d", s / 86_400),
        s if s % 3_600 == 0 => format!("{} h", s / 3_600),
        s => format!("{s} s"),
    }
}

fn markdown(tables: &[Arc<Table>]) -> String {
    let mut text = String::from(
        "# Tables\n\nMade by `openai-elt tables --format markdown`; do not edit. The files are in `schemas/`.\n\n\
         A folder of the lake for each table. Every column may be null. `json` columns hold compact JSON text, \
         timestamps are in UTC, `decimal` is DECIMAL(38,18).\n",
    );
    for surface in Surface::ALL {
        let of: Vec<&Arc<Table>> = tables.iter().filter(|t| t.surface == surface).collect();
        if of.is_empty() {
            continue;
        }
        let _ =
            write!(text, "\n## Surface `{}`\n\n| table | kept as | what a row is |\n|---|---|---|\n", surface.name());
        for table in &of {
            let _ = writeln!(text, "| [`{0}`](#{0}) | {1} | {2} |", table.name, kind(table), cell(&table.doc));
        }
        for table in of {
            section(table, &mut text);
        }
    }
    text
}

fn section(table: &Table, text: &mut String) {
    let method = if table.request.method == Method::Post { "POST" } else { "GET" };
    let _ = write!(text, "\n### {}\n\n{}\n\n", table.name, table.doc);
    let _ = write!(text, "`{method} {}` · key: {} · {}", table.request.path, key(table), kind(table));
    if let Some(slices) = &table.slices {
        let by = &table.columns[slices.by].name;
        let _ = write!(text, " of `{by}`, look-back {}, first sync {}", days(slices.lookback), days(slices.history));
    }
    if let Some(parent) = &table.parent {
        let _ = write!(text, " · child of [`{0}`](#{0})", parent.table);
    }
    if let Some(newest) = &table.newest_first {
        let by = &table.columns[newest.by].name;
        let _ = write!(text, " · newest first by `{by}`, whole every {}", days(table.full_every));
    }
    if let Some(since) = &table.unchanged_since {
        let _ = write!(text, " · only where the parent's `{since}` is new, whole every {}", days(table.full_every));
    }
    if table.only_if_named {
        text.push_str(" · only when named with `--tables`");
    }
    if let Some(retired) = &table.retired {
        let _ = write!(text, " · retired upstream: {retired}");
    }
    text.push_str("\n\n| column | type | from | what it holds |\n|---|---|---|---|\n");
    for column in &table.columns {
        let from = column.from_text.as_ref().map(|f| format!("`{f}`")).unwrap_or_default();
        let _ =
            writeln!(text, "| `{}` | {} | {} | {} |", column.name, column.kind.name(), cell(&from), cell(&column.doc));
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn parameters(parameters: &Parameters) -> Value {
    let value = |p: &Parameter| match p {
        Parameter::One(text) => json!(text),
        Parameter::Literal(literal) => serde_json::from_str(literal).unwrap_or_else(|_| json!(literal)),
        Parameter::Many(items) => json!(items),
    };
    Value::Object(parameters.0.iter().map(|(name, p)| (name.clone(), value(p))).collect())
}

fn describe(table: &Table) -> Value {
    let column = |c: &crate::schema::Column| json!({ "name": c.name, "type": c.kind.name(), "from": c.from_text, "doc": c.doc, "since": c.since });
    json!({
        "name": table.name,
        "surface": table.surface.name(),
        "doc": table.doc,
        "key": table.key.iter().map(|k| table.columns[*k].name.clone()).collect::<Vec<_>>(),
        "policy": table.policy,
        "version": table.version(),
        "only_if_named": table.only_if_named,
        "retired": table.retired,
        "same_as": table.same_as,
        "parents": table.parent.iter().map(|p| p.table.clone()).collect::<Vec<_>>(),
        "newest_first": table.newest_first.as_ref().map(|n| json!({
            "by": table.columns[n.by].name,
            "final": n.final_if.iter().map(|(column, values)| (table.columns[*column].name.clone(), json!(values)))
                .collect::<serde_json::Map<_, _>>(),
        })),
        "unchanged_since": table.unchanged_since,
        "full_every_seconds": table.is_read_in_part().then_some(table.full_every),
        "slices": table.slices.as_ref().map(|s| json!({
            "by": table.columns[s.by].name,
            "empty_days": (table.policy == Policy::Replace).then_some(s.empty_days),
            "window_seconds": s.window,
            "lookback_seconds": s.lookback,
            "history_seconds": s.history,
            "retention_seconds": s.retention,
        })),
        "request": {
            "method": table.request.method,
            "path": table.request.path.to_string(),
            "query": parameters(&table.request.query),
            "rows": table.request.rows.iter().map(|p| p.to_string()).collect::<Vec<_>>(),
            "passes": table.request.passes.iter().map(parameters).collect::<Vec<_>>(),
        },
        "columns": table.columns.iter().map(column).collect::<Vec<_>>(),
    })
}
