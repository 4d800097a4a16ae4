//! One Arrow builder for each column, fed with raw JSON values.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::cast::AsArray;
use arrow_schema::ArrowError;

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
    kind: Type,
    builder: Builder,
    /// Rows that the builder knows of. Those after it up to the next value are filled in when that comes:
    /// many columns have hardly any value, and a row then costs them nothing.
    known: usize,
    rest: Rest,
}

/// What a row has in a column for which it brings no value.
#[derive(Clone, Copy)]
pub(super) enum Rest {
    Null,
    Micros(i64),
    Flag(bool),
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
    pub(super) fn new(kind: Type, rest: Rest) -> Column {
        Column { kind, builder: Builder::new(kind, 0, 0), known: 0, rest }
    }

    /// The JSON value of row number `row`; nothing is appended where it does not fit.
    pub(super) fn push(&mut self, row: usize, value: &str, scratch: &mut String) -> Result<Fit, Malformed> {
        self.fill(row);
        let mut fit = Fit::Whole;
        let fits = match &mut self.builder {
            Builder::Text(builder) => push_text(builder, value),
            Builder::Json(builder) if Kind::of(value) != Kind::Null => {
                scratch.clear();
                keep::value_of(value, scratch)?;
                builder.append_value(&*scratch);
                true
            }
            Builder::Json(_) => false,
            Builder::Int(builder) => option(value::int(value), |v| builder.append_value(v)),
            Builder::Float(builder) => option(value::float(value), |v| builder.append_value(v)),
            Builder::Bool(builder) => option(value::boolean(value), |v| builder.append_value(v)),
            Builder::Date(builder) => option(value::date(value), |v| builder.append_value(v)),
            Builder::Timestamp(builder) => option(value::timestamp(value), |v| builder.append_value(v)),
            Builder::Decimal(builder) => option(value::decimal(value), |decimal| {
                builder.append_value(decimal.units);
                fit = if decimal.exact { Fit::Whole } else { Fit::Rounded };
            }),
        };
        self.known += usize::from(fits);
        Ok(if fits || Kind::of(value) == Kind::Null { fit } else { Fit::Not })
    }

    /// Text as it is (a bound value, the assembled `_extra`).
    pub(super) fn push_text(&mut self, row: usize, text: &str) {
        self.fill(row);
        if let Builder::Text(builder) | Builder::Json(builder) = &mut self.builder {
            builder.append_value(text);
            self.known += 1;
        }
    }

    /// Lets the builder know of so many rows.
    #[inline]
    fn fill(&mut self, rows: usize) {
        if self.known < rows {
            self.append_rest(rows - self.known);
        }
    }

    fn append_rest(&mut self, lacking: usize) {
        self.known += lacking;
        match (&mut self.builder, self.rest) {
            (Builder::Timestamp(b), Rest::Micros(micros)) => b.append_value_n(micros, lacking),
            (Builder::Bool(b), Rest::Flag(flag)) => b.append_n(lacking, flag),
            (Builder::Text(b) | Builder::Json(b), _) => b.append_nulls(lacking),
            (Builder::Int(b), _) => b.append_nulls(lacking),
            (Builder::Float(b), _) => b.append_nulls(lacking),
            (Builder::Bool(b), _) => b.append_nulls(lacking),
            (Builder::Decimal(b), _) => b.append_nulls(lacking),
            (Builder::Date(b), _) => b.append_nulls(lacking),
            (Builder::Timestamp(b), _) => b.append_nulls(lacking),
        }
    }

    /// Forgets all rows but the first so many.
    pub(super) fn truncate(&mut self, rows: usize) -> Result<(), ArrowError> {
        if self.known <= rows {
            return Ok(());
        }
        let all = self.builder.finish();
        let first = all.slice(0, rows);
        match &mut self.builder {
            Builder::Text(b) | Builder::Json(b) => b.append_array(first.as_string())?,
            Builder::Int(b) => b.append_array(first.as_primitive()),
            Builder::Float(b) => b.append_array(first.as_primitive()),
            Builder::Bool(b) => b.append_array(first.as_boolean()),
            Builder::Decimal(b) => b.append_array(first.as_primitive()),
            Builder::Date(b) => b.append_array(first.as_primitive()),
            Builder::Timestamp(b) => b.append_array(first.as_primitive()),
        }
        self.known = rows;
        Ok(())
    }

    /// The column of so many rows.
    pub(super) fn finish(&mut self, rows: usize) -> ArrayRef {
        let is_used = self.known > 0;
        self.fill(rows);
        self.known = 0;
        let column = self.builder.finish();
        if is_used {
            // The next rows will be about as many and as long: growing step by step copies them each time.
            let bytes = column.as_string_opt::<i32>().map_or(0, |texts| texts.value_data().len());
            self.builder = Builder::new(self.kind, rows, bytes);
        }
        column
    }
}

impl Builder {
    /// With room for so many rows, and for so many bytes of text in all of them.
    fn new(kind: Type, rows: usize, bytes: usize) -> Builder {
        match kind {
            Type::String => Builder::Text(StringBuilder::with_capacity(rows, bytes)),
            Type::Json => Builder::Json(StringBuilder::with_capacity(rows, bytes)),
            Type::Int => Builder::Int(Int64Builder::with_capacity(rows)),
            Type::Float => Builder::Float(Float64Builder::with_capacity(rows)),
            Type::Bool => Builder::Bool(BooleanBuilder::with_capacity(rows)),
            Type::Decimal => Builder::Decimal(Decimal128Builder::with_capacity(rows).with_data_type(kind.arrow())),
            Type::Date => Builder::Date(Date32Builder::with_capacity(rows)),
            Type::Timestamp => {
                Builder::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(kind.arrow()))
            }
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
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

fn option<T>(value: Option<T>, append: impl FnOnce(T)) -> bool {
    value.map(append).is_some()
}

/// A string's characters; a number or boolean as its JSON text, so that an id
/// that arrives as a number is still the id.
fn push_text(builder: &mut StringBuilder, value: &str) -> bool {
    match Kind::of(value) {
        Kind::String => option(unescape(inner(value)), |text| builder.append_value(text)),
        Kind::Number | Kind::Bool => option(Some(value), |text| builder.append_value(text)),
        _ => false,
    }
}
