//! `[newest_first]` and `[unchanged]`: what a sync may leave unread, as the files say it.
//!
//! Both rest on what the API promises of a list or of a parent row, so a file that
//! asks for them where there is nothing to rest on is refused.

use std::collections::BTreeMap;

use toml::Spanned;

use super::check::{Source, no_column};
use super::file::{self, File};
use super::{Column, From, NewestFirst, Parent, Type, duration_seconds};
use crate::error::Result;

/// How often a table that is read in part is read whole, when its file does not say.
const FULL_EVERY: i64 = 86_400;

/// What cannot go together, whatever the columns are.
pub(super) fn check(source: &Source) -> Result<()> {
    let File { newest_first, unchanged, full_every, slices, request, .. } = &source.file;
    let spans = [newest_first.as_ref().map(|n| n.by.span()), unchanged.as_ref().map(|u| u.since.span())];
    for span in spans.into_iter().flatten() {
        let why = match (slices, &request.same_as, request.passes.len()) {
            (Some(_), _, _) => "a table cut by day is read by windows, and each of these is read whole",
            (_, Some(_), _) => "a table with `same_as` is read as that table is",
            (_, _, 2..) => "a list that is read in several passes is read whole: no pass knows what the others have",
            _ => continue,
        };
        return Err(source.error(span, why));
    }
    match full_every {
        Some(every) if newest_first.is_none() && unchanged.is_none() => {
            Err(source
                .error(every.span(), "this table is read whole every time: it has no [newest_first] or [unchanged]"))
        }
        _ => Ok(()),
    }
}

pub(super) fn newest_first(source: &Source, file: &file::NewestFirst, columns: &[Column]) -> Result<NewestFirst> {
    let by = columns.iter().position(|c| c.name == *file.by.get_ref());
    let by = by.ok_or_else(|| no_column(source, &file.by, columns))?;
    if columns[by].kind != Type::Timestamp {
        return Err(source.error(file.by.span(), "`by` names a timestamp column: the one that the list is sorted by"));
    }
    let mut identity = source.file.key.iter().map(Spanned::get_ref).chain([file.by.get_ref()]);
    if identity.any(|name| columns.iter().any(|c| c.name == *name && matches!(c.from, From::NamedBy(_)))) {
        return Err(source.error(file.by.span(), "a list whose key or moment is named by another column is read whole"));
    }
    let mut final_if = Vec::new();
    for (name, values) in &file.final_ {
        let column = columns.iter().position(|c| c.name == *name.get_ref() && c.kind == Type::String);
        final_if.push((column.ok_or_else(|| no_column(source, name, columns))?, values.clone()));
    }
    Ok(NewestFirst { by, final_if })
}

/// The parent's column, which must be one of the parent's file and a moment.
pub(super) fn unchanged(
    source: &Source,
    file: &file::Unchanged,
    parent: Option<&Parent>,
    all: &BTreeMap<String, Source>,
) -> Result<String> {
    let Some(parent) = parent else {
        return Err(source.error(file.since.span(), "[unchanged] speaks of the parent, and this table has none"));
    };
    let name = file.since.get_ref();
    let of = all.get(&parent.table).into_iter().flat_map(|of| &of.file.columns);
    match of.clone().find(|(n, _)| n.get_ref() == name) {
        Some((_, column)) if column.kind == Type::Timestamp => Ok(name.clone()),
        Some(_) => Err(source.error(file.since.span(), "`since` names a timestamp column of the parent")),
        None => {
            let message = format!("`{name}` is not a column of `{}`", parent.table);
            Err(source.error(file.since.span(), message).meant(name, of.map(|(n, _)| n.get_ref().as_str())))
        }
    }
}

pub(super) fn full_every(source: &Source) -> Result<i64> {
    let seconds =
        |text: &Spanned<String>| duration_seconds(text.get_ref()).map_err(|why| source.error(text.span(), why));
    source.file.full_every.as_ref().map_or(Ok(FULL_EVERY), seconds)
}
