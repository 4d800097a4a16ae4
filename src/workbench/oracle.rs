//! What the rows of an answer must be, told by other means than the decoder's.
//!
//! The promise under test is "nothing is lost and nothing is invented": each
//! member of a record is in the column that says so, or in `_extra` at its
//! place, with secrets replaced; and whatever `_extra` has was in the record.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};

use super::tree::{Tree, is_secret, redaction};
use crate::schema::{From, Policy, Table, Type};

/// The records of an answer, each with those that enclose it, the answer first;
/// and what is wrong with the first one that is none.
pub(super) fn records<'t>(table: &Table, answer: &'t Tree) -> (Vec<Vec<&'t Tree>>, Option<String>) {
    let (mut found, mut chain) = (Vec::new(), Vec::new());
    let wrong = walk(table, answer, &mut chain, &mut found).err();
    (found, wrong)
}

fn walk<'t>(
    table: &Table,
    record: &'t Tree,
    chain: &mut Vec<&'t Tree>,
    found: &mut Vec<Vec<&'t Tree>>,
) -> Result<(), String> {
    if !matches!(record, Tree::Object(_)) {
        return Err("a record is no object".to_string());
    }
    let level = chain.len();
    chain.push(record);
    let walked = match table.record_rows.get(level) {
        None => {
            found.push(chain.clone());
            Ok(())
        }
        Some(pointer) => match objects_only(record, &pointer.0) {
            Some(Tree::List(items)) => items.iter().try_for_each(|item| walk(table, item, chain, found)),
            None if blocked(record, &pointer.0) => Err("something else is where the list would be".to_string()),
            None | Some(Tree::Null) => {
                let may = table.request.rows_may_be_absent && (level > 0 || table.files.is_some());
                if may { Ok(()) } else { Err("the list is missing".to_string()) }
            }
            Some(_) => Err("the list is none".to_string()),
        },
    };
    chain.pop();
    walked
}

/// Whether something that is no object stands on the way.
fn blocked(tree: &Tree, path: &[String]) -> bool {
    let mut on_the_way = (1..path.len()).filter_map(|length| objects_only(tree, &path[..length]));
    on_the_way.any(|found| !matches!(found, Tree::Object(_) | Tree::Null))
}

fn objects_only<'t>(tree: &'t Tree, path: &[String]) -> Option<&'t Tree> {
    path.iter().try_fold(tree, |tree, name| match tree {
        Tree::Object(_) => tree.get(name),
        _ => None,
    })
}

/// One decoded row beside the record that it came from.
pub(super) struct Row<'t> {
    table: &'t Table,
    batch: &'t RecordBatch,
    row: usize,
    /// The answer first, the record last.
    chain: &'t [&'t Tree],
    extra: Tree,
}

impl<'t> Row<'t> {
    pub(super) fn new(
        table: &'t Table,
        batch: &'t RecordBatch,
        row: usize,
        chain: &'t [&'t Tree],
    ) -> Result<Row<'t>, String> {
        let extra = match batch.column_by_name("_extra").map(|c| c.as_string::<i32>()) {
            Some(texts) if texts.is_valid(row) => {
                Tree::read(texts.value(row)).map_err(|why| format!("`_extra` is {why:?}: {}", texts.value(row)))?
            }
            _ => Tree::Object(Vec::new()),
        };
        Ok(Row { table, batch, row, chain, extra })
    }

    /// What is wrong with the row, if anything.
    pub(super) fn check(&self) -> Result<(), String> {
        // A member of that name and what encloses the record share a place in `_extra`.
        if self.chain.iter().any(|record| record.get("..").is_some()) {
            return Ok(());
        }
        self.identified()?;
        let levels = self.chain.len() - 1;
        for (level, record) in self.chain.iter().enumerate() {
            let up = levels - level;
            // The envelope is not data; what encloses a follower's records is kept by the table it follows.
            let kept = up == 0 || (level > 0 && self.table.same_as.is_none());
            self.visit(up, &mut Vec::new(), record, kept)?;
        }
        self.not_invented(&self.extra, self.chain.last().copied(), levels, true)
    }

    /// A row that nothing identifies would take the place of every other such row.
    fn identified(&self) -> Result<(), String> {
        let mut own =
            self.table.key.iter().filter(|k| matches!(self.table.columns[**k].from, From::Record(_))).peekable();
        let needed = self.table.policy != Policy::Replace && own.peek().is_some();
        match needed && own.all(|key| self.batch.column(*key).is_null(self.row)) {
            true => Err("a row without any key".to_string()),
            false => Ok(()),
        }
    }

    /// One member, found at `path` in the record `up` levels out.
    fn visit(&self, up: usize, path: &mut Vec<String>, value: &Tree, kept: bool) -> Result<(), String> {
        let here = |(u, p): &(usize, crate::schema::Pointer)| *u == up && p.0 == *path;
        let below =
            |(u, p): &(usize, crate::schema::Pointer)| *u == up && p.0.len() > path.len() && p.0.starts_with(path);
        let columns = self.table.columns.iter().enumerate().filter_map(|(index, column)| match &column.from {
            From::Record(pointers) => Some((index, pointers)),
            _ => None,
        });
        let columns: Vec<_> = columns.collect();
        let rows: Vec<_> = self.table.record_rows.iter().enumerate().collect();
        let lists = rows.into_iter().map(|(level, p)| (self.chain.len() - 1 - level, p.clone())).collect::<Vec<_>>();
        let known = lists.iter().chain(&self.table.ignore);
        let taken = columns.iter().filter(|(_, pointers)| pointers.iter().any(here)).collect::<Vec<_>>();
        let whole = !taken.is_empty();
        let held = || taken.iter().any(|(index, _)| self.lands(*index, value)) || self.in_extra(up, path, value);
        if whole && *value != Tree::Null && !held() {
            return Err(format!("{} is neither in its column nor in `_extra`: {value:?}", shown(up, path)));
        }
        let deeper = columns.iter().any(|(_, p)| p.iter().any(below)) || known.clone().any(below);
        if let (Tree::Object(members), true) = (value, deeper || path.is_empty()) {
            for (name, member) in members {
                path.push(name.clone());
                self.visit(up, path, member, kept && !whole)?;
                path.pop();
            }
            return Ok(());
        }
        let nothing = *value == Tree::Null && deeper;
        let done = whole || nothing || !kept || known.clone().any(here) || path.is_empty();
        match done || self.named(up, path, value) || self.in_extra(up, path, value) {
            true => Ok(()),
            false => Err(format!("{} is not in `_extra`: {value:?}", shown(up, path))),
        }
    }

    /// Whether the column's value is this one.
    fn lands(&self, index: usize, value: &Tree) -> bool {
        let (array, row) = (self.batch.column(index), self.row);
        if array.is_null(row) {
            return *value == Tree::Null;
        }
        let digits = match value {
            Tree::Number(digits) | Tree::Text(digits) => digits.as_str(),
            _ => "",
        };
        let number = digits.parse::<f64>();
        let near = |found: f64| number.as_ref().is_ok_and(|n| (n - found).abs() <= n.abs() * 1e-12);
        match self.table.columns[index].kind {
            Type::String => match value {
                Tree::Bool(flag) => array.as_string::<i32>().value(row) == flag.to_string(),
                _ => !matches!(value, Tree::List(_) | Tree::Object(_)) && array.as_string::<i32>().value(row) == digits,
            },
            Type::Json => Tree::read(array.as_string::<i32>().value(row)) == Ok(value.redacted()),
            Type::Int => {
                let found = array.as_primitive::<Int64Type>().value(row);
                digits.parse::<i64>().map_or_else(|_| near(found as f64), |n| n == found)
            }
            Type::Float => near(array.as_primitive::<Float64Type>().value(row)),
            Type::Bool => *value == Tree::Bool(array.as_boolean().value(row)),
            Type::Decimal => {
                let units = array.as_primitive::<Decimal128Type>().value(row);
                number.as_ref().is_ok_and(|n| (n - units as f64 / 1e18).abs() <= n.abs() * 1e-9 + 1e-18)
            }
            Type::Timestamp => {
                let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                number.as_ref().map_or(!digits.is_empty(), |n| (n - micros as f64 / 1e6).abs() < 1e-3)
            }
            Type::Date => !digits.is_empty(),
        }
    }

    /// Whether a column that takes the member named by another column has it.
    fn named(&self, up: usize, path: &[String], value: &Tree) -> bool {
        let ([name], 0) = (path, up) else { return false };
        self.table.columns.iter().enumerate().any(|(index, column)| {
            let From::NamedBy(by) = &column.from else { return false };
            let texts = self.batch.column(*by).as_string::<i32>();
            let says = texts.is_valid(self.row) && texts.value(self.row).replace('\0', "\u{fffd}") == *name;
            says && (self.lands(index, value) || self.lands(index, &value.kept_as(name)))
        })
    }

    fn in_extra(&self, up: usize, path: &[String], value: &Tree) -> bool {
        let mut place = &self.extra;
        let names = std::iter::repeat_n("..", up).chain(path.iter().map(String::as_str));
        for name in names {
            let Some(next) = place.get(name) else { return false };
            place = next;
            if is_secret(name) && *place == redaction() {
                return true;
            }
        }
        *place == value.redacted()
    }

    /// Every name in `_extra` is one of the record.
    fn not_invented(&self, extra: &Tree, record: Option<&Tree>, up: usize, top: bool) -> Result<(), String> {
        let Tree::Object(members) = extra else { return Ok(()) };
        for (name, value) in members {
            if top && name == ".." && up > 0 {
                let outer = self.chain.get(up - 1).copied();
                self.not_invented(value, outer, up - 1, true)?;
                continue;
            }
            let own = record.and_then(|r| r.get(name));
            // What did not fit a column that takes a member by another column's value stands under the column's name.
            let misfit = self.table.columns.iter().any(|c| matches!(c.from, From::NamedBy(_)) && c.name == *name);
            if own.is_none() && !misfit {
                return Err(format!("`_extra` has a member {name:?} that the record does not have"));
            }
            if *value != redaction() && !misfit {
                self.not_invented(value, own, 0, false)?;
            }
        }
        Ok(())
    }
}

fn shown(up: usize, path: &[String]) -> String {
    format!("{}/{}", "../".repeat(up), path.join("/"))
}
