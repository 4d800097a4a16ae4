//! One warehouse's SQL as data: `dialects/<name>.toml`, embedded.
//!
//! A dialect says how names and texts are quoted, what the eight types are
//! called, and gives a template for each kind of statement. Words in `<…>` are
//! filled in, each once, so that nothing that is filled in is read as a template.
//! Quoting is here and nowhere else: no name or text reaches a script another way.

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::schema::{Column, From, Type};

/// The warehouses, as they are named with `--dialect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    Snowflake,
    Bigquery,
    Redshift,
    Databricks,
    Duckdb,
    Postgres,
    Clickhouse,
    Athena,
    Trino,
    Spark,
}

impl Name {
    fn text(self) -> (&'static str, &'static str) {
        match self {
            Name::Snowflake => ("Snowflake", include_str!("dialects/snowflake.toml")),
            Name::Bigquery => ("BigQuery", include_str!("dialects/bigquery.toml")),
            Name::Redshift => ("Amazon Redshift", include_str!("dialects/redshift.toml")),
            Name::Databricks => ("Databricks", include_str!("dialects/databricks.toml")),
            Name::Duckdb => ("DuckDB", include_str!("dialects/duckdb.toml")),
            Name::Postgres => ("PostgreSQL", include_str!("dialects/postgres.toml")),
            Name::Clickhouse => ("ClickHouse", include_str!("dialects/clickhouse.toml")),
            Name::Athena => ("Amazon Athena", include_str!("dialects/athena.toml")),
            Name::Trino => ("Trino", include_str!("dialects/trino.toml")),
            Name::Spark => ("Spark", include_str!("dialects/spark.toml")),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dialect {
    #[serde(skip)]
    pub(crate) title: &'static str,
    /// What stands around a name.
    quote: char,
    /// Names are upper case, as unquoted ones are in this warehouse.
    #[serde(default)]
    upper: bool,
    escape: Escape,
    /// The partition column stands before the others.
    #[serde(default)]
    pub(crate) day_first: bool,
    /// What is replaced in one go, for the head of the script.
    pub(crate) atomic: String,
    /// The lake is always read in place: there are no tables to load.
    #[serde(default)]
    pub(crate) in_place: bool,
    /// Functions that read files, where they differ.
    #[serde(default)]
    read_file: String,
    #[serde(default)]
    read_remote: String,
    /// Clients cut the script at each `;`, also inside texts: so none is written there.
    #[serde(default)]
    cut_at_semicolons: bool,
    /// Tables are made in a transaction too.
    #[serde(default)]
    pub(crate) transactional_definitions: bool,
    locations: Locations,
    types: Types,
    pub(crate) sql: Sql,
}

/// How a text is written between single quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Escape {
    /// `'` doubled; a backslash is nothing special.
    Standard,
    /// `'` and `\` with a backslash before them.
    Backslash,
    /// `'` doubled, and `\` doubled because it may be special.
    Both,
}

/// How this warehouse writes where a lake is; none: it cannot read there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Locations {
    file: Option<String>,
    s3: Option<String>,
    gs: Option<String>,
    az: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Types {
    string: String,
    int: String,
    float: String,
    bool: String,
    decimal: String,
    date: String,
    timestamp: String,
    json: String,
    /// The partition column's, where it is another than `date`.
    day: Option<String>,
    #[serde(default)]
    table: TableTypes,
}

/// What a column of a table is, where that is another type than the file's column has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableTypes {
    json: Option<String>,
    /// Strings that are ids.
    id: Option<String>,
    /// Strings that have few values.
    word: Option<String>,
    /// `_synced_at` and `_deleted`, which are never null.
    moment: Option<String>,
    flag: Option<String>,
}

/// The templates; one that is empty is something this warehouse does not do.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sql {
    /// Before everything, when the lake is an object store.
    pub(crate) remote: String,
    pub(crate) prelude: String,
    /// In its place with `--external`.
    pub(crate) external_prelude: String,
    pub(crate) table: String,
    /// After `table`, when it is cut by day.
    pub(crate) day_table: String,
    /// After `table`, when it is read whole and has an id.
    pub(crate) id_table: String,
    pub(crate) partitions: String,
    /// In its place for a table that is read whole.
    pub(crate) whole_partitions: String,
    /// How rows are kept together, when the key has columns to do it by.
    pub(crate) clusters: String,
    pub(crate) column: String,
    /// A column of a file, where rows are selected from files.
    pub(crate) file_column: String,
    /// In its place for `json`.
    pub(crate) file_json: String,
    /// After `table`, where comments are statements of their own.
    pub(crate) comments: String,
    pub(crate) comment: String,
    pub(crate) add_column: String,
    pub(crate) begin: String,
    pub(crate) commit: String,
    /// Replaces a table that is read whole.
    pub(crate) whole: String,
    /// Replaces all days of a table.
    pub(crate) all_days: String,
    /// Replaces some days of a table.
    pub(crate) days: String,
    /// What `<each>` is, for each day.
    pub(crate) each: String,
    /// What `<each_month>` is, for each month with changed days.
    pub(crate) each_month: String,
    /// In its place for a month whose changed days may all be without rows.
    pub(crate) each_month_empty: String,
    pub(crate) each_external: String,
    pub(crate) external_column: String,
    pub(crate) external_whole: String,
    pub(crate) external_days: String,
}

impl Dialect {
    pub(crate) fn load(name: Name) -> Result<Dialect> {
        let (title, text) = name.text();
        let read: std::result::Result<Dialect, _> = toml::from_str(text);
        read.map(|d| Dialect { title, ..d }).map_err(|e| Error::usage(format!("the dialect {title}: {e}")))
    }

    pub(crate) fn type_of(&self, kind: Type) -> &str {
        match kind {
            Type::String => &self.types.string,
            Type::Int => &self.types.int,
            Type::Float => &self.types.float,
            Type::Bool => &self.types.bool,
            Type::Decimal => &self.types.decimal,
            Type::Date => &self.types.date,
            Type::Timestamp => &self.types.timestamp,
            Type::Json => &self.types.json,
        }
    }

    /// The type of a table's column.
    pub(crate) fn table_type(&self, column: &Column) -> &str {
        let types = &self.types.table;
        let special = match (&column.from, column.kind) {
            (From::SyncedAt, _) => &types.moment,
            (From::Deleted, _) => &types.flag,
            (_, Type::Json) => &types.json,
            (_, Type::String) if has_few_values(&column.name) && types.word.is_some() => &types.word,
            (_, Type::String) if column.name == "id" || column.name.ends_with("_id") => &types.id,
            _ => &None,
        };
        special.as_deref().unwrap_or_else(|| self.type_of(column.kind))
    }

    pub(crate) fn day_type(&self) -> &str {
        self.types.day.as_ref().unwrap_or(&self.types.date)
    }

    /// A name in quotes, reserved word or not.
    pub(crate) fn name(&self, name: &str) -> String {
        let quote = self.quote;
        let name = if self.upper { name.to_ascii_uppercase() } else { name.to_string() };
        format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
    }

    /// A text as it stands between single quotes. Control characters become spaces.
    pub(crate) fn escaped(&self, text: &str) -> String {
        let plain = |c: char| match c {
            c if c.is_control() => ' ',
            ';' if self.cut_at_semicolons => ',',
            c => c,
        };
        let text: String = text.chars().map(plain).collect();
        match self.escape {
            Escape::Standard => text.replace('\'', "''"),
            Escape::Backslash => text.replace('\\', "\\\\").replace('\'', "\\'"),
            Escape::Both => text.replace('\\', "\\\\").replace('\'', "''"),
        }
    }

    pub(crate) fn literal(&self, text: &str) -> String {
        format!("'{}'", self.escaped(text))
    }

    pub(crate) fn reader(&self, remote: bool) -> &str {
        if remote { &self.read_remote } else { &self.read_file }
    }

    /// The lake as this warehouse writes it; none when it cannot read there.
    pub(crate) fn location(&self, lake: &str) -> Option<String> {
        if self.cut_at_semicolons && lake.contains(';') {
            return None;
        }
        let (scheme, rest) = lake.split_once("://").unwrap_or(("file", lake));
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let template = match scheme {
            "file" => self.locations.file.as_ref(),
            "s3" | "s3a" => self.locations.s3.as_ref(),
            "gs" => self.locations.gs.as_ref(),
            "az" | "azure" => self.locations.az.as_ref(),
            _ => None,
        }?;
        let filled = fill(template, &[("bucket", bucket.into()), ("prefix", prefix.into()), ("path", rest.into())]);
        filled.ok().map(|l| l.trim_end_matches('/').to_string())
    }

    /// Where a lake might be, for a script without `--dest`.
    pub(crate) fn example(&self) -> &'static str {
        if self.locations.s3.is_some() { "s3://YOUR_BUCKET/PREFIX" } else { "gs://YOUR_BUCKET/PREFIX" }
    }
}

/// Whether a string column of this name has few values in many rows, such as models and states.
fn has_few_values(name: &str) -> bool {
    const WORDS: &[&str] = &[
        "action",
        "code",
        "country",
        "currency",
        "effort",
        "interval",
        "kind",
        "level",
        "mode",
        "model",
        "object",
        "phase",
        "platform",
        "policy",
        "purpose",
        "reason",
        "region",
        "role",
        "source",
        "speed",
        "state",
        "status",
        "tier",
        "type",
        "unit",
        "visibility",
    ];
    const NAMES: &[&str] = &["line_item", "organization_id", "project_id", "workspace_id"];
    let last = name.rsplit('_').next().unwrap_or(name);
    WORDS.contains(&last) || NAMES.contains(&name)
}

/// A template with its words in `<…>` replaced, each by what `words` says.
pub(crate) fn fill(template: &str, words: &[(&str, String)]) -> Result<String> {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('<') {
        filled.push_str(before);
        let (word, after) = after.split_once('>').unwrap_or((after, ""));
        let value = words.iter().find(|(name, _)| *name == word);
        let (_, value) = value.ok_or_else(|| Error::usage(format!("the dialect's template has no <{word}>")))?;
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}
