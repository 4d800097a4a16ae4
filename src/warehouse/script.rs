//! Writes a warehouse's script: its tables, then the slices to load.
//!
//! Pure: tables, slices and a dialect go in, text comes out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::NaiveDate;

use super::changes::{Changes, Slices};
use super::dialect::{Dialect, fill};
use crate::error::{Error, Result};
use crate::schema::{Column, Table, Type};

/// From this many changed days on, all of the table is loaded: statements that
/// list each day have limits (Snowflake takes 1000 files).
pub(super) const MANY_DAYS: usize = 1_000;

/// Columns of a key that rows are kept together by: BigQuery and Databricks take four.
const CLUSTERED: usize = 4;

/// What a script is about.
pub(crate) struct Order<'a> {
    pub(crate) dialect: &'a Dialect,
    pub(crate) tables: &'a [Arc<Table>],
    pub(crate) schema: &'a str,
    /// As the warehouse writes it.
    pub(crate) lake: &'a str,
    pub(crate) remote: bool,
    /// What the lake holds; none when no lake was given.
    pub(crate) held: Option<&'a Changes>,
    /// What to load; none is everything.
    pub(crate) changed: Option<&'a Changes>,
    pub(crate) external: bool,
}

impl Order<'_> {
    /// The script without its head.
    pub(crate) fn write(&self) -> Result<String> {
        let sql = &self.dialect.sql;
        let mut text = String::new();
        let common = self.common();
        if self.remote {
            text.push_str(&fill(&sql.remote, &common)?);
        }
        let external_prelude = self.external && !sql.external_prelude.is_empty();
        text.push_str(&fill(if external_prelude { &sql.external_prelude } else { &sql.prelude }, &common)?);
        match self.external {
            true => self.external(&mut text)?,
            false => {
                self.definitions(&mut text)?;
                self.loads(&mut text)?;
            }
        }
        Ok(text)
    }

    fn definitions(&self, text: &mut String) -> Result<()> {
        let sql = &self.dialect.sql;
        let transactional = self.dialect.transactional_definitions;
        if transactional {
            with_line(text, &sql.begin);
        }
        for table in self.tables.iter().filter(|table| self.is_wanted(table)) {
            let _ = write!(text, "\n-- {}\n{}", table.name, self.definition(table)?);
            // A table that was made by an older version lacks them.
            for column in table.columns.iter().filter(|c| c.since > 1 || (table.history && is_version(c))) {
                let _ = writeln!(text, "{}", self.added(table, column)?);
            }
        }
        if transactional {
            with_line(text, &sql.commit);
        }
        Ok(())
    }

    /// A script of changes is about the tables that changed.
    fn is_wanted(&self, table: &Table) -> bool {
        self.changed.is_none_or(|changed| changed.contains_key(&table.name))
    }

    /// What makes one table.
    pub(crate) fn definition(&self, table: &Table) -> Result<String> {
        let sql = &self.dialect.sql;
        let words = self.words(table, &Slices::default())?;
        // Comments that are statements of their own are thousands: a first load makes them, a daily one does not.
        let comments = if self.changed.is_none() { fill(&sql.comments, &words)? } else { String::new() };
        let index = match table.slices {
            Some(_) => fill(&sql.day_table, &words)?,
            None if id(table).is_some() => fill(&sql.id_table, &words)?,
            None => String::new(),
        };
        Ok(fill(&sql.table, &words)? + &comments + &index)
    }

    /// What adds one column to a table that lacks it.
    pub(crate) fn added(&self, table: &Table, column: &Column) -> Result<String> {
        let sql = &self.dialect.sql;
        let added = self.column(&sql.add_column, table, column)?;
        Ok(if self.changed.is_some() {
            added
        } else {
            format!("{added}\n{}", self.column(&sql.comment, table, column)?)
        })
    }

    /// What adds the partition column to a table that lacks it.
    pub(crate) fn added_day(&self, table: &Table) -> Result<String> {
        let words = self.words(table, &Slices::default())?;
        Ok(self.added(table, &day_column(table))? + &fill(&self.dialect.sql.day_table, &words)?)
    }

    fn loads(&self, text: &mut String) -> Result<()> {
        let sql = &self.dialect.sql;
        let mut loads = Vec::new();
        for table in self.tables {
            let slices = self.changed.unwrap_or(&Changes::new()).get(&table.name).cloned().unwrap_or_default();
            let held = self.held.is_none_or(|held| held.contains_key(&table.name));
            let template = match (self.changed.is_some(), table.slices.is_some()) {
                (false, _) if !held => continue,
                (false, false) => &sql.whole,
                (false, true) => &sql.all_days,
                (true, false) if slices.whole => &sql.whole,
                (true, true) if slices.days.len() > MANY_DAYS => &sql.all_days,
                (true, true) if !slices.days.is_empty() => &sql.days,
                (true, _) => continue,
            };
            if !template.is_empty() {
                let load = fill(template, &self.words(table, &slices)?)?;
                loads.push(format!("\n-- load {}\n{}\n", table.name, load.trim_end()));
            }
        }
        if loads.is_empty() {
            return Ok(());
        }
        let begin = |text: &mut String| with_line(text, &sql.begin);
        let commit = |text: &mut String| with_line(text, &sql.commit);
        match self.changed {
            Some(_) => {
                begin(text);
                text.push_str(&loads.concat());
                commit(text);
            }
            None => loads.iter().for_each(|load| {
                begin(text);
                text.push_str(load);
                commit(text);
            }),
        }
        Ok(())
    }

    fn external(&self, text: &mut String) -> Result<()> {
        let sql = &self.dialect.sql;
        for table in self.tables {
            let slices = match self.held {
                None => Slices::default(),
                Some(held) => match held.get(&table.name) {
                    Some(slices) => slices.clone(),
                    None => continue,
                },
            };
            let template = if table.slices.is_some() { &sql.external_days } else { &sql.external_whole };
            let _ = write!(text, "\n-- {}\n{}", table.name, fill(template, &self.words(table, &slices)?)?);
        }
        Ok(())
    }

    fn common(&self) -> Vec<(&'static str, String)> {
        let schema: Vec<String> = self.schema.split('.').map(|part| self.dialect.name(part)).collect();
        vec![
            ("schema", schema.join(".")),
            ("schema_name", self.dialect.escaped(self.schema)),
            ("lake", self.dialect.escaped(self.lake)),
        ]
    }

    fn words(&self, table: &Table, slices: &Slices) -> Result<Vec<(&'static str, String)>> {
        if table.slices.is_some() && table.column("date").is_some() {
            return Err(Error::usage(format!("{}: its column `date` has the name of the partition", table.name))
                .hint("give the column another name in the table file"));
        }
        let dialect = self.dialect;
        let sql = &dialect.sql;
        let days: Vec<String> = slices.days.keys().map(NaiveDate::to_string).collect();
        let dated: Vec<Column> = table.slices.iter().map(|_| day_column(table)).collect();
        let each_column = |template: &str, with_day: bool, join: &str| -> Result<String> {
            let (first, last) = if dialect.day_first { (&dated[..], &[][..]) } else { (&[][..], &dated[..]) };
            let columns = first.iter().filter(|_| with_day).chain(&table.columns);
            let columns = columns.chain(last.iter().filter(|_| with_day));
            let filled: Result<Vec<String>> = columns.map(|c| self.column(template, table, c)).collect();
            Ok(filled?.join(join))
        };
        let plain = each_column("  <column> <file_type>", false, ",\n")?;
        let selected: Result<Vec<String>> = table.columns.iter().map(|c| self.selected(table, c)).collect();
        let keys = keys(table).map(|c| dialect.name(&c.name)).take(CLUSTERED).collect::<Vec<_>>();
        let order = dated.iter().map(|c| dialect.name(&c.name)).chain(keys.clone()).collect::<Vec<_>>();
        let mut words = self.common();
        let named = |suffix: &str| format!("{}.{}", words[0].1, dialect.name(&format!("{}{suffix}", table.name)));
        let (qualified, staging) = (named(""), named("__staging"));
        words.extend([
            ("table", qualified),
            ("staging", staging),
            ("temporary", dialect.name(&format!("{}__staging", table.name))),
            ("index", dialect.name(&format!("{}__date", table.name))),
            ("id_index", dialect.name(&format!("{}__id", table.name))),
            ("id", id(table).map(|column| dialect.name(&column.name)).unwrap_or_default()),
            ("name", table.name.clone()),
            ("doc", dialect.literal(&doc(table))),
            ("definitions", each_column(&sql.column, true, ",\n")?),
            ("file_definitions", each_column(&sql.column, false, ",\n")?),
            ("comments", each_column(&sql.comment, true, "\n")?),
            ("external", each_column(&sql.external_column, false, ",\n")?),
            ("columns", each_column("<column>", false, ", ")?),
            ("structure", dialect.literal(plain.trim_start().replace("\n ", "").as_str())),
            ("plain", plain),
            ("selected", selected?.join(", ")),
            ("partitions", if table.slices.is_some() { &sql.partitions } else { &sql.whole_partitions }.clone()),
            ("order", if order.is_empty() { "tuple()".to_string() } else { format!("({})", order.join(", ")) }),
            ("by_raw", table.slices.as_ref().map(|s| raw(&table.columns[s.by])).unwrap_or_default()),
            ("by", table.slices.as_ref().map(|s| dialect.name(&table.columns[s.by].name)).unwrap_or_default()),
            ("read", dialect.reader(self.remote).to_string()),
            ("first_day", days.first().cloned().unwrap_or_else(|| "2020-01-01".to_string())),
            ("days", list(&days, |day| format!("DATE '{day}'"))),
            ("day_files", list(&days, |day| format!("'date={day}/data.parquet'"))),
            ("glob", format!("date={}", braces(&days))),
            (
                "files",
                list(&days, |day| dialect.literal(&format!("{}/{}/date={day}/data.parquet", self.lake, table.name))),
            ),
        ]);
        let clusters = if keys.is_empty() { String::new() } else { fill(&sql.clusters, &[("keys", keys.join(", "))])? };
        words.push(("clusters", clusters));
        let mut lines = Vec::new();
        for day in slices.days.keys() {
            let each = if self.external { &sql.each_external } else { &sql.each };
            let path = format!("{}/date={day}/data.parquet", table.name);
            let day = [("day", day.to_string()), ("path", path)];
            lines.push(fill(each, &words.iter().cloned().chain(day).collect::<Vec<_>>())?);
        }
        words.push(("each", lines.join("\n")));
        self.months(slices, &mut words)?;
        Ok(words)
    }

    /// The words of a warehouse whose partitions are months: a changed day is put into its month.
    fn months(&self, slices: &Slices, words: &mut Vec<(&'static str, String)>) -> Result<()> {
        let sql = &self.dialect.sql;
        let mut months: BTreeMap<String, Vec<(&NaiveDate, &Option<u64>)>> = BTreeMap::new();
        for day in &slices.days {
            months.entry(day.0.format("%Y%m").to_string()).or_default().push(day);
        }
        let mut lines = Vec::new();
        for (month, days) in &months {
            // Nothing replaces a partition by nothing.
            let certain = days.iter().any(|(_, rows)| rows.is_some_and(|rows| rows > 0));
            let template = if certain { &sql.each_month } else { &sql.each_month_empty };
            let listed: Vec<String> = days.iter().map(|(day, _)| day.to_string()).collect();
            let own = [("month", month.clone()), ("month_days", list(&listed, |day| format!("DATE '{day}'")))];
            lines.push(fill(template, &words.iter().cloned().chain(own).collect::<Vec<_>>())?);
        }
        words.push(("each_month", lines.join("\n")));
        words.push(("months", months.into_keys().collect::<Vec<_>>().join(", ")));
        Ok(())
    }

    /// A column of a file as the table takes it.
    fn selected(&self, table: &Table, column: &Column) -> Result<String> {
        let sql = &self.dialect.sql;
        let json = column.kind == Type::Json && !sql.file_json.is_empty();
        self.column(if json { &sql.file_json } else { &sql.file_column }, table, column)
    }

    fn column(&self, template: &str, table: &Table, column: &Column) -> Result<String> {
        let is_day = column.name == "date" && table.slices.is_some();
        let kind = if is_day { self.dialect.day_type() } else { self.dialect.table_type(column) };
        let schema: Vec<String> = self.schema.split('.').map(|part| self.dialect.name(part)).collect();
        fill(
            template,
            &[
                ("table", format!("{}.{}", schema.join("."), self.dialect.name(&table.name))),
                ("column", self.dialect.name(&column.name)),
                ("raw", raw(column)),
                ("type", kind.to_string()),
                ("file_type", self.dialect.type_of(column.kind).to_string()),
                ("doc", self.dialect.literal(&column.doc)),
            ],
        )
    }
}

/// The table's sentence, and its key. No key is declared as a constraint: it may
/// be null, planners believe it without looking, and of equal money two rows stay.
fn doc(table: &Table) -> String {
    let key: Vec<&str> = table.key.iter().map(|k| table.columns[*k].name.as_str()).collect();
    let version = if table.history { ", _valid_from" } else { "" };
    match key.is_empty() {
        true => format!("{} One row.", table.doc),
        false => format!("{} Key: {}{version}.", table.doc, key.join(", ")),
    }
}

/// The column `id` of a table whose key it is, or is a part of.
fn id(table: &Table) -> Option<&Column> {
    let parts = table.key.iter().map(|k| &table.columns[*k]);
    parts.into_iter().find(|column| column.name == "id" && column.kind == Type::String)
}

fn is_version(column: &Column) -> bool {
    use crate::schema::From;
    matches!(column.from, From::VersionStart | From::VersionEnd | From::Current)
}

/// The partition, as a column: it is in the path and not in the file.
fn day_column(table: &Table) -> Column {
    let by = table.slices.as_ref().map(|s| table.columns[s.by].name.as_str()).unwrap_or_default();
    Column {
        name: "date".to_string(),
        kind: crate::schema::Type::Date,
        from: crate::schema::From::Position,
        from_text: None,
        since: 1,
        doc: format!("UTC day of {by}: the slice of the lake that the row is in; 1970-01-01 when it is null."),
    }
}

/// The columns of the key that tell rows apart within a slice.
fn keys(table: &Table) -> impl Iterator<Item = &Column> {
    let by = table.slices.as_ref().map(|slices| slices.by);
    table.key.iter().filter(move |key| Some(**key) != by).map(|key| &table.columns[*key])
}

/// A column's name as the files have it.
fn raw(column: &Column) -> String {
    format!("\"{}\"", column.name)
}

fn list(items: &[String], each: impl Fn(&String) -> String) -> String {
    items.iter().map(each).collect::<Vec<_>>().join(", ")
}

/// `{a,b}`, as every glob has it; a lone item stands alone.
fn braces(items: &[String]) -> String {
    if let [one] = items { one.clone() } else { format!("{{{}}}", items.join(",")) }
}

fn with_line(text: &mut String, line: &str) {
    if !line.is_empty() {
        let _ = writeln!(text, "\n{line}");
    }
}
