//! A table's columns: those of its file, those of the engine, and their order.

use super::check::{Source, is_name};
use super::text::Pointer;
use super::{Column, From, Policy, Type, file};
use crate::error::Result;

/// The columns in the order of the file: first version, the engine's own, later versions.
pub(super) fn columns(source: &Source, policy: Policy) -> Result<Vec<Column>> {
    let mut columns: Vec<Column> = Vec::new();
    for (name, raw) in &source.file.columns {
        let taken = columns.iter().any(|c| c.name == *name.get_ref());
        if taken || !is_name(name.get_ref()) {
            let why = if taken { "this column is already there" } else { "a column's name is lower snake case ASCII" };
            return Err(source.error(name.span(), why));
        }
        if raw.doc.get_ref().trim().is_empty() {
            return Err(source.error(raw.doc.span(), "a column needs a sentence of documentation"));
        }
        columns.push(Column {
            name: name.get_ref().clone(),
            kind: raw.kind,
            from: column_from(source, name.get_ref(), raw)?,
            from_text: Some(from_text(name.get_ref(), raw)),
            since: raw.since.as_ref().map_or(1, |s| *s.get_ref()),
            doc: raw.doc.get_ref().trim().to_string(),
        });
    }
    if columns.is_empty() {
        return Err(source.in_file("a table needs [columns]"));
    }
    columns.extend(engine_columns(policy));
    let engines = |c: &Column| c.from_text.is_none();
    columns.sort_by_key(|c| (c.since, engines(c)));
    named_by(source, &mut columns)?;
    Ok(columns)
}

fn engine_columns(policy: Policy) -> Vec<Column> {
    let mut columns = vec![
        engine("_synced_at", Type::Timestamp, From::SyncedAt, "When this row was last read (UTC)."),
        engine(
            "_extra",
            Type::Json,
            From::Extra,
            "Members of the record that no column covers, and values that did not fit theirs; null when none.",
        ),
    ];
    if policy == Policy::Snapshot {
        columns.push(engine("_deleted", Type::Bool, From::Deleted, "True when the source no longer lists this row."));
    }
    columns
}

pub(super) fn history_columns() -> Vec<Column> {
    vec![
        engine(
            "_valid_from",
            Type::Timestamp,
            From::VersionStart,
            "When this version of the row was first read (UTC).",
        ),
        engine(
            "_valid_to",
            Type::Timestamp,
            From::VersionEnd,
            "When it was replaced or gone; null while it is current.",
        ),
        engine("_current", Type::Bool, From::Current, "True for the newest version of a row that still exists."),
    ]
}

fn engine(name: &str, kind: Type, from: From, doc: &str) -> Column {
    Column { name: name.to_string(), kind, from, from_text: None, since: 1, doc: doc.to_string() }
}

fn column_from(source: &Source, name: &str, raw: &file::Column) -> Result<From> {
    match (&raw.from, &raw.named_by) {
        (Some(from), Some(_)) => Err(source.error(from.span(), "a column has `from` or `named_by`, not both")),
        // Resolved by `named_by` below, once all columns have their places.
        (None, Some(_)) => Ok(From::NamedBy(usize::MAX)),
        (None, None) => Ok(From::Record(vec![(0, Pointer(vec![name.to_string()]))])),
        (Some(from), None) => {
            if from.get_ref().0 == ["#"] {
                return Ok(From::Position);
            }
            if let [one] = from.get_ref().0.as_slice()
                && let Some(bound) = one.strip_prefix('{').and_then(|s| s.strip_suffix('}'))
            {
                return Ok(From::Bound(bound.to_string()));
            }
            let parse = |p: &String| Pointer::parse_relative(p).map_err(|why| source.error(from.span(), why));
            from.get_ref().0.iter().map(parse).collect::<Result<_>>().map(From::Record)
        }
    }
}

fn from_text(name: &str, raw: &file::Column) -> String {
    match (&raw.from, &raw.named_by) {
        (Some(from), _) => from.get_ref().0.join(" or "),
        (None, Some(by)) => format!("member named by `{}`", by.get_ref()),
        (None, None) => format!("/{name}"),
    }
}

fn named_by(source: &Source, columns: &mut [Column]) -> Result<()> {
    for (name, raw) in &source.file.columns {
        let Some(by) = &raw.named_by else { continue };
        let at = columns.iter().position(|c| c.name == *by.get_ref() && c.kind == Type::String);
        let at = at.ok_or_else(|| source.error(by.span(), "`named_by` names a string column of this table"))?;
        if let Some(column) = columns.iter_mut().find(|c| c.name == *name.get_ref()) {
            column.from = From::NamedBy(at);
        }
    }
    Ok(())
}
