//! A table file as it is written: the keys of `schemas/README.md`, nothing checked yet.
//!
//! Unknown keys are errors, and each error carries file, line and caret.
//! Whatever needs more than one key to judge is judged in `check.rs`.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use toml::Spanned;

use super::{EmptyDays, Format, Method, Policy, Type};
use crate::error::{Error, nearest};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) doc: Spanned<String>,
    pub(super) key: Vec<Spanned<String>>,
    pub(super) policy: Option<Spanned<Policy>>,
    #[serde(default)]
    pub(super) only_if_named: bool,
    pub(super) retired: Option<String>,
    #[serde(default)]
    pub(super) ignore: Vec<Spanned<String>>,
    pub(super) request: Request,
    pub(super) paging: Option<Paging>,
    pub(super) files: Option<Files>,
    pub(super) contents: Option<Contents>,
    pub(super) slices: Option<Slices>,
    pub(super) newest_first: Option<NewestFirst>,
    pub(super) unchanged: Option<Unchanged>,
    pub(super) full_every: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) children: Children,
    #[serde(deserialize_with = "ordered")]
    pub(super) columns: Vec<(Spanned<String>, Column)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    #[serde(default)]
    pub(super) method: Method,
    pub(super) path: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) query: Parameters,
    #[serde(default)]
    pub(super) body: Parameters,
    #[serde(default)]
    pub(super) headers: Parameters,
    pub(super) rows: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) rows_may_be_absent: bool,
    #[serde(default)]
    pub(super) passes: Vec<Parameters>,
    #[serde(default)]
    pub(super) optional_passes: bool,
    #[serde(default)]
    pub(super) optional: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) absent: Vec<u16>,
    pub(super) same_as: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PagingTable {
    pub(super) send: String,
    pub(super) from: Option<Spanned<String>>,
    pub(super) last: Option<Spanned<String>>,
    #[serde(rename = "while")]
    pub(super) while_: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) until_empty: bool,
    #[serde(default)]
    pub(super) empty_ends: bool,
    #[serde(default)]
    pub(super) size: Parameters,
}

/// Each record of the list is a file, and its lines are the table's records.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Files {
    pub(super) path: Spanned<String>,
    pub(super) id: Spanned<String>,
    pub(super) time: Spanned<String>,
    pub(super) size: Option<Spanned<String>>,
    pub(super) sha256: Option<Spanned<String>>,
    pub(super) freshness: Option<Freshness>,
    pub(super) rows: Vec<Spanned<String>>,
}

/// Where the source says how new its newest record is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Freshness {
    pub(super) path: Spanned<String>,
    pub(super) newest: Spanned<String>,
}

/// Each row of the table tells of a file, whose bytes can be kept.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    pub(super) path: Spanned<String>,
    #[serde(default, deserialize_with = "ordered")]
    pub(super) query: Vec<(Spanned<String>, Spanned<String>)>,
    pub(super) id: Spanned<String>,
    pub(super) kept: Spanned<String>,
}

/// `paging = "none"` or a `[paging]` table; it must be said which.
#[derive(Debug)]
pub(super) enum Paging {
    None,
    Table(PagingTable),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slices {
    pub(super) by: Spanned<String>,
    pub(super) end: Option<Spanned<String>>,
    pub(super) since: String,
    pub(super) until: String,
    #[serde(default)]
    pub(super) format: Format,
    pub(super) window: Spanned<String>,
    pub(super) lookback: Spanned<String>,
    pub(super) history: Spanned<String>,
    pub(super) retention: Option<Spanned<String>>,
    pub(super) policy: Spanned<Policy>,
    pub(super) empty_days: Option<Spanned<EmptyDays>>,
}

/// The list comes newest first, and need not be read to its end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewestFirst {
    pub(super) by: Spanned<String>,
    #[serde(default, rename = "final", deserialize_with = "ordered")]
    pub(super) final_: Vec<(Spanned<String>, Vec<String>)>,
}

/// A parent that did not change need not be asked about again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unchanged {
    pub(super) since: Spanned<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Children {
    #[serde(default, deserialize_with = "ordered")]
    pub(super) skip: Vec<(Spanned<String>, Vec<String>)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    #[serde(rename = "type")]
    pub(super) kind: Type,
    pub(super) from: Option<Spanned<OneOrMany>>,
    pub(super) named_by: Option<Spanned<String>>,
    pub(super) since: Option<Spanned<u32>>,
    pub(super) doc: Spanned<String>,
}

/// Query, header or body members in the order of the file; every value as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(pub(crate) Vec<(String, Parameter)>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Parameter {
    One(String),
    /// An integer or boolean: sent as text in a query, as a bare literal in a body.
    Literal(String),
    Many(Vec<String>),
}

/// As in a message: `tenant_only=true`.
impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let text = match value {
                Parameter::One(text) | Parameter::Literal(text) => text.clone(),
                Parameter::Many(items) => items.join(","),
            };
            let and = if index > 0 { " " } else { "" };
            write!(f, "{and}{name}={text}")?;
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct OneOrMany(pub(super) Vec<String>);

pub(super) fn parse(path: &str, text: &str) -> Result<File, Error> {
    toml::from_str::<File>(text).map_err(|e| {
        let error = Error::usage(caret(path, text, e.span(), e.message()));
        match suggestion(e.message()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("the keys are described in schemas/README.md"),
        }
    })
}

/// `path:line:column: message`, the line itself, and a caret below the place.
pub(crate) fn caret(path: &str, text: &str, span: Option<Range<usize>>, message: &str) -> String {
    let Some(span) = span else { return format!("{path}: {message}") };
    let start = span.start.min(text.len());
    let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    let line_number = text[..start].matches('\n').count() + 1;
    let column = text[line_start..start].chars().count() + 1;
    let width = text[start..span.end.clamp(start, line_end)].chars().count().max(1);
    let gutter = line_number.to_string();
    let pad = " ".repeat(gutter.len());
    format!(
        "{path}:{line_number}:{column}: {}\n{pad} |\n{gutter} | {}\n{pad} | {}{}",
        message.trim_end(),
        &text[line_start..line_end],
        " ".repeat(column - 1),
        "^".repeat(width),
    )
}

/// What was probably meant, from serde's "unknown field `x`, expected one of `a`, `b`".
pub(crate) fn suggestion(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let typed = quoted.next()?;
    message.starts_with("unknown").then(|| nearest(typed, quoted).map(str::to_string))?
}

/// A TOML table as a list, so that the order of the file is kept.
fn ordered<'de, D, K, V>(deserializer: D) -> Result<Vec<(K, V)>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de>,
    V: Deserialize<'de>,
{
    struct Entries<K, V>(std::marker::PhantomData<(K, V)>);
    impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
        type Value = Vec<(K, V)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_map(Entries(std::marker::PhantomData))
}

impl<'de> Deserialize<'de> for Paging {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Paging;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`paging = \"none\"` or a [paging] table")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Paging, E> {
                match text {
                    "none" => Ok(Paging::None),
                    other => Err(E::custom(format!("paging is \"none\" or a table, not {other:?}"))),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Paging, A::Error> {
                PagingTable::deserialize(de::value::MapAccessDeserializer::new(map)).map(Paging::Table)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ordered(deserializer).map(Parameters)
    }
}

impl<'de> Deserialize<'de> for Parameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Parameter::One(text)),
            toml::Value::Integer(number) => Ok(Parameter::Literal(number.to_string())),
            toml::Value::Boolean(flag) => Ok(Parameter::Literal(flag.to_string())),
            toml::Value::Array(items) => items
                .into_iter()
                .map(|item| match item {
                    toml::Value::String(text) => Ok(text),
                    other => Err(de::Error::custom(format!("a list of strings was expected, found {other}"))),
                })
                .collect::<Result<_, _>>()
                .map(Parameter::Many),
            other => Err(de::Error::custom(format!(
                "a string, an integer, a boolean or a list of strings was expected, found {other}"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Parameter::deserialize(deserializer)? {
            Parameter::One(one) => Ok(OneOrMany(vec![one])),
            Parameter::Many(many) if !many.is_empty() => Ok(OneOrMany(many)),
            _ => Err(de::Error::custom("a pointer, or a list of pointers, was expected")),
        }
    }
}
