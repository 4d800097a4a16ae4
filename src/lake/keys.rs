//! Which rows are the same row: 128-bit hashes of key columns, equal for new and old rows.
//!
//! A hash and not the key itself, because a table of five million rows then
//! costs the same, whatever the keys look like ([`super::key_set`]). The seed is
//! fixed: ids come from the API, and hashes are never kept for another run.

use std::hash::{BuildHasherDefault, Hasher};

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use twox_hash::XxHash3_128;

use crate::error::{Error, Result};

/// The hash of each row over some of its columns.
pub(crate) fn hashes(batch: &RecordBatch, columns: &[usize]) -> Result<Vec<u128>> {
    let there = there(batch, columns)?;
    let mut hashes = Vec::with_capacity(batch.num_rows());
    let mut bytes = Vec::with_capacity(256);
    for row in 0..batch.num_rows() {
        bytes.clear();
        write(&there, row, &mut bytes);
        hashes.push(XxHash3_128::oneshot(&bytes));
    }
    Ok(hashes)
}

/// The hash of each row over its key, and over its key and some more columns.
pub(crate) fn hashes_with(batch: &RecordBatch, key: &[usize], more: &[usize]) -> Result<Vec<(u128, u128)>> {
    let (key, more) = (there(batch, key)?, there(batch, more)?);
    let mut hashes = Vec::with_capacity(batch.num_rows());
    let mut bytes = Vec::with_capacity(256);
    for row in 0..batch.num_rows() {
        bytes.clear();
        write(&key, row, &mut bytes);
        let of_key = XxHash3_128::oneshot(&bytes);
        // The key's bytes are not hashed once more: its hash stands for them.
        bytes.clear();
        bytes.extend_from_slice(&of_key.to_le_bytes());
        write(&more, row, &mut bytes);
        hashes.push((of_key, XxHash3_128::oneshot(&bytes)));
    }
    Ok(hashes)
}

/// Columns with their places. A null adds nothing to its row's bytes, so a column of nulls need not be looked at.
fn there<'a>(batch: &'a RecordBatch, columns: &[usize]) -> Result<Vec<(u16, Values<'a>)>> {
    let all = (0..).zip(columns).map(|(place, column)| (place, batch.column(*column)));
    let filled = all.filter(|(_, array)| array.null_count() < array.len());
    filled.map(|(place, array)| Ok((place, Values::new(array)?))).collect()
}

fn write(columns: &[(u16, Values<'_>)], row: usize, into: &mut Vec<u8>) {
    columns.iter().for_each(|(place, values)| values.write(row, *place, into));
}

/// The hash that the `n`-th equal of a row has, for a set that counts.
pub(super) fn nth(hash: u128, n: u32) -> u128 {
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(&hash.to_le_bytes());
    bytes[16..].copy_from_slice(&n.to_le_bytes());
    XxHash3_128::oneshot(&bytes)
}

/// The hash of a row of texts, equal to that of string columns with these values.
pub(crate) fn hash_texts<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> u128 {
    let mut bytes = Vec::new();
    (0..).zip(texts).filter_map(|(place, text)| Some((place, text?))).for_each(|(place, t)| text(t, place, &mut bytes));
    XxHash3_128::oneshot(&bytes)
}

/// One column, ready to give a row's bytes.
enum Values<'a> {
    Text(&'a arrow_array::StringArray),
    Int(&'a arrow_array::Int64Array),
    Time(&'a arrow_array::TimestampMicrosecondArray),
    Date(&'a arrow_array::Date32Array),
    Float(&'a arrow_array::Float64Array),
    Decimal(&'a arrow_array::Decimal128Array),
    Bool(&'a arrow_array::BooleanArray),
}

impl<'a> Values<'a> {
    fn new(array: &'a dyn Array) -> Result<Values<'a>> {
        Ok(match array.data_type() {
            DataType::Utf8 => Values::Text(array.as_string()),
            DataType::Int64 => Values::Int(array.as_primitive::<Int64Type>()),
            DataType::Timestamp(..) => Values::Time(array.as_primitive::<TimestampMicrosecondType>()),
            DataType::Date32 => Values::Date(array.as_primitive::<Date32Type>()),
            DataType::Float64 => Values::Float(array.as_primitive::<Float64Type>()),
            DataType::Decimal128(..) => Values::Decimal(array.as_primitive::<Decimal128Type>()),
            DataType::Boolean => Values::Bool(array.as_boolean()),
            other => return Err(Error::storage(format!("a column of type {other}, which no table has"))),
        })
    }

    fn write(&self, row: usize, place: u16, into: &mut Vec<u8>) {
        match self {
            Values::Text(a) if a.is_valid(row) => text(a.value(row), place, into),
            Values::Int(a) if a.is_valid(row) => word(a.value(row) as u64, place, into),
            Values::Time(a) if a.is_valid(row) => word(a.value(row) as u64, place, into),
            Values::Date(a) if a.is_valid(row) => word(a.value(row) as u64, place, into),
            Values::Float(a) if a.is_valid(row) => word(a.value(row).to_bits(), place, into),
            Values::Bool(a) if a.is_valid(row) => word(a.value(row).into(), place, into),
            Values::Decimal(a) if a.is_valid(row) => {
                word(a.value(row) as u64, place, into);
                word((a.value(row) >> 64) as u64, place, into);
            }
            _ => {}
        }
    }
}

/// Length before content, so that ("a", "bc") and ("ab", "c") differ.
fn text(text: &str, place: u16, into: &mut Vec<u8>) {
    word(text.len() as u64, place, into);
    into.extend_from_slice(text.as_bytes());
}

/// The column's place before the value, so that (1, null) and (null, 1) differ. Both at once: a row has many.
fn word(value: u64, place: u16, into: &mut Vec<u8>) {
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&place.to_le_bytes());
    bytes[2..].copy_from_slice(&value.to_le_bytes());
    into.extend_from_slice(&bytes);
}

/// A map of these hashes: they are random already, so the low half serves as it is.
pub(crate) type KeyMap<V> = std::collections::HashMap<u128, V, BuildHasherDefault<Low>>;

#[derive(Default)]
pub(crate) struct Low(u64);

impl Hasher for Low {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.0 = self.0.rotate_left(8) ^ u64::from(*b));
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, BooleanArray, Decimal128Array, Int64Array, StringArray};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    fn batch(columns: impl IntoIterator<Item = ArrayRef>) -> RecordBatch {
        let named = ('a'..).map(String::from).zip(columns);
        RecordBatch::try_from_iter_with_nullable(named.map(|(name, array)| (name, array, true))).unwrap()
    }

    /// Rows of which no two are the same; each column has every value beside others.
    fn rows() -> RecordBatch {
        let texts = |values: [Option<&str>; 9]| Arc::new(StringArray::from_iter(values)) as ArrayRef;
        let numbers = |values: [Option<i64>; 9]| Arc::new(Int64Array::from_iter(values)) as ArrayRef;
        let (zero, one) = (Some(0), Some(1));
        batch([
            texts([None, Some("a"), Some("ab"), Some(""), None, None, None, None, None]),
            texts([None, Some("bc"), Some("c"), None, Some(""), None, None, None, None]),
            numbers([None, None, None, None, None, one, None, zero, zero]),
            numbers([None, None, None, None, None, None, one, None, zero]),
        ])
    }

    #[test]
    fn rows_that_differ_have_hashes_that_differ() {
        let all = hashes(&rows(), &[0, 1, 2, 3]).unwrap();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 9);
        let both = hashes_with(&rows(), &[0, 1], &[2, 3]).unwrap();
        assert_eq!(both.iter().map(|(key, _)| *key).collect::<Vec<_>>(), hashes(&rows(), &[0, 1]).unwrap());
        assert_eq!(both.iter().map(|(_, all)| all).collect::<BTreeSet<_>>().len(), 9);
    }

    #[test]
    fn a_row_has_one_hash_whatever_stands_beside_it() {
        let (all, columns) = (rows(), [0, 1, 2, 3]);
        let alone: Vec<u128> = (0..9).map(|row| hashes(&all.slice(row, 1), &columns).unwrap()[0]).collect();
        assert_eq!(alone, hashes(&all, &columns).unwrap());
    }

    #[test]
    fn texts_have_the_hash_of_their_columns() {
        let texts = [Some("a"), Some("bc")];
        assert_eq!(hash_texts(texts), hashes(&rows(), &[0, 1]).unwrap()[1]);
        assert_eq!(hash_texts([None, None]), hashes(&rows(), &[0, 1]).unwrap()[0]);
    }

    #[test]
    fn values_of_each_width_and_more_columns_than_bits_in_a_byte() {
        let number = |value| Arc::new(Int64Array::from(vec![Some(value), None])) as ArrayRef;
        let flag = Arc::new(BooleanArray::from(vec![None, Some(true)])) as ArrayRef;
        let amount = Arc::new(Decimal128Array::from(vec![Some(-1), Some(i128::MAX)])) as ArrayRef;
        let columns: Vec<ArrayRef> = (0..9).map(number).chain([flag, amount]).collect();
        let wide = batch(columns.clone());
        let all: Vec<usize> = (0..11).collect();
        let known = hashes(&wide, &all).unwrap();
        for changed in 0..11 {
            let without: Vec<usize> = all.iter().copied().filter(|column| *column != changed).collect();
            let other = hashes(&wide, &without).unwrap();
            assert!(known.iter().zip(&other).all(|(a, b)| a != b), "column {changed}");
        }
    }
}
