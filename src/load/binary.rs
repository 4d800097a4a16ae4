//! Rows in PostgreSQL's binary COPY format, from Arrow columns.
//!
//! Pure. NUMERIC is written from the 128-bit integer, digit for digit, and never
//! goes through a float or a text. PostgreSQL has no NUL character in text: it
//! becomes U+FFFD, and is counted. `jsonb` is its version and the text (see `jsonb`).

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use bytes::{BufMut, BytesMut};

use super::jsonb::accepted;
use super::{Loaded, Wire};
use crate::error::{Error, Result};
use crate::schema::Type;

/// Signature, flags, length of the header's extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
pub(super) const TRAILER: &[u8] = &(-1_i16).to_be_bytes();

/// PostgreSQL counts from 2000-01-01.
const DAYS_TO_2000: i32 = 10_957;
const MICROS_TO_2000: i64 = 946_684_800_000_000;
/// Decimals of every `decimal` column.
const SCALE: u16 = 18;

/// Version of `jsonb` on the wire.
const JSONB_VERSION: u8 = 1;

/// Appends the rows of a batch; `day` is a last column that all rows share. Counts what PostgreSQL does not accept.
pub(super) fn rows(columns: &[(Wire, ArrayRef)], day: Option<i32>, rows: usize, out: &mut BytesMut) -> Result<Loaded> {
    let count = columns.len() + usize::from(day.is_some());
    let count = i16::try_from(count).map_err(|_| Error::usage("a table has more columns than PostgreSQL takes"))?;
    let mut loaded = Loaded { rows: rows as u64, ..Loaded::default() };
    for row in 0..rows {
        out.put_i16(count);
        for (wire, array) in columns {
            cell(*wire, array, row, out, &mut loaded)?;
        }
        if let Some(day) = day {
            out.put_i32(4);
            out.put_i32(day - DAYS_TO_2000);
        }
    }
    Ok(loaded)
}

fn cell(wire: Wire, array: &Arc<dyn Array>, row: usize, out: &mut BytesMut, loaded: &mut Loaded) -> Result<()> {
    if array.is_null(row) {
        out.put_i32(-1);
        return Ok(());
    }
    match wire {
        Wire::Plain(Type::String | Type::Json) => {
            loaded.nul += text(array.as_string::<i32>().value(row), &[], out)?;
        }
        Wire::Json { binary } => {
            let (value, changed) = accepted(array.as_string::<i32>().value(row));
            loaded.json += changed;
            text(&value, if binary { &[JSONB_VERSION] } else { &[] }, out)?;
        }
        Wire::Plain(Type::Int) => fixed(out, &array.as_primitive::<Int64Type>().value(row).to_be_bytes()),
        Wire::Plain(Type::Float) => fixed(out, &array.as_primitive::<Float64Type>().value(row).to_be_bytes()),
        Wire::Plain(Type::Bool) => fixed(out, &[u8::from(array.as_boolean().value(row))]),
        Wire::Plain(Type::Date) => {
            let days = array.as_primitive::<Date32Type>().value(row).saturating_sub(DAYS_TO_2000);
            fixed(out, &days.to_be_bytes());
        }
        Wire::Plain(Type::Timestamp) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            fixed(out, &micros.saturating_sub(MICROS_TO_2000).to_be_bytes());
        }
        Wire::Plain(Type::Decimal) => numeric(array.as_primitive::<Decimal128Type>().value(row), out),
    }
    Ok(())
}

fn fixed(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

/// Appends a text behind `prefix`, and returns the number of NUL characters replaced.
fn text(text: &str, prefix: &[u8], out: &mut BytesMut) -> Result<u64> {
    let nul = text.bytes().filter(|b| *b == 0).count();
    let clean = if nul == 0 { Cow::Borrowed(text) } else { Cow::Owned(text.replace('\0', "\u{fffd}")) };
    let length = i32::try_from(clean.len() + prefix.len());
    out.put_i32(length.map_err(|_| Error::contract("a text is longer than PostgreSQL takes (1 GB)"))?);
    out.put_slice(prefix);
    out.put_slice(clean.as_bytes());
    Ok(nul as u64)
}

/// `value` is in units of 10⁻¹⁸. A NUMERIC is groups of four decimal digits with
/// the weight of the first; 18 decimals are 4½ groups, so the value is brought to 20.
fn numeric(value: i128, out: &mut BytesMut) {
    let negative = value < 0;
    let magnitude = value.unsigned_abs();
    let (mut whole, fraction) = (magnitude / 10_u128.pow(18), magnitude % 10_u128.pow(18) * 100);
    let mut groups: Vec<i16> = Vec::with_capacity(15);
    while whole > 0 {
        groups.push((whole % 10_000) as i16);
        whole /= 10_000;
    }
    groups.reverse();
    let weight = groups.len() as i16 - 1;
    groups.extend((0..5).rev().map(|group| (fraction / 10_u128.pow(4 * group) % 10_000) as i16));
    out.put_i32(8 + 2 * groups.len() as i32);
    out.put_i16(groups.len() as i16);
    out.put_i16(weight);
    out.put_u16(if negative { 0x4000 } else { 0 });
    out.put_u16(SCALE);
    groups.into_iter().for_each(|group| out.put_i16(group));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(value: i128) -> (i16, bool, Vec<i16>) {
        let mut out = BytesMut::new();
        numeric(value, &mut out);
        let word = |at: usize| i16::from_be_bytes([out[at], out[at + 1]]);
        assert_eq!(out.len() as i32 - 4, i32::from_be_bytes([out[0], out[1], out[2], out[3]]));
        assert_eq!(word(10), 18);
        let digits = (0..word(4)).map(|i| word(12 + 2 * i as usize)).collect();
        (word(6), word(8) == 0x4000, digits)
    }

    /// What the groups are worth, by PostgreSQL's rule, in units of 10⁻²⁰.
    fn worth((weight, negative, digits): (i16, bool, Vec<i16>)) -> Option<i128> {
        let mut sum = 0_i128;
        for (i, digit) in digits.iter().enumerate() {
            let power = 4 * (i32::from(weight) - i as i32) + 20;
            sum = sum.checked_add(i128::from(*digit).checked_mul(10_i128.checked_pow(u32::try_from(power).ok()?)?)?)?;
        }
        Some(if negative { -sum } else { sum })
    }

    #[test]
    fn numerics_are_worth_what_they_were() {
        for value in
            [0, 1, -1, 10_i128.pow(18), -12_500_000_000_000_000_000, 10_i128.pow(18) * 9_999, 99, 10_i128.pow(22)]
        {
            assert_eq!(worth(groups(value)), Some(value * 100), "{value}");
        }
        let most = 10_i128.pow(38) - 1;
        assert_eq!(groups(most).2, [9999; 9].into_iter().chain([9900]).collect::<Vec<_>>());
        assert_eq!(groups(most).0, 4);
    }

    #[test]
    fn a_nul_is_replaced_and_counted() {
        let mut out = BytesMut::new();
        assert_eq!(text("a\0b", &[], &mut out).unwrap(), 1);
        assert_eq!(&out[4..], "a\u{fffd}b".as_bytes());
    }
}
