//! One Arrow builder for each column, fed with raw JSON values.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, new_null_array};
use arrow_schema::ArrowError;

use super::json::{Kind, Malformed, Scanner};
use super::scalar::{Fit, Scalar, read};
use super::value;
use crate::schema::Type;

pub(super) struct Column {
    kind: Type,
    builder: Builder,
    /// Rows that the builder knows of. Those after it up to the next value are filled in when that comes:
    /// many columns have hardly any value, and a row then costs them nothing.
    known: usize,
    /// The turn in which a value came.
    taken: u64,
    /// What a row has if it brings no value.
    rest: Scalar<'static>,
    /// The same, where nothing stands for the rows.
    usual: Scalar<'static>,
    stands: bool,
    /// Nothing but nulls, as many as a batch without any value ever had.
    nulls: ArrayRef,
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
    pub(super) fn new(kind: Type, usual: Scalar<'static>) -> Column {
        let mut builder = Builder::new(kind, 0, 0);
        let nulls = builder.finish();
        Column { kind, builder, known: 0, taken: 0, rest: usual.clone(), usual, stands: false, nulls }
    }

    /// Whether it has a value, or one that did not fit, from this turn or from what encloses it.
    #[inline]
    pub(super) fn is_taken(&self, turn: u64) -> bool {
        self.taken == turn || self.stands
    }

    /// Whether row number `row` has a value so far, or will have one.
    pub(super) fn has(&self, row: usize) -> bool {
        self.known > row || self.rest != Scalar::Null
    }

    /// The JSON value of row number `row`; nothing is appended where it does not fit.
    pub(super) fn push(&mut self, row: usize, turn: u64, value: &str) -> Result<Fit, Malformed> {
        let (scalar, fit) = read(self.kind, value)?;
        if scalar != Scalar::Null {
            self.push_scalar(row, &scalar);
        }
        if Kind::of(value) != Kind::Null {
            self.taken = turn;
        }
        Ok(fit)
    }

    /// The value that the scanner stands before, and that begins with `next`, if it is written in the way in which
    /// most values of the column's type are: read and appended in one step. Gives its length; else nothing has happened.
    #[inline]
    pub(super) fn push_next(&mut self, row: usize, turn: u64, next: u8, scanner: &mut Scanner<'_>) -> Option<usize> {
        self.fill(row);
        let start = scanner.position();
        match (&mut self.builder, next) {
            (Builder::Text(builder), b'"') => builder.append_value(scanner.plain_string()?),
            (Builder::Int(builder), _) if next.is_ascii_digit() => builder.append_value(scanner.natural(Some)?),
            (Builder::Timestamp(builder), _) if next.is_ascii_digit() => {
                builder.append_value(scanner.natural(value::micros)?);
            }
            (Builder::Bool(builder), b't' | b'f') => builder.append_value(scanner.flag()?),
            (_, b'n') => return scanner.is_word("null").then_some("null".len()),
            _ => return None,
        }
        self.known += 1;
        self.taken = turn;
        Some(scanner.position() - start)
    }

    /// The value of row number `row`.
    pub(super) fn push_scalar(&mut self, row: usize, scalar: &Scalar<'_>) {
        self.fill(row);
        self.builder.append(scalar, 1);
        self.known += 1;
    }

    /// The rows from number `row` on have this value, until [`Column::leave`].
    pub(super) fn stand(&mut self, row: usize, scalar: Scalar<'static>) {
        self.fill(row);
        self.rest = scalar;
        self.stands = true;
    }

    /// The time that stands for the rows from here on.
    pub(super) fn standing(&self) -> Option<i64> {
        match (self.stands, &self.rest) {
            (true, Scalar::Micros(micros)) => Some(*micros),
            _ => None,
        }
    }

    /// The time of row number `row`, which is the newest one.
    pub(super) fn time_of(&self, row: usize) -> Option<i64> {
        match (&self.builder, &self.rest) {
            (Builder::Timestamp(builder), _) if self.known > row => builder.values_slice().get(row).copied(),
            (_, Scalar::Micros(micros)) => Some(*micros),
            _ => None,
        }
    }

    /// The same with a JSON value; null stands for nothing.
    pub(super) fn stand_for(&mut self, row: usize, value: &str) -> Result<Fit, Malformed> {
        let (scalar, fit) = read(self.kind, value)?;
        if Kind::of(value) != Kind::Null {
            self.stand(row, scalar.into_owned());
        }
        Ok(fit)
    }

    /// The rows from number `rows` on have again what they usually have.
    pub(super) fn leave(&mut self, rows: usize) {
        if self.stands {
            self.fill(rows);
            self.rest.clone_from(&self.usual);
            self.stands = false;
        }
    }

    /// Lets the builder know of so many rows.
    #[inline]
    fn fill(&mut self, rows: usize) {
        if self.known < rows {
            self.append_rest(rows);
        }
    }

    fn append_rest(&mut self, rows: usize) {
        self.builder.append(&self.rest, rows - self.known);
        self.known = rows;
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
        if !is_used && self.rest == Scalar::Null {
            return self.nulls(rows);
        }
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

    /// A part of one array for all batches: most columns of most tables have no value at all.
    fn nulls(&mut self, rows: usize) -> ArrayRef {
        if self.nulls.len() < rows {
            self.nulls = new_null_array(&self.kind.arrow(), rows);
        }
        self.nulls.slice(0, rows)
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

    /// A value of the builder's type so many times; anything else is null.
    fn append(&mut self, scalar: &Scalar<'_>, times: usize) {
        match (self, scalar) {
            (Builder::Text(b) | Builder::Json(b), Scalar::Text(text)) => {
                (0..times).for_each(|_| b.append_value(text));
            }
            (Builder::Int(b), Scalar::Int(value)) => b.append_value_n(*value, times),
            (Builder::Float(b), Scalar::Float(value)) => b.append_value_n(*value, times),
            (Builder::Bool(b), Scalar::Flag(value)) => b.append_n(times, *value),
            (Builder::Decimal(b), Scalar::Decimal(units)) => b.append_value_n(*units, times),
            (Builder::Date(b), Scalar::Days(days)) => b.append_value_n(*days, times),
            (Builder::Timestamp(b), Scalar::Micros(micros)) => b.append_value_n(*micros, times),
            (Builder::Text(b) | Builder::Json(b), _) => b.append_nulls(times),
            (Builder::Int(b), _) => b.append_nulls(times),
            (Builder::Float(b), _) => b.append_nulls(times),
            (Builder::Bool(b), _) => b.append_nulls(times),
            (Builder::Decimal(b), _) => b.append_nulls(times),
            (Builder::Date(b), _) => b.append_nulls(times),
            (Builder::Timestamp(b), _) => b.append_nulls(times),
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
