//! From a parsed file to a [`Table`]: every rule that needs more than one key.
//!
//! Each complaint names file, line and caret, and what would be right.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;

use super::columns::columns;
use super::file::{self, File, caret};
use super::parents::{bound_columns_exist, no_cycles, parent};
use super::part;
use super::text::{Pointer, Template, duration_seconds};
use super::{Column, Contents, EmptyDays, Files, Paging, Policy, Request, Slices, Surface, Table, Type};
use crate::error::{Error, Result};

/// One table file, with what is needed to point into it.
#[derive(Debug)]
pub(super) struct Source {
    surface: Surface,
    pub(super) name: String,
    pub(super) path: String,
    text: String,
    pub(super) file: File,
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

    pub(super) fn error(&self, span: Range<usize>, message: impl AsRef<str>) -> Error {
        Error::usage(caret(&self.path, &self.text, Some(span), message.as_ref()))
    }

    pub(super) fn in_file(&self, message: impl AsRef<str>) -> Error {
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
    let contents = file.contents.as_ref().map(|c| contents(source, c, &columns)).transpose()?;
    if let (Some(_), None, Some(c)) = (&contents, &slices, &file.contents) {
        return Err(
            source.error(c.path.span(), "[contents] needs a table cut by day: a row's time says how old a file is")
        );
    }
    let request = request(source, origin)?;
    let parent = parent(origin, &request.path, all)?;
    part::check(source)?;
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
        contents,
        record_rows: record_rows(source, origin)?,
        request,
        slices,
        same_as: file.request.same_as.as_ref().map(|s| s.get_ref().clone()),
        skip_children,
        newest_first: file.newest_first.as_ref().map(|n| part::newest_first(source, n, &columns)).transpose()?,
        unchanged_since: file
            .unchanged
            .as_ref()
            .map(|u| part::unchanged(source, u, parent.as_ref(), all))
            .transpose()?,
        full_every: part::full_every(source)?,
        hold_back: super::HoldBack::default(),
        parent,
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

pub(super) fn no_column(source: &Source, name: &Spanned<String>, columns: &[Column]) -> Error {
    let error = source.error(name.span(), format!("`{}` is not a column of this table", name.get_ref()));
    error.meant(name.get_ref(), columns.iter().map(|c| c.name.as_str()))
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
        freshness: file.freshness.as_ref().map(|f| freshness(origin, f)).transpose()?,
    })
}

fn freshness(origin: &Source, file: &file::Freshness) -> Result<(Template, Pointer)> {
    let path = Template::parse(file.path.get_ref()).map_err(|why| origin.error(file.path.span(), why))?;
    Ok((path, pointer(origin, &file.newest)?))
}

fn contents(source: &Source, file: &file::Contents, columns: &[Column]) -> Result<Contents> {
    let path = Template::parse(file.path.get_ref()).map_err(|why| source.error(file.path.span(), why))?;
    let column = |name: &Spanned<String>| {
        columns.iter().position(|c| c.name == *name.get_ref()).ok_or_else(|| no_column(source, name, columns))
    };
    for name in path.names() {
        column(&Spanned::new(file.path.span(), name.to_string()))?;
    }
    let query = file.query.iter().map(|(name, from)| Ok((name.get_ref().clone(), column(from)?)));
    Ok(Contents {
        query: query.collect::<Result<_>>()?,
        id: column(&file.id)?,
        kept: duration_seconds(file.kept.get_ref()).map_err(|why| source.error(file.kept.span(), why))?,
        path,
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
    // A table that shares answers need not have the column.
    let time = |name: &str| columns.iter().position(|c| c.name == name && c.kind == Type::Timestamp);
    let end = match &file.end {
        Some(end) if origin.name == source.name => Some(
            time(end.get_ref())
                .ok_or_else(|| source.error(end.span(), "`end` names a timestamp column of this table"))?,
        ),
        Some(end) => time(end.get_ref()),
        None => None,
    };
    Ok(Slices {
        by,
        end,
        empty_days: empty_days(origin, file)?,
        since: file.since.clone(),
        until: file.until.clone(),
        format: file.format,
        window,
        lookback: seconds(&file.lookback)?,
        history: seconds(&file.history)?,
        retention: file.retention.as_ref().map(seconds).transpose()?,
    })
}

/// What the file says; without a word, buckets are listed and other records cannot be.
fn empty_days(origin: &Source, file: &file::Slices) -> Result<EmptyDays> {
    let buckets = origin.file.request.rows.len() > 1;
    let Some(said) = &file.empty_days else {
        return Ok(if buckets { EmptyDays::Listed } else { EmptyDays::LeftOut });
    };
    match said.get_ref() {
        _ if *file.policy.get_ref() != Policy::Replace => {
            Err(origin.error(said.span(), "`empty_days` is for the policy `replace`: other days are never emptied"))
        }
        other => Ok(*other),
    }
}

fn relative(source: &Source, text: &Spanned<String>) -> Result<(usize, Pointer)> {
    Pointer::parse_relative(text.get_ref()).map_err(|why| source.error(text.span(), why))
}

/// Lower snake case ASCII, as every warehouse takes it unquoted. Also what
/// keeps a table's name from leaving the destination as a path.
pub(super) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.len() <= 63
}
