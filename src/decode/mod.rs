//! Response bytes to Arrow, in one pass: no tree of values in between.
//!
//! A [`Decoder`] belongs to one table and one piece of work. It walks the text
//! of each answer along the table's tree of members, appends each value to its
//! column where it stands, and counts a row for each record. What no column
//! covers goes to `_extra`, what does not fit makes its column null and goes
//! there too: nothing is lost and nothing stops.
//!
//! Pure: text in, rows out.

mod column;
mod days;
#[cfg(test)]
mod every_member;
mod extra;
pub(crate) mod json;
mod keep;
mod members;
mod scalar;
mod shape;
#[cfg(test)]
mod tests;
mod value;
mod walk;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};

use crate::error::{Error, Result};
use crate::schema::{From, Pointer, Policy, Table};
use column::Column;
pub(crate) use days::Answered;
use days::Days;
use extra::Spare;
use json::{Kind, Malformed, Scanner};
use members::{Row, Unfit};
use scalar::{Fit, Scalar};
use shape::Node;
pub(crate) use value::decimal_text;
use walk::Work;

/// Values that did not fit a column: how many, and the first one's place and reason.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Misfit {
    pub(crate) count: u64,
    pub(crate) example: String,
}

/// Texts in which U+FFFD stands for what no reader takes: half of a surrogate pair or, in JSON, NUL.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Repaired {
    pub(crate) columns: BTreeMap<String, u64>,
    pub(crate) extra: u64,
}

impl Repaired {
    pub(crate) fn total(&self) -> u64 {
        self.columns.values().sum::<u64>() + self.extra
    }
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
    /// Goes up with each record: tells its values from those of the one before.
    turn: u64,
    /// About how many bytes the rows hold.
    weight: usize,
    misfits: BTreeMap<String, Misfit>,
    repaired: Repaired,
    days: Option<Days>,
    /// Of a replaced table: the row with which each list begins, and the list's number.
    lists: Option<Vec<(usize, u64)>>,
    scratch: String,
}

/// Rows that were decoded up to some moment.
struct Mark {
    rows: usize,
    weight: usize,
    misfits: BTreeMap<String, Misfit>,
    repaired: Repaired,
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
        let usual = |from: &From| match from {
            From::SyncedAt | From::VersionStart => Scalar::Micros(synced_at),
            From::Deleted => Scalar::Flag(false),
            From::Current => Scalar::Flag(true),
            _ => Scalar::Null,
        };
        let is_own = |index: &usize| matches!(table.columns[*index].from, From::Position | From::NamedBy(_));
        Decoder {
            schema: table.arrow(),
            levels: shape::levels(&table),
            columns: table.columns.iter().map(|c| Column::new(c.kind, usual(&c.from))).collect(),
            own: (0..table.columns.len()).filter(is_own).collect(),
            extra: table.position(&From::Extra),
            rows: 0,
            turn: 0,
            weight: 0,
            misfits: BTreeMap::new(),
            repaired: Repaired::default(),
            days: Days::of(&table),
            lists: (table.policy == Policy::Replace).then(|| vec![(0, 0)]),
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

    pub(crate) fn repaired(&self) -> &Repaired {
        &self.repaired
    }

    /// What was said of days since this was last asked; `None` for a table that is not replaced by day.
    pub(crate) fn take_days(&mut self) -> Option<Answered> {
        self.days.as_mut().map(Days::take)
    }

    /// For each row so far, the number of the list that it came in. Empty unless the table is a replaced one.
    pub(crate) fn lists_of_rows(&self) -> Vec<u64> {
        let Some(lists) = &self.lists else { return Vec::new() };
        let ends = lists.iter().skip(1).map(|(row, _)| *row).chain([self.rows]);
        let counts = lists.iter().zip(ends).map(|((row, list), end)| (*list, end.saturating_sub(*row)));
        counts.flat_map(|(list, count)| std::iter::repeat_n(list, count)).collect()
    }

    /// A list of rows begins here.
    fn begin_list(&mut self) {
        if let Some(lists) = &mut self.lists {
            let next = lists.last().map_or(0, |(_, list)| list + 1);
            lists.retain(|(row, _)| *row < self.rows);
            lists.push((self.rows, next));
        }
    }

    /// The rows so far, as a batch.
    pub(crate) fn take(&mut self) -> Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        self.weight = 0;
        if let Some(lists) = &mut self.lists {
            // The list may go on in the next batch.
            let last = lists.last().map_or(0, |(_, list)| *list);
            *lists = vec![(0, last)];
        }
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
        self.bind(bound);
        while !scanner.at_end() {
            let begun = scanner.position();
            let mut work = Work::new(&self.table);
            let walked =
                self.led(|decoder, levels| decoder.level(levels, &mut scanner, &mut Row::default(), &mut work));
            if let Err(error) = walked {
                return Some((begun, work.at(error)));
            }
        }
        self.unbind();
        None
    }

    /// The values bound into a request stand for all rows of its answer.
    fn bind(&mut self, bound: &Bound<'_>) {
        self.unbind();
        for (column, into) in self.table.columns.iter().zip(&mut self.columns) {
            if let From::Bound(name) = &column.from
                && let Some(value) = bound(name)
            {
                into.stand(self.rows, Scalar::Text(Cow::Owned(value)));
            }
        }
    }

    /// Nothing stands for the rows from here on.
    fn unbind(&mut self) {
        self.columns.iter_mut().for_each(|column| column.leave(self.rows));
    }

    /// Completes a row, all values of which are in their columns.
    fn push(&mut self, row: &mut Row<'_>, work: &Work) -> Result<()> {
        self.identified()?;
        for place in 0..self.own.len() {
            let index = self.own[place];
            match &self.table.columns[index].from {
                From::Position => {
                    let position = row.position.to_string();
                    self.columns[index].push(self.rows, self.turn, &position).map_err(malformed)?;
                }
                From::NamedBy(by) => {
                    let Some(value) = take_named(row, *by) else { continue };
                    self.put(index, 0, false, value, row).map_err(malformed)?;
                }
                _ => {}
            }
        }
        if let Some(days) = &mut self.days {
            days.row(&self.columns, self.rows, work);
        }
        self.weight += row.weight;
        row.unfit.sort_by_key(|unfit| (!matches!(unfit.fit, Fit::NoObject(_)), unfit.column));
        row.unfit.iter().for_each(|unfit| self.note(unfit, work));
        // Last, when it is known what did not fit.
        self.repaired.extra += self.spare(row)?;
        if let (Some(index), false) = (self.extra, self.scratch.is_empty()) {
            self.columns[index].push_scalar(self.rows, &Scalar::Text(Cow::Borrowed(&self.scratch)));
        }
        self.rows += 1;
        self.weight += self.scratch.len();
        match self.weight > UNFOLDED {
            true => Err(unexpected(format!("its rows come to more than {} MiB", UNFOLDED >> 20))),
            false => Ok(()),
        }
    }

    /// Where the rows stand, to come back to.
    fn mark(&self) -> Mark {
        let (misfits, repaired) = (self.misfits.clone(), self.repaired.clone());
        Mark { rows: self.rows, weight: self.weight, misfits, repaired }
    }

    /// Forgets the rows since then.
    fn back_to(&mut self, mark: Mark) -> Result<()> {
        (self.rows, self.weight) = (mark.rows, mark.weight);
        (self.misfits, self.repaired) = (mark.misfits, mark.repaired);
        self.truncate(mark.rows)
    }

    /// Forgets all rows but the first so many.
    fn truncate(&mut self, rows: usize) -> Result<()> {
        self.columns.iter_mut().try_for_each(|column| column.truncate(rows)).map_err(uncut)
    }

    /// Puts `_extra` together: what no column covers, and what did not fit.
    /// Returns the number of texts in it that were repaired.
    fn spare(&mut self, row: &Row<'_>) -> Result<u64> {
        if row.unfit.is_empty() {
            return extra::assemble(&row.spares, &mut self.scratch).map_err(malformed);
        }
        let unfit: Vec<&Unfit<'_>> = row.unfit.iter().filter(|unfit| unfit.fit != Fit::Repaired).collect();
        let paths: Vec<Vec<Cow<'_, str>>> = unfit.iter().map(|unfit| path_of(&self.table, unfit)).collect();
        let mut spares: Vec<Spare<'_>> = row.spares.clone();
        for (path, unfit) in paths.iter().zip(unfit) {
            spares.push(Spare { path: path.iter().map(|n| n.as_ref()).collect(), value: unfit.value });
        }
        extra::assemble(&spares, &mut self.scratch).map_err(malformed)
    }

    /// A row that nothing identifies would take the place of every other such row,
    /// and the real ones would look deleted. (A replaced day has no such rows: its
    /// keys are dimensions, and null is one of their values.)
    fn identified(&self) -> Result<()> {
        if self.table.policy == Policy::Replace {
            return Ok(());
        }
        let own = |index: &&usize| matches!(self.table.columns[**index].from, From::Record(_));
        let mut keys = self.table.key.iter().filter(own).peekable();
        let Some(first) = keys.peek().map(|index| &self.table.columns[**index]) else { return Ok(()) };
        match keys.any(|index| self.columns[*index].has(self.rows)) {
            true => Ok(()),
            false => Err(unexpected(format!("`{}` is missing, which identifies the record", first.name))),
        }
    }

    /// Counts a value that its column does not have as it came.
    fn note(&mut self, unfit: &Unfit<'_>, work: &Work) {
        let column = &self.table.columns[unfit.column];
        match unfit.fit {
            Fit::Not | Fit::NoObject(_) => {}
            Fit::Repaired => return *self.repaired.columns.entry(column.name.clone()).or_default() += 1,
            Fit::Whole | Fit::Rounded => return,
        }
        let entry = self.misfits.entry(column.name.clone()).or_default();
        entry.count += 1;
        if entry.count == 1 {
            let kind = if unfit.fit == Fit::Not { column.kind.name() } else { "object" };
            let at = pointer_of(column, unfit);
            entry.example = format!("{}{at}: expected {kind}, found {}", work.place(), found(unfit.value));
        }
    }
}

/// The member whose name is the value of column `by`, taken out of the spares.
fn take_named<'a>(row: &mut Row<'a>, by: usize) -> Option<&'a str> {
    let (_, name) = row.names.iter().rfind(|(column, value)| *column == by && Kind::of(value) == Kind::String)?;
    let name = json::unescape(json::inner(name))?.into_owned();
    let named = |s: &Spare<'_>| s.path.len() == 1 && json::unescape(s.path[0]).is_some_and(|n| n == name.as_str());
    let index = row.spares.iter().position(named)?;
    let Spare { path, value } = row.spares.remove(index);
    let secret = keep::is_secret(path[0]) && Kind::of(value) != Kind::Null;
    Some(if secret { keep::REDACTED } else { value })
}

/// The place of a value that did not fit, from its record on: `/amount/value`, or `/amount` where that is no object.
fn pointer_of(column: &crate::schema::Column, unfit: &Unfit<'_>) -> String {
    let From::Record(pointers) = &column.from else { return column.from_text.clone().unwrap_or_default() };
    let Some((up, pointer)) = pointers.get(unfit.spelling) else { return String::new() };
    let names = pointer.0.iter().take(unfit.names()).cloned().collect();
    format!("{}{}", "/..".repeat(*up), Pointer(names))
}

/// Where a value that did not fit goes in `_extra`: its own place, names as between quotes.
fn path_of<'t>(table: &'t Table, unfit: &Unfit<'_>) -> Vec<Cow<'t, str>> {
    let column = &table.columns[unfit.column];
    let From::Record(pointers) = &column.from else { return vec![Cow::Borrowed(column.name.as_str())] };
    let Some((up, pointer)) = pointers.get(unfit.spelling) else { return Vec::new() };
    let escaped = |name: &String| match serde_json::to_string(name) {
        Ok(quoted) => Cow::Owned(json::inner(&quoted).to_string()),
        Err(_) => Cow::Owned(String::new()),
    };
    let outer = std::iter::repeat_n(Cow::Borrowed(".."), *up);
    outer.chain(pointer.0.iter().take(unfit.names()).map(escaped)).collect()
}

fn unexpected(what: String) -> Error {
    Error::contract(what).hint("the API's answer is not the documented one; if it stays, report it with this message")
}

/// Rows that were to be forgotten.
fn uncut(e: ArrowError) -> Error {
    Error::contract(format!("rows could not be decoded again: {e}"))
}

/// An answer that is not JSON, with what to do about it.
pub(crate) fn malformed(e: Malformed) -> Error {
    Error::contract(e.to_string())
        .hint("the answer was cut short or is not JSON; if it stays, report it with this message")
}

/// What was found instead, short enough for a message; text is not quoted, it may be personal.
fn found(text: &str) -> String {
    let text = text.trim();
    match Kind::of(text) {
        Kind::Number if text.len() <= 24 => format!("the number {text}"),
        kind => kind.word().to_string(),
    }
}
