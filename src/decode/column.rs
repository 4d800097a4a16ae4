//! One Arrow builder for each column, fed with raw JSON values.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};

use super::json::{Kind, Malformed, inner, unescape};
use super::keep;
use super::value;
use crate::schema::Type;

/// How a value went into its column.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Fit {
    Whole,
    /// Rounded: the column has it, but the exact text is worth keeping.
    Rounded,
    /// Not of the column's type: the column is null.
    Not,
}

pub(super) struct Column {
    builder: Builder,
    /// The last so many rows are null, which the builder does not know yet: many columns have hardly
    /// any value, and a row then costs them an addition.
    nulls: usize,
}

enum Builder {
    Text(StringBuilder),
    Json(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Decimal(Decimal128Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl Column {
    pub(super) fn new(kind: Type) -> Column {
        let builder = match kind {
            Type::String => Builder::Text(StringBuilder::new()),
            Type::Json => Builder::Json(StringBuilder::new()),
            Type::Int => Builder::Int(Int64Builder::new()),
            Type::Float => Builder::Float(Float64Builder::new()),
            Type::Bool => Builder::Bool(BooleanBuilder::new()),
            Type::Decimal => Builder::Decimal(Decimal128Builder::new().with_data_type(kind.arrow())),
            Type::Date => Builder::Date(Date32Builder::new()),
            Type::Timestamp => Builder::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(kind.arrow())),
        };
        Column { builder, nulls: 0 }
    }

    /// Appends a JSON value, or null where it does not fit.
    pub(super) fn push(&mut self, value: &str, scratch: &mut String) -> Result<Fit, Malformed> {
        if Kind::of(value) == Kind::Null {
            self.push_null();
            return Ok(Fit::Whole);
        }
        let fits = match self.ready() {
            Builder::Text(builder) => return Ok(push_text(builder, value)),
            Builder::Json(builder) => {
                scratch.clear();
                keep::value_of(value, scratch)?;
                builder.append_value(&*scratch);
                true
            }
            Builder::Int(builder) => option(value::int(value), |v| builder.append_option(v)),
            Builder::Float(builder) => option(value::float(value), |v| builder.append_option(v)),
            Builder::Bool(builder) => option(value::boolean(value), |v| builder.append_option(v)),
            Builder::Date(builder) => option(value::date(value), |v| builder.append_option(v)),
            Builder::Timestamp(builder) => option(value::timestamp(value), |v| builder.append_option(v)),
            Builder::Decimal(builder) => {
                let decimal = value::decimal(value);
                builder.append_option(decimal.map(|d| d.units));
                match decimal {
                    Some(decimal) if !decimal.exact => return Ok(Fit::Rounded),
                    other => other.is_some(),
                }
            }
        };
        Ok(if fits { Fit::Whole } else { Fit::Not })
    }

    pub(super) fn push_null(&mut self) {
        self.nulls += 1;
    }

    /// Appends text as it is (a bound value, the assembled `_extra`).
    pub(super) fn push_text(&mut self, text: &str) {
        match self.ready() {
            Builder::Text(builder) | Builder::Json(builder) => builder.append_value(text),
            _ => self.push_null(),
        }
    }

    pub(super) fn push_micros(&mut self, micros: i64) {
        match self.ready() {
            Builder::Timestamp(builder) => builder.append_value(micros),
            _ => self.push_null(),
        }
    }

    pub(super) fn push_bool(&mut self, flag: bool) {
        match self.ready() {
            Builder::Bool(builder) => builder.append_value(flag),
            _ => self.push_null(),
        }
    }

    /// The builder, with all rows so far.
    fn ready(&mut self) -> &mut Builder {
        let nulls = std::mem::take(&mut self.nulls);
        if nulls > 0 {
            match &mut self.builder {
                Builder::Text(b) | Builder::Json(b) => b.append_nulls(nulls),
                Builder::Int(b) => b.append_nulls(nulls),
                Builder::Float(b) => b.append_nulls(nulls),
                Builder::Bool(b) => b.append_nulls(nulls),
                Builder::Decimal(b) => b.append_nulls(nulls),
                Builder::Date(b) => b.append_nulls(nulls),
                Builder::Timestamp(b) => b.append_nulls(nulls),
            }
        }
        &mut self.builder
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match self.ready() {
            Builder::Text(b) | Builder::Json(b) => Arc::new(b.finish()),
            Builder::Int(b) => Arc::new(b.finish()),
            Builder::Float(b) => Arc::new(b.finish()),
            Builder::Bool(b) => Arc::new(b.finish()),
            Builder::Decimal(b) => Arc::new(b.finish()),
            Builder::Date(b) => Arc::new(b.finish()),
            Builder::Timestamp(b) => Arc::new(b.finish()),
        }
    }
}

/// Whether a value is one of the column's type; null is none.
pub(super) fn fits(kind: Type, value: &str) -> bool {
    match kind {
        Type::String => match Kind::of(value) {
            Kind::String => unescape(inner(value)).is_some(),
            kind => matches!(kind, Kind::Number | Kind::Bool),
        },
        Type::Json => Kind::of(value) != Kind::Null,
        Type::Int => value::int(value).is_some(),
        Type::Float => value::float(value).is_some(),
        Type::Bool => value::boolean(value).is_some(),
        Type::Decimal => value::decimal(value).is_some(),
        Type::Date => value::date(value).is_some(),
        Type::Timestamp => value::timestamp(value).is_some(),
    }
}

fn option<T>(value: Option<T>, append: impl FnOnce(Option<T>)) -> bool {
    let fits = value.is_some();
    append(value);
    fits
}

/// A string's characters; a number or boolean as its JSON text, so that an id
/// that arrives as a number is still the id.
fn push_text(builder: &mut StringBuilder, value: &str) -> Fit {
    match Kind::of(value) {
        Kind::String => match unescape(inner(value)) {
            Some(text) => builder.append_value(text),
            None => {
                builder.append_null();
                return Fit::Not;
            }
        },
        Kind::Number | Kind::Bool => builder.append_value(value),
        _ => {
            builder.append_null();
            return Fit::Not;
        }
    }
    Fit::Whole
}
