//! The walk along one answer: which text stands for which column.
//!
//! Each byte is looked at once. An answer's own list is walked where it stands,
//! record by record, so that a caller can take full batches out in between. So is
//! a list inside a record (a bucket's results) when all that the record gives to
//! its rows stands before it; else it is leapt over first.

use std::sync::Arc;

use super::extra::Spare;
use super::json::{self, Kind, Malformed, Scanner};
use super::shape::Node;
use super::{Bound, Decoder, found, malformed, unexpected};
use crate::error::{Error, Result};
use crate::schema::Table;

/// One row being put together: where each column's value stands in the text.
#[derive(Default)]
pub(super) struct Row<'a> {
    pub(super) values: Vec<Option<&'a str>>,
    /// The columns that have one, in the order in which the first came.
    pub(super) noted: Vec<usize>,
    pub(super) spares: Vec<Spare<'a>>,
    /// Columns whose value came by a later one of their spellings, and by which.
    pub(super) respelled: Vec<(usize, usize)>,
    /// Where it stands in its list.
    pub(super) position: usize,
}

impl<'a> Row<'a> {
    pub(super) fn new(columns: usize) -> Row<'a> {
        Row { values: vec![None; columns], ..Row::default() }
    }

    /// Becomes the row of a record inside of `outer`, without allocating anew.
    fn begin(&mut self, outer: &Row<'a>, position: usize) {
        self.values.resize(outer.values.len(), None);
        self.noted.drain(..).for_each(|column| self.values[column] = None);
        outer.noted.iter().for_each(|&column| self.note(column, outer.values[column]));
        self.spares.clone_from(&outer.spares);
        self.respelled.clone_from(&outer.respelled);
        self.position = position;
    }

    fn note(&mut self, column: usize, value: Option<&'a str>) {
        if std::mem::replace(&mut self.values[column], value).is_none() {
            self.noted.push(column);
        }
    }

    /// Whether the column has a value that stays.
    fn has(&self, column: usize) -> bool {
        self.values[column].is_some_and(|value| Kind::of(value) != Kind::Null)
    }

    /// Bytes of its values.
    pub(super) fn weight(&self) -> usize {
        self.noted.iter().filter_map(|column| self.values[*column]).map(str::len).sum()
    }
}

/// What one answer's rows share: the values bound into its request, and where the walk is.
pub(super) struct Work {
    pub(super) bound: Vec<Option<String>>,
    /// In each of the table's lists, outermost first. Words are made of them only for messages.
    indices: Vec<usize>,
    table: Arc<Table>,
}

impl Work {
    pub(super) fn new(bound: Vec<Option<String>>, table: &Arc<Table>) -> Work {
        Work { bound, indices: Vec::new(), table: Arc::clone(table) }
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
            row: Row::new(self.columns.len()),
            record: Row::default(),
            work: Work::new(self.bound(bound), &self.table),
            list: None,
            first: true,
            index: 0,
            over: false,
        };
        let levels = std::mem::take(&mut self.levels);
        let begun = self.begin(&levels, &mut walk);
        self.levels = levels;
        begun.map_err(|e| walk.work.at(e)).map(|()| walk)
    }

    /// Decodes until at least `most` rows wait to be taken; false when the answer is over.
    /// After an error the rows before it are still there, whole.
    pub(crate) fn more(&mut self, walk: &mut Walk<'_>, most: usize) -> Result<bool> {
        let levels = std::mem::take(&mut self.levels);
        let outcome = self.go_on(&levels, walk, most);
        self.levels = levels;
        outcome.map_err(|e| walk.work.at(e))
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
            None => walk.envelope(node)?,
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
        let depth = self.table.record_rows.len() - inner.len();
        let (own, start) = (row.spares.len(), scanner.position());
        let (mut members, mut rows) = (Members::new(node), None);
        members.stops = !inner.is_empty() && node.columns.is_empty();
        if fill(scanner, &mut members, None, row, &mut rows).map_err(malformed)? {
            self.enclose(row, own, 0, depth);
            let (before, known) = (self.mark(), row.spares.len());
            let start = scanner.position();
            scanner.enter(b'[').map_err(malformed)?;
            self.records_of(inner, scanner, row, work)?;
            rows = Some(scanner.since(start));
            fill(scanner, &mut members, None, row, &mut rows).map_err(malformed)?;
            self.enclose(row, known, known, depth);
            if row.spares.len() == known {
                return Ok(());
            }
            // Something that belongs to its rows came after the list: once more, with all of it.
            self.back_to(before)?;
        } else {
            if !node.columns.is_empty() {
                // A column that takes the record whole covers all its members.
                row.spares.truncate(own);
                node.columns.iter().for_each(|(column, _)| row.note(*column, Some(scanner.since(start))));
            }
            if inner.is_empty() {
                return self.push(row, work);
            }
            self.enclose(row, own, 0, depth);
        }
        let Some(list) = self.list(rows, depth)? else { return Ok(()) };
        let mut scanner = Scanner::new(list);
        scanner.enter(b'[').map_err(malformed)?;
        self.records_of(inner, &mut scanner, row, work)
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

    /// Reads the answer's own members, the list among them.
    fn envelope(&mut self, node: &Node) -> Result<Option<&'a str>> {
        let (mut list, start) = (None, self.scanner.position());
        fill(&mut self.scanner, &mut Members::new(node), None, &mut self.row, &mut list).map_err(malformed)?;
        for (column, _) in &node.columns {
            self.row.note(*column, Some(self.scanner.since(start)));
        }
        // The envelope of an answer is not data.
        self.row.spares.clear();
        self.scanner.end().map_err(malformed)?;
        Ok(list)
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
    /// Whether to stop before the list of records, if all that its rows need of the object is there.
    stops: bool,
}

impl<'n> Members<'n> {
    fn new(node: &'n Node) -> Members<'n> {
        Members { node, entered: false, first: true, last: None, stops: false }
    }
}

/// Notes the values of one object; true when it stopped before the list, and is to be called again after it.
/// Recursion goes as deep as the table's tree, no deeper.
fn fill<'a>(
    scanner: &mut Scanner<'a>,
    members: &mut Members<'_>,
    above: Option<&Above<'_, 'a>>,
    row: &mut Row<'a>,
    rows: &mut Option<&'a str>,
) -> std::result::Result<bool, Malformed> {
    let node = members.node;
    if !std::mem::replace(&mut members.entered, true) {
        scanner.enter(b'{')?;
    }
    loop {
        let guess = node.guess(members.last);
        let written = guess.map(|(_, written)| written);
        let Some((name, guessed)) = scanner.member_like(&mut members.first, written)? else { break };
        let index = match guess {
            Some((index, _)) if guessed => Some(index),
            _ => node.find(name),
        };
        if let (Some(index), false) = (index, guessed) {
            node.learn(members.last, index);
        }
        members.last = index.or(members.last);
        let known = index.and_then(|index| node.members.get(index)).map(|member| &member.node);
        let Some(known) = known else {
            let value = scanner.value()?;
            spare(above, name, value, row);
            continue;
        };
        if !known.members.is_empty() && scanner.peek()? == b'{' {
            let own = row.spares.len();
            let start = scanner.position();
            fill(scanner, &mut Members::new(known), Some(&Above { above, name }), row, rows)?;
            if !known.columns.is_empty() {
                // Kept whole by a column, so nothing inside is spare.
                row.spares.truncate(own);
                note(known, above, name, scanner.since(start), row);
            }
            continue;
        }
        if known.rows {
            let alone = known.columns.is_empty() && rows.is_none() && node.gives.iter().all(|c| row.has(*c));
            if std::mem::take(&mut members.stops) && alone && scanner.peek()? == b'[' {
                return Ok(true);
            }
            // Its text is checked when its records are walked.
            let value = scanner.leap()?;
            if rows.replace(value).is_some() {
                return Err(twice(scanner));
            }
            note(known, above, name, value, row);
            continue;
        }
        let value = scanner.value()?;
        note(known, above, name, value, row);
    }
    Ok(false)
}

/// Gives a value to its columns, or keeps it where no column takes it.
fn note<'a>(known: &Node, above: Option<&Above<'_, 'a>>, name: &'a str, value: &'a str, row: &mut Row<'a>) {
    let mut taken = known.rows || known.ignored;
    for &(column, spelling) in &known.columns {
        // A column with two spellings, or a name that comes twice: the first value stays.
        if !row.has(column) {
            row.note(column, Some(value));
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
        spare(above, name, value, row);
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
