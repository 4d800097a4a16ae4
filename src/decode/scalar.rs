//! One value of a column's type, read from JSON text.

use std::borrow::Cow;

use super::json::{Kind, Malformed, inner};
use super::{json, keep, value};
use crate::schema::Type;

/// How a value went into its column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fit {
    Whole,
    /// Rounded: the column has it, but the exact text is worth keeping.
    Rounded,
    /// The column has it, with U+FFFD for what no reader takes.
    Repaired,
    /// Not of the column's type: the column is null.
    Not,
    /// Not the object that the column's value would be in: the column is null. With the number of names above it.
    NoObject(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'v> {
    Null,
    /// Also JSON, as it is kept.
    Text(Cow<'v, str>),
    Int(i64),
    Float(f64),
    Flag(bool),
    /// In units of 10^-18.
    Decimal(i128),
    /// Since 1970-01-01.
    Days(i32),
    /// Since 1970 UTC.
    Micros(i64),
}

impl Scalar<'_> {
    pub(super) fn into_owned(self) -> Scalar<'static> {
        match self {
            Scalar::Null => Scalar::Null,
            Scalar::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
            Scalar::Int(value) => Scalar::Int(value),
            Scalar::Float(value) => Scalar::Float(value),
            Scalar::Flag(value) => Scalar::Flag(value),
            Scalar::Decimal(value) => Scalar::Decimal(value),
            Scalar::Days(value) => Scalar::Days(value),
            Scalar::Micros(value) => Scalar::Micros(value),
        }
    }
}

/// Reads a value; null, and what is not of the type, is [`Scalar::Null`].
pub(super) fn read(kind: Type, value: &str) -> Result<(Scalar<'_>, Fit), Malformed> {
    let mut fit = Fit::Whole;
    let read = match kind {
        Type::String => text(value, &mut fit).map(Scalar::Text),
        Type::Json => kept(value, &mut fit)?.map(|kept| Scalar::Text(Cow::Owned(kept))),
        Type::Int => value::int(value).map(Scalar::Int),
        Type::Float => value::float(value).map(Scalar::Float),
        Type::Bool => value::boolean(value).map(Scalar::Flag),
        Type::Date => value::date(value).map(Scalar::Days),
        Type::Timestamp => value::timestamp(value).map(Scalar::Micros),
        Type::Decimal => value::decimal(value).map(|decimal| {
            fit = if decimal.exact { Fit::Whole } else { Fit::Rounded };
            Scalar::Decimal(decimal.units)
        }),
    };
    Ok(match read {
        Some(scalar) => (scalar, fit),
        None => (Scalar::Null, if Kind::of(value) == Kind::Null { Fit::Whole } else { Fit::Not }),
    })
}

/// A string's characters; a number or boolean as its JSON text, so that an id
/// that arrives as a number is still the id.
fn text<'v>(value: &'v str, fit: &mut Fit) -> Option<Cow<'v, str>> {
    match Kind::of(value) {
        Kind::String => {
            let (text, replaced) = json::read(inner(value))?;
            if replaced {
                *fit = Fit::Repaired;
            }
            Some(text)
        }
        Kind::Number | Kind::Bool => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

fn kept(value: &str, fit: &mut Fit) -> Result<Option<String>, Malformed> {
    if Kind::of(value) == Kind::Null {
        return Ok(None);
    }
    let mut kept = String::with_capacity(value.len());
    if keep::value_of(value, &mut kept)? {
        *fit = Fit::Repaired;
    }
    Ok(Some(kept))
}
