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

use super::extra::Spare;
use super::json::{self, Kind, Malformed, Scanner};
use super::scalar::Fit;
use super::shape::Node;
use super::{Bound, Decoder, found, malformed, uncut, unexpected};
use crate::error::{Error, Result};
use crate::schema::Table;

/// What one row has beside the values in its columns; of a record that encloses rows, what it gives to them.
#[derive(Default)]
pub(super) struct Row<'a> {
    pub(super) spares: Vec<Spare<'a>>,
    pub(super) unfit: Vec<Unfit<'a>>,
    /// Values that name a member which another column takes, by their column.
    pub(super) names: Vec<(usize, &'a str)>,
    /// Columns in which a value of this record stands for the rows inside.
    stand: Vec<usize>,
    /// Bytes of its values.
    pub(super) weight: usize,
    /// Where it stands in its list.
    pub(super) position: usize,
}

/// A value that its column does not have, or not as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfit<'a> {
    pub(super) column: usize,
    /// By which of the column's spellings it came.
    pub(super) spelling: usize,
    pub(super) value: &'a str,
    pub(super) fit: Fit,
}

impl<'a> Row<'a> {
    /// Becomes the row of a record inside of `outer`, without allocating anew.
    fn begin(&mut self, outer: &Row<'a>, position: usize) {
        self.spares.clone_from(&outer.spares);
        self.unfit.clone_from(&outer.unfit);
        self.names.clone_from(&outer.names);
        self.stand.clear();
        self.weight = outer.weight;
        self.position = position;
    }
}

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
                self.leave(row);
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
        self.leave(row);
        Ok(())
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

/// Of two lists one would be lost, and its rows would look deleted.
fn twice(scanner: &Scanner<'_>) -> Malformed {
    Malformed { at: scanner.position(), what: "the list of records comes twice" }
}

/// One object's members, and how far they were read.
struct Members<'n> {
    node: &'n Node,
    entered: bool,
    first: bool,
    /// The last one that the table knows.
    last: Option<usize>,
    /// Whether its values stand for the rows inside; else they are its own row's.
    stands: bool,
    /// Whether to stop before the list of records, if all that its rows need of the object is there.
    stops: bool,
}

impl<'n> Members<'n> {
    fn new(node: &'n Node, stands: bool) -> Members<'n> {
        Members { node, entered: false, first: true, last: None, stands, stops: false }
    }

    /// The next member's name, and which one it is if the table knows it; none at the object's end.
    #[inline]
    fn next<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
    ) -> std::result::Result<Option<(&'a str, Option<usize>)>, Malformed> {
        let guess = self.node.guess(self.last);
        if let Some((index, written)) = guess
            && let Some(name) = scanner.member_named(&mut self.first, written)
        {
            self.last = Some(index);
            return Ok(Some((name, self.last)));
        }
        let Some(name) = scanner.member(&mut self.first)? else { return Ok(None) };
        let index = self.node.find(name);
        if let Some(index) = index {
            self.node.learn(self.last, index);
        }
        self.last = index.or(self.last);
        Ok(Some((name, index)))
    }
}

impl Decoder {
    /// Gives the values of one object to their columns; true when it stopped before the list, and is to be
    /// called again after it. Recursion goes as deep as the table's tree, no deeper.
    fn fill<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        members: &mut Members<'_>,
        above: Option<&Above<'_, 'a>>,
        row: &mut Row<'a>,
        rows: &mut Option<&'a str>,
    ) -> std::result::Result<bool, Malformed> {
        let (node, stands) = (members.node, members.stands);
        if !std::mem::replace(&mut members.entered, true) {
            scanner.enter(b'{')?;
        }
        while let Some((name, index)) = members.next(scanner)? {
            let Some(known) = index.and_then(|index| node.members.get(index)).map(|member| &member.node) else {
                let value = scanner.value()?;
                spare(above, name, value, row);
                continue;
            };
            let next = scanner.peek()?;
            if let (Some(index), false) = (known.only, stands)
                && !self.columns[index].is_taken(self.turn)
                && let Some(length) = self.columns[index].push_next(self.rows, self.turn, next, scanner)
            {
                row.weight += length;
                continue;
            }
            if !known.members.is_empty() && next == b'{' {
                let own = row.spares.len();
                let start = scanner.position();
                let inner = Some(&Above { above, name });
                self.fill(scanner, &mut Members::new(known, stands), inner, row, rows)?;
                if !known.columns.is_empty() {
                    // Kept whole by a column, so nothing inside is spare.
                    row.spares.truncate(own);
                    self.give(known, stands, above, name, scanner.since(start), row)?;
                }
                continue;
            }
            if known.rows {
                let alone = known.columns.is_empty() && rows.is_none() && self.have(&node.gives);
                if std::mem::take(&mut members.stops) && alone && next == b'[' {
                    return Ok(true);
                }
                // Its text is checked when its records are walked.
                let value = scanner.leap()?;
                if rows.replace(value).is_some() {
                    return Err(twice(scanner));
                }
                self.give(known, stands, above, name, value, row)?;
                continue;
            }
            let value = scanner.value()?;
            self.give(known, stands, above, name, value, row)?;
        }
        Ok(false)
    }

    /// Whether all these columns have their values.
    fn have(&self, columns: &[usize]) -> bool {
        columns.iter().all(|column| self.columns[*column].is_taken(self.turn))
    }

    /// Gives a value to its columns, or keeps it where no column takes it.
    fn give<'a>(
        &mut self,
        known: &Node,
        stands: bool,
        above: Option<&Above<'_, 'a>>,
        name: &'a str,
        value: &'a str,
        row: &mut Row<'a>,
    ) -> std::result::Result<(), Malformed> {
        let mut taken = known.rows || known.ignored;
        for &(column, spelling) in &known.columns {
            // A column with two spellings, or a name that comes twice: the first value stays.
            if !self.columns[column].is_taken(self.turn) {
                self.put(column, spelling, stands, value, row)?;
                taken = true;
                if known.names {
                    row.names.push((column, value));
                }
            }
        }
        // A member with documented insides that is null has nothing to keep.
        let nothing = Kind::of(value) == Kind::Null && !known.members.is_empty();
        if !taken && !nothing {
            spare(above, name, value, row);
        }
        Ok(())
    }

    /// The text of an object, for the columns that take it whole: in the place of what they had.
    fn whole<'a>(&mut self, node: &Node, value: &'a str, stands: bool, row: &mut Row<'a>) -> Result<()> {
        for &(column, spelling) in &node.columns {
            self.columns[column].truncate(self.rows).map_err(uncut)?;
            row.unfit.retain(|unfit| unfit.column != column);
            self.put(column, spelling, stands, value, row).map_err(malformed)?;
        }
        Ok(())
    }

    /// One value into its column.
    pub(super) fn put<'a>(
        &mut self,
        column: usize,
        spelling: usize,
        stands: bool,
        value: &'a str,
        row: &mut Row<'a>,
    ) -> std::result::Result<(), Malformed> {
        let into = &mut self.columns[column];
        let fit = match stands {
            true => into.stand_for(self.rows, value)?,
            false => into.push(self.rows, self.turn, value)?,
        };
        if stands {
            row.stand.push(column);
        }
        if fit != Fit::Whole {
            row.unfit.push(Unfit { column, spelling, value, fit });
        }
        row.weight += value.len();
        Ok(())
    }
}

/// A member around the one that is being read.
#[derive(Clone, Copy)]
struct Above<'p, 'a> {
    above: Option<&'p Above<'p, 'a>>,
    name: &'a str,
}

fn spare<'a>(above: Option<&Above<'_, 'a>>, name: &'a str, value: &'a str, row: &mut Row<'a>) {
    let around = std::iter::successors(above, |member| member.above).map(|member| member.name);
    let mut path: Vec<&str> = std::iter::once(name).chain(around).collect();
    path.reverse();
    row.spares.push(Spare { path, value });
}
