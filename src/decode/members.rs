//! One object of an answer: each of its members to the column that takes it, or to `_extra`.
//!
//! Most objects of a list have their members in one order and their values written in
//! one way. So the member that came next the last time is compared with what comes next
//! now, and its value is read and appended in one step; all else takes the longer way.

use super::extra::Spare;
use super::json::{Kind, Malformed, Scanner};
use super::scalar::Fit;
use super::shape::Node;
use super::{Decoder, malformed, uncut};
use crate::error::Result;

/// What one row has beside the values in its columns; of a record that encloses rows, what it gives to them.
#[derive(Default)]
pub(super) struct Row<'a> {
    pub(super) spares: Vec<Spare<'a>>,
    pub(super) unfit: Vec<Unfit<'a>>,
    /// Values that name a member which another column takes, by their column.
    pub(super) names: Vec<(usize, &'a str)>,
    /// Columns in which a value of this record stands for the rows inside.
    pub(super) stand: Vec<usize>,
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

impl Unfit<'_> {
    /// How many of its pointer's names lead to the value.
    pub(super) fn names(&self) -> usize {
        match self.fit {
            Fit::NoObject(depth) => depth,
            _ => usize::MAX,
        }
    }
}

impl<'a> Row<'a> {
    /// Becomes the row of a record inside of `outer`, without allocating anew.
    pub(super) fn begin(&mut self, outer: &Row<'a>, position: usize) {
        self.spares.clone_from(&outer.spares);
        self.unfit.clone_from(&outer.unfit);
        self.names.clone_from(&outer.names);
        self.stand.clear();
        self.weight = outer.weight;
        self.position = position;
    }
}

/// One object's members, and how far they were read.
pub(super) struct Members<'n> {
    node: &'n Node,
    entered: bool,
    first: bool,
    /// The last one that the table knows.
    last: Option<usize>,
    /// Whether its values stand for the rows inside; else they are its own row's.
    stands: bool,
    /// Whether to stop before the list of records, if all that its rows need of the object is there.
    pub(super) stops: bool,
}

impl<'n> Members<'n> {
    pub(super) fn new(node: &'n Node, stands: bool) -> Members<'n> {
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
    pub(super) fn fill<'a>(
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
            if known.rows_below && !matches!(Kind::of(value), Kind::Null | Kind::Object) {
                // The list would be inside: it is not missing, there is something else instead.
                *rows = Some(value);
            }
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
        if known.members.is_empty() || Kind::of(value) == Kind::Object {
            if !taken {
                spare(above, name, value, row);
            }
            return Ok(());
        }
        // A member with documented insides that is null has nothing to keep.
        if Kind::of(value) != Kind::Null {
            self.no_object(known, 1 + outer(above).count(), value, row);
            if !taken && known.below.is_empty() {
                spare(above, name, value, row);
            }
        }
        Ok(())
    }

    /// A value where an object was expected: it fits none of the columns whose values would be inside.
    fn no_object<'a>(&self, known: &Node, depth: usize, value: &'a str, row: &mut Row<'a>) {
        let fit = Fit::NoObject(depth);
        row.unfit.extend(known.below.iter().map(|&(column, spelling)| Unfit { column, spelling, value, fit }));
        row.weight += value.len();
    }

    /// The text of an object, for the columns that take it whole: in the place of what they had.
    pub(super) fn whole<'a>(&mut self, node: &Node, value: &'a str, stands: bool, row: &mut Row<'a>) -> Result<()> {
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
pub(super) struct Above<'p, 'a> {
    above: Option<&'p Above<'p, 'a>>,
    name: &'a str,
}

/// The names around a member, innermost first.
fn outer<'p, 'a>(above: Option<&'p Above<'p, 'a>>) -> impl Iterator<Item = &'a str> + use<'p, 'a> {
    std::iter::successors(above, |member| member.above).map(|member| member.name)
}

fn spare<'a>(above: Option<&Above<'_, 'a>>, name: &'a str, value: &'a str, row: &mut Row<'a>) {
    let mut path: Vec<&str> = std::iter::once(name).chain(outer(above)).collect();
    path.reverse();
    row.spares.push(Spare { path, value });
}

/// Of two lists one would be lost, and its rows would look deleted.
pub(super) fn twice(scanner: &Scanner<'_>) -> Malformed {
    Malformed { at: scanner.position(), what: "the list of records comes twice" }
}
