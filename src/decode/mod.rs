//! Response bytes to Arrow, in one pass: no tree of values in between.
//!
//! A [`Decoder`] belongs to one table and one piece of work. It walks the text
//! of each answer along the table's tree of members, notes where each column's
//! value stands, and appends one row for each record. What no column covers
//! goes to `_extra`, what does not fit makes its column null and goes there
//! too: nothing is lost and nothing stops.
//!
//! Pure: text in, rows out.

mod column;
mod extra;
pub(crate) mod json;
mod keep;
mod shape;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::error::{Error, Result};
use crate::schema::{From, Policy, Table};
use column::{Column, Fit};
use extra::Spare;
use json::{Kind, Malformed, Scanner};
use shape::Node;

/// Values that did not fit a column: how many, and the first one's place and reason.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Misfit {
    pub(crate) count: u64,
    pub(crate) example: String,
}

pub(crate) struct Decoder {
    table: Arc<Table>,
    schema: SchemaRef,
    levels: Vec<Node>,
    columns: Vec<Column>,
    synced_at: i64,
    rows: usize,
    misfits: BTreeMap<String, Misfit>,
    scratch: String,
}

/// The values bound into a request, by name.
pub(crate) type Bound<'a> = dyn Fn(&str) -> Option<String> + Sync + 'a;

/// One row being put together: where each column's value stands in the text.
#[derive(Clone)]
struct Row<'a> {
    values: Vec<Option<&'a str>>,
    spares: Vec<Spare<'a>>,
    /// Columns whose value came by a later one of their spellings, and by which.
    respelled: Vec<(usize, usize)>,
    /// Where it stands in its list.
    position: usize,
}

/// What one answer's rows share: the values bound into its request, and where the walk is.
struct Work<'a> {
    bound: &'a [Option<String>],
    place: String,
}

impl Decoder {
    /// `synced_at` is the moment of the run, in microseconds since 1970 UTC.
    pub(crate) fn new(table: Arc<Table>, synced_at: i64) -> Decoder {
        Decoder {
            schema: table.arrow(),
            levels: shape::levels(&table),
            columns: table.columns.iter().map(|c| Column::new(c.kind)).collect(),
            synced_at,
            rows: 0,
            misfits: BTreeMap::new(),
            scratch: String::new(),
            table,
        }
    }

    /// Rows decoded and not yet taken.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    pub(crate) fn misfits(&self) -> &BTreeMap<String, Misfit> {
        &self.misfits
    }

    /// The rows so far, as a batch.
    pub(crate) fn take(&mut self) -> Result<RecordBatch> {
        self.rows = 0;
        let arrays = self.columns.iter_mut().map(Column::finish).collect();
        RecordBatch::try_new(self.schema.clone(), arrays)
            .map_err(|e| Error::contract(format!("rows of unequal length: {e}")))
    }

    /// Decodes one answer; gives the number of its rows.
    ///
    /// `bound` holds the values bound into the request (`projects.id`, …).
    /// After an error the rows before it are still there, whole.
    pub(crate) fn page(&mut self, text: &str, bound: &Bound<'_>) -> Result<usize> {
        let before = self.rows;
        let mut scanner = Scanner::new(text);
        self.value(&mut scanner, bound)?;
        scanner.end().map_err(malformed)?;
        Ok(self.rows - before)
    }

    /// Decodes a file of records: JSON Lines, also without a last newline or with
    /// several records on a line. Gives the number of rows, and the errors of
    /// lines that are none: the lines after them are read all the same.
    pub(crate) fn lines(&mut self, text: &str, bound: &Bound<'_>) -> (usize, Vec<Error>) {
        let before = self.rows;
        let (mut start, mut errors) = (0, Vec::new());
        let (mut line, mut counted) = (1, 0);
        while let Some((begun, error)) = self.records(&text[start..], bound) {
            let begun = start + begun;
            line += text[counted..begun].matches('\n').count();
            counted = begun;
            errors.push(error.at(format!("line {line}")));
            // On with the line after the one on which the broken record began: it may
            // have taken half of the next one with it.
            start = text[begun..].find('\n').map_or(text.len(), |i| begun + i + 1);
        }
        (self.rows - before, errors)
    }

    /// Decodes records up to the first broken one; gives where it begins.
    fn records(&mut self, text: &str, bound: &Bound<'_>) -> Option<(usize, Error)> {
        let mut scanner = Scanner::new(text);
        while !scanner.at_end() {
            let begun = scanner.position();
            if let Err(error) = self.value(&mut scanner, bound) {
                return Some((begun, error));
            }
        }
        None
    }

    fn value(&mut self, scanner: &mut Scanner<'_>, bound: &Bound<'_>) -> Result<()> {
        let value = |c: &crate::schema::Column| match &c.from {
            From::Bound(name) => bound(name),
            _ => None,
        };
        let bound: Vec<Option<String>> = self.table.columns.iter().map(value).collect();
        let levels = std::mem::take(&mut self.levels);
        let base =
            Row { values: vec![None; self.columns.len()], spares: Vec::new(), respelled: Vec::new(), position: 0 };
        let mut work = Work { bound: &bound, place: String::new() };
        let walked = self.level(&levels, scanner, &base, &mut work);
        self.levels = levels;
        walked.map_err(|e| if work.place.is_empty() { e } else { e.at(work.place) })
    }

    /// One record of some level: its own values first, then the list inside it.
    fn level<'a>(
        &mut self,
        levels: &[Node],
        scanner: &mut Scanner<'a>,
        outer: &Row<'a>,
        work: &mut Work<'_>,
    ) -> Result<()> {
        let Some((node, inner)) = levels.split_first() else { return Ok(()) };
        if scanner.peek().map_err(malformed)? != b'{' {
            let text = scanner.value().map_err(malformed)?;
            return Err(unexpected(format!("an object was expected, found {}", found(text))));
        }
        let mut row = outer.clone();
        let mut rows = None;
        let (own, start) = (row.spares.len(), scanner.position());
        fill(scanner, node, &mut Vec::new(), &mut row, &mut rows).map_err(malformed)?;
        if !node.columns.is_empty() {
            // A column that takes the record whole covers all its members.
            row.spares.truncate(own);
            node.columns.iter().for_each(|(column, _)| row.values[*column] = Some(scanner.since(start)));
        }
        let depth = self.table.record_rows.len() - inner.len();
        let Some(pointer) = self.table.record_rows.get(depth) else {
            return self.push(row, work);
        };
        // The envelope of an answer is not data; and what encloses a follower's
        // records is kept by the table that it follows.
        match depth == 0 || self.table.same_as.is_some() {
            true => row.spares.truncate(own),
            false => row.spares.iter_mut().for_each(|spare| spare.path.insert(0, "..")),
        }
        let pointer = pointer.to_string();
        let list = match rows.filter(|list| Kind::of(list) != Kind::Null) {
            Some(list) if Kind::of(list) == Kind::Array => list,
            Some(list) => {
                return Err(unexpected(format!("`{pointer}`: a list was expected, found {}", found(list))));
            }
            // An answer always has its list; a record of a file, or one that encloses, may have none.
            None if self.table.request.rows_may_be_absent && (depth > 0 || self.table.files.is_some()) => return Ok(()),
            None => {
                return Err(unexpected(format!("the list `{pointer}` is missing")));
            }
        };
        let (mut scanner, mut first, mut index) = (Scanner::new(list), true, 0_usize);
        scanner.enter(b'[').map_err(malformed)?;
        let length = work.place.len();
        while scanner.element(&mut first).map_err(malformed)? {
            work.place.truncate(length);
            let _ = write!(work.place, "{pointer}/{index}");
            row.position = index;
            self.level(inner, &mut scanner, &row, work)?;
            index += 1;
        }
        work.place.truncate(length);
        Ok(())
    }

    /// Appends one row.
    fn push(&mut self, mut row: Row<'_>, work: &Work<'_>) -> Result<()> {
        let table = Arc::clone(&self.table);
        self.identified(&row)?;
        let mut unfit: Vec<(usize, &str)> = Vec::new();
        for (index, column) in table.columns.iter().enumerate() {
            let value = match &column.from {
                From::Record(_) => row.values[index],
                From::NamedBy(by) => take_named(&mut row, *by),
                From::Bound(_) => {
                    match &work.bound[index] {
                        Some(text) => self.columns[index].push_text(text),
                        None => self.columns[index].push_null(),
                    }
                    continue;
                }
                From::Position => {
                    let text = row.position.to_string();
                    self.columns[index].push(&text, &mut self.scratch).map_err(malformed)?;
                    continue;
                }
                From::SyncedAt | From::VersionStart => {
                    self.columns[index].push_micros(self.synced_at);
                    continue;
                }
                From::Deleted => {
                    self.columns[index].push_bool(false);
                    continue;
                }
                From::Current => {
                    self.columns[index].push_bool(true);
                    continue;
                }
                // `_extra` is written last, when it is known what did not fit.
                From::Extra => continue,
                From::VersionEnd => None,
            };
            let Some(value) = value else {
                self.columns[index].push_null();
                continue;
            };
            match self.columns[index].push(value, &mut self.scratch).map_err(malformed)? {
                Fit::Whole => {}
                Fit::Rounded => unfit.push((index, value)),
                Fit::Not => {
                    self.misfit(index, value, &work.place);
                    unfit.push((index, value));
                }
            }
        }
        let place = |index: usize| path_of(&table, index, &row.respelled);
        let paths: Vec<Vec<Cow<'_, str>>> = unfit.iter().map(|(index, _)| place(*index)).collect();
        let mut spares: Vec<Spare<'_>> = row.spares;
        for (path, (_, value)) in paths.iter().zip(&unfit) {
            spares.push(Spare { path: path.iter().map(|n| n.as_ref()).collect(), value });
        }
        extra::assemble(&spares, &mut self.scratch).map_err(malformed)?;
        if let Some(index) = table.position(&From::Extra) {
            match self.scratch.is_empty() {
                true => self.columns[index].push_null(),
                false => self.columns[index].push_text(&self.scratch),
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// A row that nothing identifies would take the place of every other such row,
    /// and the real ones would look deleted. (A replaced day has no such rows: its
    /// keys are dimensions, and null is one of their values.)
    fn identified(&self, row: &Row<'_>) -> Result<()> {
        if self.table.policy == Policy::Replace {
            return Ok(());
        }
        let own = |index: &&usize| matches!(self.table.columns[**index].from, From::Record(_));
        let mut keys = self.table.key.iter().filter(own).peekable();
        let Some(first) = keys.peek().map(|index| &self.table.columns[**index]) else { return Ok(()) };
        let there =
            |index: &usize| row.values[*index].is_some_and(|v| column::fits(self.table.columns[*index].kind, v));
        match keys.any(there) {
            true => Ok(()),
            false => Err(unexpected(format!("`{}` is missing, which identifies the record", first.name))),
        }
    }

    fn misfit(&mut self, index: usize, value: &str, place: &str) {
        let column = &self.table.columns[index];
        let entry = self.misfits.entry(column.name.clone()).or_default();
        entry.count += 1;
        if entry.count == 1 {
            let kind = column.kind.name();
            entry.example = format!(
                "{place}{}: expected {kind}, found {}",
                column.from_text.as_deref().unwrap_or(""),
                found(value)
            );
        }
    }
}

/// Notes the values of one object. Recursion goes as deep as the table's tree, no deeper.
fn fill<'a>(
    scanner: &mut Scanner<'a>,
    node: &Node,
    path: &mut Vec<&'a str>,
    row: &mut Row<'a>,
    rows: &mut Option<&'a str>,
) -> std::result::Result<(), Malformed> {
    scanner.enter(b'{')?;
    let (mut first, mut hint) = (true, 0);
    while let Some(name) = scanner.member(&mut first)? {
        let known = match name.contains('\\') {
            false => node.member(name, &mut hint),
            true => json::unescape(name).and_then(|n| node.member(&n, &mut hint)),
        };
        let Some(known) = known else {
            let value = scanner.value()?;
            spare(path, name, value, row);
            continue;
        };
        if !known.members.is_empty() && scanner.peek()? == b'{' {
            let own = row.spares.len();
            let start = scanner.position();
            path.push(name);
            fill(scanner, known, path, row, rows)?;
            path.pop();
            if !known.columns.is_empty() {
                // Kept whole by a column, so nothing inside is spare.
                row.spares.truncate(own);
                note(known, path, name, scanner.since(start), row);
            }
            continue;
        }
        let value = scanner.value()?;
        if known.rows && rows.replace(value).is_some() {
            return Err(Malformed { at: scanner.position(), what: "the list of records comes twice" });
        }
        note(known, path, name, value, row);
    }
    Ok(())
}

/// Gives a value to its columns, or keeps it where no column takes it.
fn note<'a>(known: &Node, path: &[&'a str], name: &'a str, value: &'a str, row: &mut Row<'a>) {
    let mut taken = known.rows || known.ignored;
    for &(column, spelling) in &known.columns {
        let slot = &mut row.values[column];
        // A column with two spellings, or a name that comes twice: the first value stays.
        if slot.is_none_or(|v| Kind::of(v) == Kind::Null) {
            *slot = Some(value);
            taken = true;
            if spelling > 0 || !row.respelled.is_empty() {
                row.respelled.retain(|(other, _)| *other != column);
                row.respelled.push((column, spelling));
            }
        }
    }
    // A member with documented insides that is null has nothing to keep.
    let nothing = Kind::of(value) == Kind::Null && !known.members.is_empty();
    if !taken && !nothing {
        spare(path, name, value, row);
    }
}

fn spare<'a>(path: &[&'a str], name: &'a str, value: &'a str, row: &mut Row<'a>) {
    let mut full = Vec::with_capacity(path.len() + 1);
    full.extend_from_slice(path);
    full.push(name);
    row.spares.push(Spare { path: full, value });
}

/// The member whose name is the value of column `by`, taken out of the spares.
fn take_named<'a>(row: &mut Row<'a>, by: usize) -> Option<&'a str> {
    let name = row.values[by].filter(|value| Kind::of(value) == Kind::String)?;
    let name = json::unescape(json::inner(name))?.into_owned();
    let named = |s: &Spare<'_>| s.path.len() == 1 && json::unescape(s.path[0]).is_some_and(|n| n == name.as_str());
    let index = row.spares.iter().position(named)?;
    let Spare { path, value } = row.spares.remove(index);
    let secret = keep::is_secret(path[0]) && Kind::of(value) != Kind::Null;
    Some(if secret { keep::REDACTED } else { value })
}

/// Where a value that did not fit goes in `_extra`: its own place, names as between quotes.
fn path_of<'t>(table: &'t Table, index: usize, respelled: &[(usize, usize)]) -> Vec<Cow<'t, str>> {
    let column = &table.columns[index];
    let From::Record(pointers) = &column.from else { return vec![Cow::Borrowed(column.name.as_str())] };
    let spelling = respelled.iter().find(|(column, _)| *column == index).map_or(0, |(_, spelling)| *spelling);
    let Some((up, pointer)) = pointers.get(spelling) else { return Vec::new() };
    let escaped = |name: &String| match serde_json::to_string(name) {
        Ok(quoted) => Cow::Owned(json::inner(&quoted).to_string()),
        Err(_) => Cow::Owned(String::new()),
    };
    let outer = std::iter::repeat_n(Cow::Borrowed(".."), *up);
    outer.chain(pointer.0.iter().map(escaped)).collect()
}

fn unexpected(what: String) -> Error {
    Error::contract(what).hint("the API's answer is not the documented one; nothing of this table was changed")
}

/// An answer that is not JSON, with what to do about it.
pub(crate) fn malformed(e: Malformed) -> Error {
    Error::contract(e.to_string()).hint("the answer was cut short or is not JSON; the next run asks again")
}

/// What was found instead, short enough for a message; text is not quoted, it may be personal.
fn found(text: &str) -> String {
    let text = text.trim();
    match Kind::of(text) {
        Kind::Number if text.len() <= 24 => format!("the number {text}"),
        kind => kind.word().to_string(),
    }
}
