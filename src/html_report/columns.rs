//! Typed looks at the columns of a batch whose schema was asked for by name.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use chrono::{DateTime, NaiveDate, Utc};

pub(super) fn texts(batch: &RecordBatch, column: usize) -> &StringArray {
    batch.column(column).as_string()
}

pub(super) fn times(batch: &RecordBatch, column: usize) -> &TimestampMicrosecondArray {
    batch.column(column).as_primitive::<TimestampMicrosecondType>()
}

pub(super) fn decimals(batch: &RecordBatch, column: usize) -> &Decimal128Array {
    batch.column(column).as_primitive::<Decimal128Type>()
}

pub(super) fn integers(batch: &RecordBatch, column: usize) -> &Int64Array {
    batch.column(column).as_primitive::<Int64Type>()
}

pub(super) fn flags(batch: &RecordBatch, column: usize) -> &BooleanArray {
    batch.column(column).as_boolean()
}

/// The text; empty where there is none. Ids and names are never empty themselves.
pub(super) fn text(array: &StringArray, row: usize) -> &str {
    if array.is_valid(row) { array.value(row) } else { "" }
}

/// The number; 0 where there is none.
pub(super) fn integer(array: &Int64Array, row: usize) -> i128 {
    if array.is_valid(row) { i128::from(array.value(row)) } else { 0 }
}

pub(super) fn time(array: &TimestampMicrosecondArray, row: usize) -> Option<DateTime<Utc>> {
    array.is_valid(row).then(|| array.value(row)).and_then(DateTime::from_timestamp_micros)
}

pub(super) fn day(array: &TimestampMicrosecondArray, row: usize) -> Option<NaiveDate> {
    time(array, row).map(|time| time.date_naive())
}

pub(super) fn newest(array: &TimestampMicrosecondArray) -> Option<DateTime<Utc>> {
    array.iter().flatten().max().and_then(DateTime::from_timestamp_micros)
}
