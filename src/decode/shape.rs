//! A table's columns as a tree of member names, one tree for each level of nesting.
//!
//! Level 0 is the answer, the last level is the record; what lies between are
//! the records that enclose it (buckets). Built once for a table, then walked
//! along with the text of every answer.

use std::cell::Cell;

use super::json;
use crate::schema::{From, Pointer, Table};

/// What to do with one member, and with what is inside it.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) members: Vec<Member>,
    /// The member that the last object began with.
    first: Cell<usize>,
    /// Columns that take this value, and which of its spellings this is for the column.
    pub(super) columns: Vec<(usize, usize)>,
    /// The column, where it alone takes the value and nothing else is to be done with it.
    pub(super) only: Option<usize>,
    /// Another column takes the member of which this value is the name.
    pub(super) names: bool,
    /// The list of the next level's records.
    pub(super) rows: bool,
    /// That list is inside this member.
    pub(super) rows_below: bool,
    /// Columns that take a value from inside this member, and by which of their spellings.
    pub(super) below: Vec<(usize, usize)>,
    /// Of a level: all columns that take their value from its objects.
    pub(super) gives: Vec<usize>,
    /// Known, and deliberately not kept.
    pub(super) ignored: bool,
}

#[derive(Debug)]
pub(super) struct Member {
    name: String,
    /// `"name":`, when JSON writes the name as it is.
    written: Option<String>,
    /// The member that came after it last.
    next: Cell<usize>,
    pub(super) node: Node,
}

impl Member {
    fn new(name: &str, next: usize) -> Member {
        let plain = name.chars().all(|c| c >= ' ' && c != '"' && c != '\\');
        let written = plain.then(|| format!("\"{name}\":"));
        Member { name: name.to_string(), written, next: Cell::new(next), node: Node::default() }
    }
}

impl Node {
    fn at(&mut self, pointer: &Pointer) -> &mut Node {
        pointer.0.iter().fold(self, |node, name| {
            let index = match node.position(name) {
                Some(index) => index,
                None => {
                    node.members.push(Member::new(name, node.members.len() + 1));
                    node.members.len() - 1
                }
            };
            &mut node.members[index].node
        })
    }

    /// The name of the list, when it is all that is wanted of this object.
    pub(super) fn only_list(&self) -> Option<&str> {
        let wanted = |node: &Node| node.rows || !node.columns.is_empty() || !node.members.is_empty();
        let mut members = self.members.iter().filter(|member| wanted(&member.node));
        let Member { name, node, .. } = members.next()?;
        let only = members.next().is_none() && self.columns.is_empty();
        (only && node.rows && node.columns.is_empty() && node.members.is_empty()).then_some(name)
    }

    /// The member of that name, as it stands between its quotes.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        match json::has_escape(name) {
            true => self.position(&json::unescape(name)?),
            false => self.position(name),
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.name == name)
    }

    /// The member that came after this one the last time, and how its name is written: the records of a list
    /// mostly have theirs in one order.
    pub(super) fn guess(&self, last: Option<usize>) -> Option<(usize, &str)> {
        let index = self.next(last)?.get();
        Some((index, self.members.get(index)?.written.as_deref()?))
    }

    /// Notes what came after it this time.
    pub(super) fn learn(&self, last: Option<usize>, index: usize) {
        if let Some(next) = self.next(last) {
            next.set(index);
        }
    }

    fn next(&self, last: Option<usize>) -> Option<&Cell<usize>> {
        match last {
            None => Some(&self.first),
            Some(last) => Some(&self.members.get(last)?.next),
        }
    }
}

/// One tree for each level, the answer first.
pub(super) fn levels(table: &Table) -> Vec<Node> {
    let depth = table.record_rows.len();
    let mut levels: Vec<Node> = (0..=depth).map(|_| Node::default()).collect();
    for (level, pointer) in table.record_rows.iter().enumerate() {
        levels[level].at(pointer).rows = true;
    }
    let mut place = |up: usize, pointer: &Pointer, set: &dyn Fn(&mut Node)| {
        if let Some(level) = depth.checked_sub(up) {
            set(levels[level].at(pointer));
        }
    };
    let names = |index| table.columns.iter().any(|column| column.from == From::NamedBy(index));
    for (index, column) in table.columns.iter().enumerate() {
        if let From::Record(pointers) = &column.from {
            for (spelling, (up, pointer)) in pointers.iter().enumerate() {
                place(*up, pointer, &|node| {
                    node.columns.push((index, spelling));
                    node.names |= names(index);
                });
                place(*up, &Pointer::default(), &|level| level.gives.push(index));
            }
        }
    }
    for (up, pointer) in &table.ignore {
        place(*up, pointer, &|node| node.ignored = true);
    }
    levels.iter_mut().for_each(single);
    levels
}

/// Finds the members that have a column of their own, and what is inside the others.
fn single(node: &mut Node) {
    if let ([(column, _)], [], false, false) = (node.columns.as_slice(), node.members.as_slice(), node.rows, node.names)
    {
        node.only = Some(*column);
    }
    node.members.iter_mut().for_each(|member| single(&mut member.node));
    let inside = |member: &Member| member.node.columns.iter().chain(&member.node.below).copied().collect::<Vec<_>>();
    node.below = node.members.iter().flat_map(inside).collect();
    node.rows_below = node.members.iter().any(|member| member.node.rows || member.node.rows_below);
}
