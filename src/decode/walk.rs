//! The walk along one answer: each value goes to its column when the walk comes to it.
//!
//! Each byte is looked at once. An answer's own list is walked where it stands,
//! record by record, so that a caller can take full batches out in between. So is
//! a list inside a record (a bucket's results) when all that the record gives to
//! its rows stands before it; else it is leapt over first. What encloses records
//! is read once and stands for all rows inside ([`Column::stand`]).
//!
//! [`Column::stand`]: super::column::Column::stand

use std::sync::Arc;

use super::json::{self, Kind, Malformed, Scanner};
use super::members::{Members, Row, twice};
use super::shape::Node;
use super::{Bound, Decoder, found, malformed, unexpected};
use crate::error::{Error, Result};
use crate::schema::Table;

/// Where in an answer the walk is.
pub(super) struct Work {
    /// In each of the table's lists, outermost first. Words are made of them only for messages.
    indices: Vec<usize>,
    table: Arc<Table>,
}

impl Work {
    pub(super) fn new(table: &Arc<Table>) -> Work {
        Work { indices: Vec::new(), table: Arc::clone(table) }
    }

    /// `/data/4/results/0`
    pub(super) fn place(&self) -> String {
        let steps = self.table.record_rows.iter().zip(&self.indices);
        steps.map(|(pointer, index)| format!("{pointer}/{index}")).collect()
    }

    pub(super) fn at(&self, error: Error) -> Error {
        let place = self.place();
        if place.is_empty() { error } else { error.at(place) }
    }
}

/// One answer on its way: what is decoded, and what is still to come.
pub(crate) struct Walk<'a> {
    scanner: Scanner<'a>,
    /// What the answer's own members give to its records.
    row: Row<'a>,
    record: Row<'a>,
    work: Work,
    /// The list's name, while the scanner stands among the answer's own members.
    list: Option<String>,
    first: bool,
    index: usize,
    over: bool,
}

impl Decoder {
    /// Begins with an answer; [`Decoder::more`] decodes it.
    ///
    /// `bound` holds the values bound into the request (`projects.id`, …).
    pub(crate) fn walk<'a>(&mut self, text: &'a str, bound: &Bound<'_>) -> Result<Walk<'a>> {
        let mut walk = Walk {
            scanner: Scanner::new(text),
            row: Row::default(),
            record: Row::default(),
            work: Work::new(&self.table),
            list: None,
            first: true,
            index: 0,
            over: false,
        };
        self.bind(bound);
        self.led(|decoder, levels| decoder.begin(levels, &mut walk)).map_err(|e| walk.work.at(e)).map(|()| walk)
    }

    /// Decodes until at least `most` rows wait to be taken; false when the answer is over.
    /// After an error the rows before it are still there, whole.
    pub(crate) fn more(&mut self, walk: &mut Walk<'_>, most: usize) -> Result<bool> {
        let more = self.led(|decoder, levels| decoder.go_on(levels, walk, most)).map_err(|e| walk.work.at(e))?;
        if !more {
            self.unbind();
        }
        Ok(more)
    }

    /// Walks by the table's tree. After an error only whole rows are left.
    pub(super) fn led<T>(&mut self, walk: impl FnOnce(&mut Decoder, &[Node]) -> Result<T>) -> Result<T> {
        let levels = std::mem::take(&mut self.levels);
        let walked = walk(self, &levels);
        self.levels = levels;
        if walked.is_err() {
            self.truncate(self.rows)?;
            self.unbind();
        }
        walked
    }

    /// Steps into the answer's list, or reads the one record that the answer is.
    fn begin<'a>(&mut self, levels: &[Node], walk: &mut Walk<'a>) -> Result<()> {
        let Some((node, inner)) = levels.split_first() else { return Ok(()) };
        if inner.is_empty() {
            walk.over = true;
            self.level(levels, &mut walk.scanner, &mut walk.row, &mut walk.work)?;
            return walk.scanner.end().map_err(malformed);
        }
        object(&mut walk.scanner)?;
        self.begin_list();
        let list = match node.only_list() {
            Some(name) => walk.find(name)?,
            None => self.envelope(node, walk)?,
        };
        if walk.list.is_some() {
            return Ok(());
        }
        let Some(list) = self.list(list, 0)? else {
            walk.over = true;
            return Ok(());
        };
        walk.scanner = Scanner::new(list);
        walk.scanner.enter(b'[').map(|_| ()).map_err(malformed)
    }

    /// Reads the answer's own members, the list among them.
    fn envelope<'a>(&mut self, node: &Node, walk: &mut Walk<'a>) -> Result<Option<&'a str>> {
        let (mut list, start) = (None, walk.scanner.position());
        self.turn += 1;
        self.fill(&mut walk.scanner, &mut Members::new(node, true), None, &mut walk.row, &mut list)
            .map_err(malformed)?;
        self.whole(node, walk.scanner.since(start), true, &mut walk.row)?;
        // The envelope of an answer is not data.
        walk.row.spares.clear();
        walk.scanner.end().map_err(malformed)?;
        Ok(list)
    }

    fn go_on(&mut self, levels: &[Node], walk: &mut Walk<'_>, most: usize) -> Result<bool> {
        let inner = levels.get(1..).unwrap_or_default();
        while !walk.over && !self.is_full(most) {
            if !walk.scanner.element(&mut walk.first).map_err(malformed)? {
                walk.end()?;
                break;
            }
            walk.work.indices.clear();
            walk.work.indices.push(walk.index);
            walk.record.begin(&walk.row, walk.index);
            self.level(inner, &mut walk.scanner, &mut walk.record, &mut walk.work)?;
            walk.index += 1;
        }
        Ok(!walk.over)
    }

    /// One record of some level: its own values first, then the list inside it.
    ///
    /// `row` comes with what the records around it give, and is spent.
    pub(super) fn level<'a>(
        &mut self,
        levels: &[Node],
        scanner: &mut Scanner<'a>,
        row: &mut Row<'a>,
        work: &mut Work,
    ) -> Result<()> {
        let Some((node, inner)) = levels.split_first() else { return Ok(()) };
        object(scanner)?;
        self.turn += 1;
        let depth = self.table.record_rows.len() - inner.len();
        let (own, start) = (row.spares.len(), scanner.position());
        let (mut members, mut rows) = (Members::new(node, !inner.is_empty()), None);
        members.stops = !inner.is_empty() && node.columns.is_empty();
        if self.fill(scanner, &mut members, None, row, &mut rows).map_err(malformed)? {
            self.enclose(row, own, 0, depth);
            let (before, known) = (self.mark(), row.spares.len());
            let start = scanner.position();
            scanner.enter(b'[').map_err(malformed)?;
            self.records_of(inner, scanner, row, work)?;
            rows = Some(scanner.since(start));
            self.turn += 1;
            self.fill(scanner, &mut members, None, row, &mut rows).map_err(malformed)?;
            self.enclose(row, known, known, depth);
            if row.spares.len() == known {
                self.end_of_bucket(inner.len(), row, work);
                return Ok(());
            }
            // Something that belongs to its rows came after the list: once more, with all of it.
            self.back_to(before)?;
        } else {
            if !node.columns.is_empty() {
                // A column that takes the record whole covers all its members.
                row.spares.truncate(own);
                self.whole(node, scanner.since(start), !inner.is_empty(), row)?;
            }
            if inner.is_empty() {
                return self.push(row, work);
            }
            self.enclose(row, own, 0, depth);
        }
        if let Some(list) = self.list(rows, depth)? {
            let mut scanner = Scanner::new(list);
            scanner.enter(b'[').map_err(malformed)?;
            self.records_of(inner, &mut scanner, row, work)?;
        }
        self.end_of_bucket(inner.len(), row, work);
        Ok(())
    }

    /// A record that encloses rows is complete: its day is noted, and nothing of it stands any longer.
    fn end_of_bucket(&mut self, up: usize, row: &Row<'_>, work: &Work) {
        if let Some(days) = &mut self.days {
            days.bucket(&self.columns, up, work);
        }
        self.leave(row);
    }

    /// Nothing of a record stands any longer.
    fn leave(&mut self, row: &Row<'_>) {
        row.stand.iter().for_each(|column| self.columns[*column].leave(self.rows));
    }

    /// What is left over of a record gets to the rows inside it, as of one level further up.
    fn enclose(&self, row: &mut Row<'_>, own: usize, from: usize, depth: usize) {
        // The envelope of an answer is not data; and what encloses a follower's
        // records is kept by the table that it follows.
        match depth == 0 || self.table.same_as.is_some() {
            true => row.spares.truncate(own),
            false => row.spares.iter_mut().skip(from).for_each(|spare| spare.path.insert(0, "..")),
        }
    }

    /// The records of a list, up to its end.
    fn records_of<'a>(
        &mut self,
        levels: &[Node],
        scanner: &mut Scanner<'a>,
        outer: &Row<'a>,
        work: &mut Work,
    ) -> Result<()> {
        let (length, mut record) = (work.indices.len(), Row::default());
        self.begin_list();
        let (mut first, mut index) = (true, 0_usize);
        while scanner.element(&mut first).map_err(malformed)? {
            work.indices.truncate(length);
            work.indices.push(index);
            record.begin(outer, index);
            self.level(levels, scanner, &mut record, work)?;
            index += 1;
        }
        work.indices.truncate(length);
        Ok(())
    }

    /// The list of the next level's records; none where it may be missing.
    fn list<'a>(&self, found_there: Option<&'a str>, depth: usize) -> Result<Option<&'a str>> {
        let pointer = || self.table.record_rows.get(depth).map(ToString::to_string).unwrap_or_default();
        match found_there.filter(|list| Kind::of(list) != Kind::Null) {
            Some(list) if Kind::of(list) == Kind::Array => Ok(Some(list)),
            Some(list) => Err(unexpected(format!("`{}`: a list was expected, found {}", pointer(), found(list)))),
            // An answer always has its list; a record of a file, or one that encloses, may have none.
            None if self.table.request.rows_may_be_absent && (depth > 0 || self.table.files.is_some()) => Ok(None),
            None => Err(unexpected(format!("the list `{}` is missing", pointer()))),
        }
    }
}

impl<'a> Walk<'a> {
    /// Goes to the list where it stands; what is there instead of a list is given.
    fn find(&mut self, name: &str) -> Result<Option<&'a str>> {
        self.scanner.enter(b'{').map_err(malformed)?;
        if !member(&mut self.scanner, name, &mut true).map_err(malformed)? {
            self.scanner.end().map_err(malformed)?;
            return Ok(None);
        }
        if !self.scanner.enter(b'[').map_err(malformed)? {
            return self.scanner.value().map(Some).map_err(malformed);
        }
        self.list = Some(name.to_string());
        Ok(None)
    }

    /// After the last record: what is left of the answer.
    fn end(&mut self) -> Result<()> {
        self.over = true;
        self.work.indices.clear();
        if let Some(name) = self.list.take()
            && member(&mut self.scanner, &name, &mut false).map_err(malformed)?
        {
            return Err(malformed(twice(&self.scanner)));
        }
        self.scanner.end().map_err(malformed)
    }
}

/// Whether the answer, or a record, is an object.
fn object(scanner: &mut Scanner<'_>) -> Result<()> {
    if scanner.peek().map_err(malformed)? == b'{' {
        return Ok(());
    }
    let text = scanner.value().map_err(malformed)?;
    Err(unexpected(format!("an object was expected, found {}", found(text))))
}

/// Goes to the member of that name, over the others; false when there is none up to the object's end.
fn member(scanner: &mut Scanner<'_>, name: &str, first: &mut bool) -> std::result::Result<bool, Malformed> {
    while let Some(found) = scanner.member(first)? {
        if found == name || (json::has_escape(found) && json::unescape(found).is_some_and(|n| n == name)) {
            return Ok(true);
        }
        scanner.skip()?;
    }
    Ok(false)
}
