//! The closed sets of words in table files: surfaces, policies, methods, types, forms of time.

use arrow_schema::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};

/// One host with one kind of credential; a folder of `schemas/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Surface {
    Admin,
    Project,
    Codex,
    Compliance,
}

impl Surface {
    pub(crate) const ALL: [Surface; 4] = [Surface::Admin, Surface::Project, Surface::Codex, Surface::Compliance];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Surface::Admin => "admin",
            Surface::Project => "project",
            Surface::Codex => "codex",
            Surface::Compliance => "compliance",
        }
    }
}

/// What happens to the rows that a slice already holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Policy {
    /// Dropped: the source was asked for the whole slice again.
    Replace,
    /// Kept unless the same key arrives again.
    Merge,
    /// Kept with `_deleted = true` if their key did not arrive.
    Snapshot,
}

/// What an answer of a replaced table says of a day without rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EmptyDays {
    /// It has a bucket without results. A day without a bucket was not answered.
    Listed,
    /// Nothing: the day is left out.
    LeftOut,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Method {
    #[default]
    #[serde(rename = "GET")]
    Get,
    #[serde(rename = "POST")]
    Post,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Type {
    String,
    Int,
    Float,
    Bool,
    Decimal,
    Date,
    Timestamp,
    Json,
}

impl Type {
    /// The Arrow type, which decides the Parquet one: micros in UTC, DECIMAL(38,18), INT64.
    pub(crate) fn arrow(self) -> DataType {
        match self {
            Type::String | Type::Json => DataType::Utf8,
            Type::Int => DataType::Int64,
            Type::Float => DataType::Float64,
            Type::Bool => DataType::Boolean,
            Type::Decimal => DataType::Decimal128(38, 18),
            Type::Date => DataType::Date32,
            Type::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::Int => "int",
            Type::Float => "float",
            Type::Bool => "bool",
            Type::Decimal => "decimal",
            Type::Date => "date",
            Type::Timestamp => "timestamp",
            Type::Json => "json",
        }
    }
}

/// How a moment is written in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    #[default]
    Unix,
    Iso,
}
