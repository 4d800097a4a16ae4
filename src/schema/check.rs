//! From a parsed file to a [`Table`]: every rule that needs more than one key.
//!
//! Each complaint names file, line and caret, and what would be right.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;

use super::file::{self, File, caret};
use super::text::{Pointer, Template, duration_seconds};
use super::{Column, Files, From, Paging, Parent, Policy, Request, Slices, Surface, Table, Type};
use crate::error::{Error, Result, nearest};

/// One table file, with what is needed to point into it.
#[derive(Debug)]
pub(super) struct Source {
    surface: Surface,
    name: String,
    path: String,
    text: String,
    file: File,
}

impl Source {
    pub(super) fn parse(surface: Surface, name: &str, path: &str, text: &str) -> Result<Source> {
        let source = Source {
            surface,
            name: name.to_string(),
            path: path.to_string(),
            text: text.to_string(),
            file: file::parse(path, text)?,
        };
        if !is_name(name) {
            return Err(Error::usage(format!("{path}: a table's name is lower snake case, `{name}` is not")));
        }
        Ok(source)
    }

    fn error(&self, span: Range<usize>, message: impl AsRef<str>) -> Error {
        Error::usage(caret(&self.path, &self.text, Some(span), message.as_ref()))
    }

    fn in_file(&self, message: impl AsRef<str>) -> Error {
        Error::usage(format!("{}: {}", self.path, message.as_ref()))
    }
}

pub(super) fn surface(name: &str, path: &str) -> Result<Surface> {
    Surface::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| {
        Error::usage(format!("{path}: the folder of a table file is its surface, and `{name}` is none"))
            .hint("the surfaces are admin, project, codex and compliance")
    })
}

/// Adds or overrides tables by the files of `dir/<surface>/<table>.toml`.
pub(super) fn read_dir(dir: &Path, sources: &mut BTreeMap<String, Source>) -> Result<()> {
    let unreadable = |e: std::io::Error| {
        Error::usage(format!("--schemas {}: {e}", dir.display()))
            .hint("give a folder that holds <surface>/<table>.toml")
    };
    let mut found = false;
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let folder = entry.map_err(unreadable)?.path();
        if !folder.is_dir() {
            continue;
        }
        for file in fs::read_dir(&folder).map_err(unreadable)? {
            let path = file.map_err(unreadable)?.path();
            if path.extension().is_none_or(|e| e != "toml") {
                continue;
            }
            found = true;
            let shown = path.display().to_string();
            let surface = surface(&folder.file_name().unwrap_or_default().to_string_lossy(), &shown)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).map_err(|e| Error::usage(format!("{shown}: {e}")))?;
            sources.insert(name.clone(), Source::parse(surface, &name, &shown, &text)?);
        }
    }
    match found {
        true => Ok(()),
        false => Err(Error::usage(format!("--schemas {}: no table file in it", dir.display()))
            .hint("a table file is <dir>/<surface>/<table>.toml, such as admin/my_table.toml")),
    }
}

pub(super) fn tables(sources: &BTreeMap<String, Source>) -> Result<Vec<Table>> {
    let tables = sources.values().map(|s| table(s, sources)).collect::<Result<Vec<_>>>()?;
    no_cycles(&tables, sources)?;
    Ok(tables)
}

fn table(source: &Source, all: &BTreeMap<String, Source>) -> Result<Table> {
    let file = &source.file;
    if file.doc.get_ref().trim().is_empty() {
        return Err(source.error(file.doc.span(), "a table needs a sentence of documentation"));
    }
    let origin = origin(source, all)?;
    let slices_file = origin.file.slices.as_ref();
    let policy = policy(source, slices_file)?;
    let columns = columns(source, policy)?;
    let column = |name: &Spanned<String>| -> Result<usize> {
        columns.iter().position(|c| c.name == *name.get_ref()).ok_or_else(|| no_column(source, name, &columns))
    };
    let key = file.key.iter().map(column).collect::<Result<Vec<_>>>()?;
    let slices = match slices_file {
        None => None,
        Some(s) => Some(slices(source, origin, s, &columns)?),
    };
    let mut skip_children = Vec::new();
    for (name, values) in &file.children.skip {
        skip_children.push((column(name)?, values.clone()));
    }
    let request = request(source, origin)?;
    let parent = parent(origin, &request.path, all)?;
    bound_columns_exist(source, &request.path, &columns)?;
    Ok(Table {
        name: source.name.clone(),
        surface: source.surface,
        doc: file.doc.get_ref().trim().to_string(),
        key,
        policy,
        only_if_named: file.only_if_named,
        retired: file.retired.clone(),
        ignore: file.ignore.iter().map(|p| relative(source, p)).collect::<Result<_>>()?,
        paging: paging(origin)?,
        files: origin.file.files.as_ref().map(|f| files(origin, f)).transpose()?,
        record_rows: record_rows(source, origin)?,
        request,
        slices,
        parent,
        same_as: file.request.same_as.as_ref().map(|s| s.get_ref().clone()),
        skip_children,
        columns,
        history: false,
    })
}

/// The file that says what is asked: this one, or the one named by `same_as`.
fn origin<'a>(source: &'a Source, all: &'a BTreeMap<String, Source>) -> Result<&'a Source> {
    let Some(name) = &source.file.request.same_as else { return Ok(source) };
    let Some(origin) = all.get(name.get_ref()).filter(|o| o.surface == source.surface) else {
        return Err(source.error(name.span(), format!("there is no table `{}` to share answers with", name.get_ref())));
    };
    if origin.file.request.same_as.is_some() {
        return Err(source.error(name.span(), "that table shares the answers of another one: name that one"));
    }
    if source.file.request.path.is_some() || source.file.paging.is_some() || source.file.slices.is_some() {
        return Err(source.error(name.span(), "a table with `same_as` has no path, paging or slices of its own"));
    }
    Ok(origin)
}

fn policy(source: &Source, slices: Option<&file::Slices>) -> Result<Policy> {
    match (&source.file.policy, slices) {
        (Some(policy), Some(_)) => Err(source.error(policy.span(), "a table cut by day says its policy in [slices]")),
        (Some(policy), None) => Ok(*policy.get_ref()),
        (None, None) => Ok(Policy::Snapshot),
        (None, Some(slices)) if *slices.policy.get_ref() == Policy::Snapshot => Err(source
            .error(slices.policy.span(), "a table cut by day is `replace` or `merge`: one day is never a full list")),
        (None, Some(slices)) => Ok(*slices.policy.get_ref()),
    }
}

/// The columns in the order of the file: first version, the engine's own, later versions.
fn columns(source: &Source, policy: Policy) -> Result<Vec<Column>> {
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

fn no_column(source: &Source, name: &Spanned<String>, columns: &[Column]) -> Error {
    let error = source.error(name.span(), format!("`{}` is not a column of this table", name.get_ref()));
    match nearest(name.get_ref(), columns.iter().map(|c| c.name.as_str())) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

fn request(source: &Source, origin: &Source) -> Result<Request> {
    let asked = &origin.file.request;
    let Some(path) = &asked.path else {
        return Err(source.in_file("[request] needs a `path`, or `same_as` with the table whose answers it shares"));
    };
    Ok(Request {
        method: asked.method,
        path: Template::parse(path.get_ref()).map_err(|why| origin.error(path.span(), why))?,
        query: asked.query.clone(),
        body: asked.body.clone(),
        headers: asked.headers.clone(),
        rows: rows(origin, &asked.rows)?,
        rows_may_be_absent: source.file.request.rows_may_be_absent,
        passes: asked.passes.clone(),
        optional_passes: asked.optional_passes,
        optional: asked.optional.iter().map(|o| o.get_ref().clone()).collect(),
        absent: asked.absent.clone(),
    })
}

/// Pointers to lists, outermost first; `[""]` is the value itself, which is no list.
fn rows(source: &Source, texts: &[Spanned<String>]) -> Result<Vec<Pointer>> {
    let rows = texts.iter().map(|p| pointer(source, p)).collect::<Result<Vec<_>>>()?;
    let whole = rows.iter().any(|p| p.0.is_empty());
    if rows.is_empty() || (whole && rows.len() > 1) {
        return Err(source.in_file("`rows` is [\"\"] for one record, or the pointers to the lists, outermost first"));
    }
    Ok(rows.into_iter().filter(|p| !p.0.is_empty()).collect())
}

/// The lists in what is decoded: the file's lines where there are files, else the answer.
fn record_rows(source: &Source, origin: &Source) -> Result<Vec<Pointer>> {
    match (&source.file.files, source.name == origin.name) {
        (Some(files), _) => rows(source, &files.rows),
        _ => rows(source, &source.file.request.rows),
    }
}

fn files(origin: &Source, file: &file::Files) -> Result<Files> {
    let optional = |p: &Option<Spanned<String>>| p.as_ref().map(|p| pointer(origin, p)).transpose();
    Ok(Files {
        path: Template::parse(file.path.get_ref()).map_err(|why| origin.error(file.path.span(), why))?,
        id: pointer(origin, &file.id)?,
        time: pointer(origin, &file.time)?,
        size: optional(&file.size)?,
        sha256: optional(&file.sha256)?,
    })
}

fn pointer(source: &Source, text: &Spanned<String>) -> Result<Pointer> {
    Pointer::parse(text.get_ref()).map_err(|why| source.error(text.span(), why))
}

fn paging(origin: &Source) -> Result<Option<Paging>> {
    let table = match &origin.file.paging {
        None => {
            return Err(origin
                .in_file("say how the list ends: a [paging] table, or `paging = \"none\"` above [request]")
                .hint("schemas/README.md shows the forms of paging"));
        }
        Some(file::Paging::None) => return Ok(None),
        Some(file::Paging::Table(table)) => table,
    };
    if table.from.is_none() && table.last.is_none() {
        return Err(origin.in_file("[paging] needs `from`, `last` or both: where the next page's token is"));
    }
    let optional = |p: &Option<Spanned<String>>| p.as_ref().map(|p| pointer(origin, p)).transpose();
    if table.while_.is_none() && table.from.is_none() && !table.until_empty {
        return Err(origin.in_file("[paging] needs `while`, or `until_empty = true`: when the list ends"));
    }
    Ok(Some(Paging {
        send: table.send.clone(),
        from: optional(&table.from)?,
        last: optional(&table.last)?,
        while_: optional(&table.while_)?,
        until_empty: table.until_empty,
        empty_ends: table.empty_ends,
        size: table.size.clone(),
    }))
}

fn slices(source: &Source, origin: &Source, file: &file::Slices, columns: &[Column]) -> Result<Slices> {
    let by = columns.iter().position(|c| c.name == *file.by.get_ref() && c.kind == Type::Timestamp);
    let by = by.ok_or_else(|| match origin.name == source.name {
        true => source.error(file.by.span(), "`by` names a timestamp column of this table"),
        false => {
            source.in_file(format!("the table needs a timestamp column `{}`, by which it is cut", file.by.get_ref()))
        }
    })?;
    let seconds =
        |text: &Spanned<String>| duration_seconds(text.get_ref()).map_err(|why| origin.error(text.span(), why));
    let window = seconds(&file.window)?;
    if window < 86_400 || window % 86_400 != 0 {
        return Err(origin.error(file.window.span(), "`window` is a whole number of days"));
    }
    Ok(Slices {
        by,
        since: file.since.clone(),
        until: file.until.clone(),
        format: file.format,
        window,
        lookback: seconds(&file.lookback)?,
        history: seconds(&file.history)?,
    })
}

/// The parent is the deepest table named in the path; values that belong to a
/// table further up are taken from the parent's own copy of them.
fn parent(origin: &Source, path: &Template, all: &BTreeMap<String, Source>) -> Result<Option<Parent>> {
    let span = origin.file.request.path.as_ref().map(|p| p.span()).unwrap_or_default();
    let mut named: Vec<(&str, &str, &str)> = Vec::new();
    for name in path.names().filter(|n| !n.starts_with("key.")) {
        let Some((table, column)) = name.split_once('.') else {
            return Err(origin.error(span.clone(), format!("`{{{name}}}` is not of the form {{table.column}}")));
        };
        let Some(source) = all.get(table) else {
            let error = origin.error(span.clone(), format!("there is no table `{table}` to be the parent"));
            return Err(match nearest(table, all.keys().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            });
        };
        if !source.file.columns.iter().any(|(c, _)| c.get_ref() == column) {
            let error = origin.error(span.clone(), format!("`{table}` has no column `{column}`"));
            return Err(match nearest(column, source.file.columns.iter().map(|(c, _)| c.get_ref().as_str())) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            });
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
fn bound_columns_exist(source: &Source, path: &Template, columns: &[Column]) -> Result<()> {
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

fn relative(source: &Source, text: &Spanned<String>) -> Result<(usize, Pointer)> {
    Pointer::parse_relative(text.get_ref()).map_err(|why| source.error(text.span(), why))
}

fn no_cycles(tables: &[Table], sources: &BTreeMap<String, Source>) -> Result<()> {
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

/// Lower snake case ASCII, as every warehouse takes it unquoted. Also what
/// keeps a table's name from leaving the destination as a path.
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.len() <= 63
}
