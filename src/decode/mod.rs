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
mod walk;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::error::{Error, Result};
use crate::schema::{From, Policy, Table};
use column::{Column, Fit, Rest};
use extra::Spare;
use json::{Kind, Malformed, Scanner};
use shape::Node;
pub(crate) use value::decimal_text;
use walk::{Row, Work};

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
    /// Columns that have a value in each row without a member of the record that is theirs alone.
    own: Vec<usize>,
    /// The column for what no other covers.
    extra: Option<usize>,
    rows: usize,
    /// About how many bytes they hold.
    weight: usize,
    misfits: BTreeMap<String, Misfit>,
    scratch: String,
}

/// Rows that were decoded up to some moment.
struct Mark {
    rows: usize,
    weight: usize,
    misfits: BTreeMap<String, Misfit>,
}

/// Broken lines of a file that are told one by one.
const TOLD: usize = 10;

/// What the rows of one answer may come to, in bytes: what encloses a record is copied to it.
const UNFOLDED: usize = 512 << 20;

/// The values bound into a request, by name.
pub(crate) type Bound<'a> = dyn Fn(&str) -> Option<String> + Sync + 'a;

impl Decoder {
    /// `synced_at` is the moment of the run, in microseconds since 1970 UTC.
    pub(crate) fn new(table: Arc<Table>, synced_at: i64) -> Decoder {
        let rest = |from: &From| match from {
            From::SyncedAt | From::VersionStart => Rest::Micros(synced_at),
            From::Deleted => Rest::Flag(false),
            From::Current => Rest::Flag(true),
            _ => Rest::Null,
        };
        let is_own =
            |index: &usize| matches!(table.columns[*index].from, From::Bound(_) | From::Position | From::NamedBy(_));
        Decoder {
            schema: table.arrow(),
            levels: shape::levels(&table),
            columns: table.columns.iter().map(|c| Column::new(c.kind, rest(&c.from))).collect(),
            own: (0..table.columns.len()).filter(is_own).collect(),
            extra: table.position(&From::Extra),
            rows: 0,
            weight: 0,
            misfits: BTreeMap::new(),
            scratch: String::new(),
            table,
        }
    }

    /// Rows decoded and not yet taken.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Whether the rows so far are worth being taken.
    fn is_full(&self, most: usize) -> bool {
        self.rows >= most || self.weight > UNFOLDED / 16
    }

    pub(crate) fn misfits(&self) -> &BTreeMap<String, Misfit> {
        &self.misfits
    }

    /// The rows so far, as a batch.
    pub(crate) fn take(&mut self) -> Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        self.weight = 0;
        let arrays = self.columns.iter_mut().map(|column| column.finish(rows)).collect();
        RecordBatch::try_new(self.schema.clone(), arrays)
            .map_err(|e| Error::contract(format!("rows of unequal length: {e}")))
    }

    /// Decodes one answer whole; gives the number of its rows.
    pub(crate) fn page(&mut self, text: &str, bound: &Bound<'_>) -> Result<usize> {
        let before = self.rows;
        let mut walk = self.walk(text, bound)?;
        match self.more(&mut walk, usize::MAX)? {
            true => {
                Err(unexpected("the answer holds more than is decoded at once: take its rows in batches".to_string()))
            }
            false => Ok(self.rows - before),
        }
    }

    /// Decodes a file of records: JSON Lines, also without a last newline or with
    /// several records on a line. Gives the number of rows, and the errors of
    /// lines that are none: the lines after them are read all the same.
    pub(crate) fn lines(&mut self, text: &str, bound: &Bound<'_>) -> (usize, Vec<Error>) {
        let before = self.rows;
        let (mut start, mut errors) = (0, Vec::new());
        let (mut line, mut counted, mut broken) = (1, 0, 0);
        while let Some((begun, error)) = self.records(&text[start..], bound) {
            let begun = start + begun;
            line += text[counted..begun].matches('\n').count();
            counted = begun;
            broken += 1;
            if broken <= TOLD {
                errors.push(error.at(format!("line {line}")));
            }
            // On with the line after the one on which the broken record began: it may
            // have taken half of the next one with it.
            start = text[begun..].find('\n').map_or(text.len(), |i| begun + i + 1);
        }
        if broken > TOLD {
            let more = broken - TOLD;
            errors.push(unexpected(format!("{more} more lines that are no records")));
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
        let mut work = Work::new(self.bound(bound), &self.table);
        let mut row = Row::new(self.columns.len());
        let levels = std::mem::take(&mut self.levels);
        let walked = self.level(&levels, scanner, &mut row, &mut work);
        self.levels = levels;
        walked.map_err(|e| work.at(e))
    }

    fn bound(&self, bound: &Bound<'_>) -> Vec<Option<String>> {
        let value = |c: &crate::schema::Column| match &c.from {
            From::Bound(name) => bound(name),
            _ => None,
        };
        self.table.columns.iter().map(value).collect()
    }

    /// Appends one row.
    fn push(&mut self, row: &mut Row<'_>, work: &Work) -> Result<()> {
        self.identified(row)?;
        self.weight += row.weight();
        let mut unfit: Vec<(usize, &str)> = Vec::new();
        for &index in &row.noted {
            let Some(value) = row.values[index] else { continue };
            self.put(index, value, work, &mut unfit)?;
        }
        for place in 0..self.own.len() {
            let index = self.own[place];
            match &self.table.columns[index].from {
                From::NamedBy(by) => {
                    let Some(value) = take_named(row, *by) else { continue };
                    self.put(index, value, work, &mut unfit)?;
                }
                From::Position => self.put(index, &row.position.to_string(), work, &mut Vec::new())?,
                _ => {
                    let Some(text) = &work.bound[index] else { continue };
                    self.columns[index].push_text(self.rows, text);
                }
            }
        }
        unfit.sort_by_key(|(index, _)| *index);
        // Last, when it is known what did not fit.
        self.spare(row, &unfit)?;
        if let (Some(index), false) = (self.extra, self.scratch.is_empty()) {
            self.columns[index].push_text(self.rows, &self.scratch);
        }
        self.rows += 1;
        self.weight += self.scratch.len();
        match self.weight > UNFOLDED {
            true => Err(unexpected(format!("its rows come to more than {} MiB", UNFOLDED >> 20))),
            false => Ok(()),
        }
    }

    /// One value of the row into its column.
    fn put<'a>(&mut self, index: usize, value: &'a str, work: &Work, unfit: &mut Vec<(usize, &'a str)>) -> Result<()> {
        match self.columns[index].push(self.rows, value, &mut self.scratch).map_err(malformed)? {
            Fit::Whole => {}
            Fit::Rounded => unfit.push((index, value)),
            Fit::Not => {
                self.misfit(index, value, work);
                unfit.push((index, value));
            }
        }
        Ok(())
    }

    /// Where the rows stand, to come back to.
    fn mark(&self) -> Mark {
        Mark { rows: self.rows, weight: self.weight, misfits: self.misfits.clone() }
    }

    /// Forgets the rows since then.
    fn back_to(&mut self, mark: Mark) -> Result<()> {
        let forgotten = self.columns.iter_mut().try_for_each(|column| column.truncate(mark.rows));
        (self.rows, self.weight, self.misfits) = (mark.rows, mark.weight, mark.misfits);
        forgotten.map_err(|e| Error::contract(format!("rows could not be decoded again: {e}")))
    }

    /// Puts `_extra` together: what no column covers, and what did not fit.
    fn spare(&mut self, row: &Row<'_>, unfit: &[(usize, &str)]) -> Result<()> {
        if unfit.is_empty() {
            return extra::assemble(&row.spares, &mut self.scratch).map_err(malformed);
        }
        let place = |index: usize| path_of(&self.table, index, &row.respelled);
        let paths: Vec<Vec<Cow<'_, str>>> = unfit.iter().map(|(index, _)| place(*index)).collect();
        let mut spares: Vec<Spare<'_>> = row.spares.clone();
        for (path, (_, value)) in paths.iter().zip(unfit) {
            spares.push(Spare { path: path.iter().map(|n| n.as_ref()).collect(), value });
        }
        extra::assemble(&spares, &mut self.scratch).map_err(malformed)
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

    fn misfit(&mut self, index: usize, value: &str, work: &Work) {
        let column = &self.table.columns[index];
        let entry = self.misfits.entry(column.name.clone()).or_default();
        entry.count += 1;
        if entry.count == 1 {
            let (kind, place) = (column.kind.name(), work.place());
            entry.example = format!(
                "{place}{}: expected {kind}, found {}",
                column.from_text.as_deref().unwrap_or(""),
                found(value)
            );
        }
    }
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
