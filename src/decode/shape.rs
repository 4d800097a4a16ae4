//! A table's columns as a tree of member names, one tree for each level of nesting.
//!
//! Level 0 is the answer, the last level is the record; what lies between are
//! the records that enclose it (buckets). Built once for a table, then walked
//! along with the text of every answer.

use crate::schema::{From, Pointer, Table};

/// What to do with one member, and with what is inside it.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) members: Vec<(String, Node)>,
    /// Columns that take this value, and which of its spellings this is for the column.
    pub(super) columns: Vec<(usize, usize)>,
    /// The list of the next level's records.
    pub(super) rows: bool,
    /// Known, and deliberately not kept.
    pub(super) ignored: bool,
}

impl Node {
    fn at(&mut self, pointer: &Pointer) -> &mut Node {
        pointer.0.iter().fold(self, |node, name| {
            let index = match node.members.iter().position(|(n, _)| n == name) {
                Some(index) => index,
                None => {
                    node.members.push((name.clone(), Node::default()));
                    node.members.len() - 1
                }
            };
            &mut node.members[index].1
        })
    }

    /// The name of the list, when it is all that is wanted of this object.
    pub(super) fn only_list(&self) -> Option<&str> {
        let wanted = |node: &Node| node.rows || !node.columns.is_empty() || !node.members.is_empty();
        let mut members = self.members.iter().filter(|(_, node)| wanted(node));
        let (name, node) = members.next()?;
        let only = members.next().is_none() && self.columns.is_empty();
        (only && node.rows && node.columns.is_empty() && node.members.is_empty()).then_some(name)
    }

    /// The member of that name. They mostly come in the same order in every
    /// record, so the one after the last found is tried first.
    pub(super) fn member(&self, name: &str, hint: &mut usize) -> Option<&Node> {
        if let Some((n, node)) = self.members.get(*hint)
            && n == name
        {
            *hint += 1;
            return Some(node);
        }
        let index = self.members.iter().position(|(n, _)| n == name)?;
        *hint = index + 1;
        Some(&self.members[index].1)
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
    for (index, column) in table.columns.iter().enumerate() {
        if let From::Record(pointers) = &column.from {
            for (spelling, (up, pointer)) in pointers.iter().enumerate() {
                place(*up, pointer, &|node| node.columns.push((index, spelling)));
            }
        }
    }
    for (up, pointer) in &table.ignore {
        place(*up, pointer, &|node| node.ignored = true);
    }
    levels
}
