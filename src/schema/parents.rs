//! Which table is whose parent, read from the names in the paths.

use std::collections::BTreeMap;

use super::check::Source;
use super::text::Template;
use super::{Column, From, Parent, Table, file};
use crate::error::{Error, Result};

/// The parent is the deepest table named in the path; values that belong to a
/// table further up are taken from the parent's own copy of them.
pub(super) fn parent(origin: &Source, path: &Template, all: &BTreeMap<String, Source>) -> Result<Option<Parent>> {
    let span = origin.file.request.path.as_ref().map(|p| p.span()).unwrap_or_default();
    let mut named: Vec<(&str, &str, &str)> = Vec::new();
    for name in path.names().filter(|n| !n.starts_with("key.")) {
        let Some((table, column)) = name.split_once('.') else {
            return Err(origin.error(span.clone(), format!("`{{{name}}}` is not of the form {{table.column}}")));
        };
        let Some(source) = all.get(table) else {
            let error = origin.error(span.clone(), format!("there is no table `{table}` to be the parent"));
            return Err(error.meant(table, all.keys().map(String::as_str)));
        };
        if !source.file.columns.iter().any(|(c, _)| c.get_ref() == column) {
            let error = origin.error(span.clone(), format!("`{table}` has no column `{column}`"));
            return Err(error.meant(column, source.file.columns.iter().map(|(c, _)| c.get_ref().as_str())));
        }
        named.push((name, table, column));
    }
    let Some((_, table, _)) = named.last().copied() else { return Ok(None) };
    let mut values = Vec::new();
    for (name, of, column) in named {
        let own = match of == table {
            true => Some(column.to_string()),
            false => all.get(table).and_then(|p| copy_of(p, name)),
        };
        let own = own
            .ok_or_else(|| origin.error(span.clone(), format!("`{table}` has no column with from = \"{{{name}}}\"")))?;
        values.push((name.to_string(), own));
    }
    Ok(Some(Parent { table: table.to_string(), values }))
}

/// The column of `parent` that holds the value bound as `name`.
fn copy_of(parent: &Source, name: &str) -> Option<String> {
    let wanted = format!("{{{name}}}");
    let holds = |c: &file::Column| c.from.as_ref().is_some_and(|f| f.get_ref().0 == [wanted.as_str()]);
    parent.file.columns.iter().find(|(_, c)| holds(c)).map(|(n, _)| n.get_ref().clone())
}

/// Every value bound into the path is also a column: it says whose child a row is.
pub(super) fn bound_columns_exist(source: &Source, path: &Template, columns: &[Column]) -> Result<()> {
    for name in path.names() {
        let from = From::Bound(name.to_string());
        if !columns.iter().any(|c| c.from == from) {
            return Err(
                source.in_file(format!("the table needs a column with from = \"{{{name}}}\", to know a row's parent"))
            );
        }
    }
    for column in columns {
        if let From::Bound(name) = &column.from
            && !name.starts_with("key.")
            && !path.names().any(|n| n == name)
        {
            return Err(source.in_file(format!("`{}` wants {{{name}}}, which the path does not name", column.name)));
        }
    }
    Ok(())
}

pub(super) fn no_cycles(tables: &[Table], sources: &BTreeMap<String, Source>) -> Result<()> {
    let parent_of = |name: &str| {
        let table = tables.iter().find(|t| t.name == name)?;
        table.parent.as_ref().map(|p| p.table.clone())
    };
    for table in tables {
        let mut up = parent_of(&table.name);
        for _ in 0..tables.len() {
            match up {
                None => break,
                Some(name) if name == table.name => {
                    let path = sources.get(&table.name).map_or("", |s| s.path.as_str());
                    return Err(Error::usage(format!("{path}: the table is its own parent, by way of its path")));
                }
                Some(name) => up = parent_of(&name),
            }
        }
    }
    Ok(())
}
