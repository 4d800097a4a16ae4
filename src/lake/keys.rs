//! Which rows are the same row: 128-bit hashes of key columns, equal for new and old rows.
//!
//! A hash and not the key itself, because a table of five million rows then
//! costs 16 bytes a key plus the set's room, whatever the keys look like. At
//! that size the chance of one collision is below 10^-25. The seed is fixed:
//! ids come from the API, and hashes are never stored.

use std::hash::{BuildHasherDefault, Hasher};

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use twox_hash::XxHash3_128;

use crate::error::{Error, Result};

/// The hash of each row over some of its columns.
pub(crate) fn hashes(batch: &RecordBatch, columns: &[usize]) -> Result<Vec<u128>> {
    let arrays = columns.iter().map(|c| Bytes::new(batch.column(*c))).collect::<Result<Vec<_>>>()?;
    let mut hashes = Vec::with_capacity(batch.num_rows());
    let mut bytes = Vec::with_capacity(256);
    for row in 0..batch.num_rows() {
        bytes.clear();
        arrays.iter().for_each(|a| a.write(row, &mut bytes));
        hashes.push(XxHash3_128::oneshot(&bytes));
    }
    Ok(hashes)
}

/// The hash of a row of texts, equal to that of string columns with these values.
pub(crate) fn hash_texts<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> u128 {
    let mut bytes = Vec::new();
    texts.into_iter().for_each(|text| write(text.map(str::as_bytes), &mut bytes));
    XxHash3_128::oneshot(&bytes)
}

/// One column, ready to give a row's bytes.
enum Bytes<'a> {
    Text(&'a arrow_array::StringArray),
    Int(&'a arrow_array::Int64Array),
    Time(&'a arrow_array::TimestampMicrosecondArray),
    Date(&'a arrow_array::Date32Array),
    Float(&'a arrow_array::Float64Array),
    Decimal(&'a arrow_array::Decimal128Array),
    Bool(&'a arrow_array::BooleanArray),
}

impl<'a> Bytes<'a> {
    fn new(array: &'a dyn Array) -> Result<Bytes<'a>> {
        Ok(match array.data_type() {
            DataType::Utf8 => Bytes::Text(array.as_string()),
            DataType::Int64 => Bytes::Int(array.as_primitive::<Int64Type>()),
            DataType::Timestamp(..) => Bytes::Time(array.as_primitive::<TimestampMicrosecondType>()),
            DataType::Date32 => Bytes::Date(array.as_primitive::<Date32Type>()),
            DataType::Float64 => Bytes::Float(array.as_primitive::<Float64Type>()),
            DataType::Decimal128(..) => Bytes::Decimal(array.as_primitive::<Decimal128Type>()),
            DataType::Boolean => Bytes::Bool(array.as_boolean()),
            other => return Err(Error::storage(format!("a column of type {other}, which no table has"))),
        })
    }

    fn write(&self, row: usize, into: &mut Vec<u8>) {
        match self {
            Bytes::Text(a) => write(a.is_valid(row).then(|| a.value(row).as_bytes()), into),
            Bytes::Int(a) => write(a.is_valid(row).then(|| a.value(row).to_le_bytes()), into),
            Bytes::Time(a) => write(a.is_valid(row).then(|| a.value(row).to_le_bytes()), into),
            Bytes::Date(a) => write(a.is_valid(row).then(|| a.value(row).to_le_bytes()), into),
            Bytes::Float(a) => write(a.is_valid(row).then(|| a.value(row).to_le_bytes()), into),
            Bytes::Decimal(a) => write(a.is_valid(row).then(|| a.value(row).to_le_bytes()), into),
            Bytes::Bool(a) => write(a.is_valid(row).then(|| [u8::from(a.value(row))]), into),
        }
    }
}

/// Length before content, so that ("a", "bc") and ("ab", "c") differ; null is no value's length.
fn write(value: Option<impl AsRef<[u8]>>, into: &mut Vec<u8>) {
    match value {
        None => into.extend_from_slice(&u64::MAX.to_le_bytes()),
        Some(bytes) => {
            into.extend_from_slice(&(bytes.as_ref().len() as u64).to_le_bytes());
            into.extend_from_slice(bytes.as_ref());
        }
    }
}

/// A set or map of these hashes: they are random already, so the low half serves as it is.
pub(crate) type HashState = BuildHasherDefault<Low>;
pub(crate) type KeySet = std::collections::HashSet<u128, HashState>;
pub(crate) type KeyMap<V> = std::collections::HashMap<u128, V, HashState>;

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
