//! One JSON value into one column's type. Pure; what does not fit gives none.
//!
//! Numbers are read from their text: money never passes through a float.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::json::{Kind, inner, unescape};

/// Digits after the point of the decimal type.
const SCALE: i32 = 18;
/// Digits in all.
const PRECISION: u32 = 38;

/// A decimal in units of 10^-18, and whether the text said exactly that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Decimal {
    pub(crate) units: i128,
    pub(crate) exact: bool,
}

/// The text of a number, also when it comes as a string.
fn numeric(value: &str) -> Option<&str> {
    match Kind::of(value) {
        Kind::Number => Some(value),
        Kind::String => Some(inner(value)).filter(|t| t.starts_with(|c: char| c == '-' || c.is_ascii_digit())),
        _ => None,
    }
}

/// An integer, also as `1.0`, `1e3` or `"1"`.
pub(crate) fn int(value: &str) -> Option<i64> {
    let text = numeric(value)?;
    if let Ok(integer) = text.parse() {
        return Some(integer);
    }
    let Decimal { units, exact } = decimal_text(text)?;
    let one = 10_i128.pow(SCALE as u32);
    (exact && units % one == 0).then(|| i64::try_from(units / one).ok())?
}

pub(crate) fn float(value: &str) -> Option<f64> {
    numeric(value)?.parse().ok().filter(|f: &f64| f.is_finite())
}

pub(crate) fn boolean(value: &str) -> Option<bool> {
    match value {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

pub(crate) fn decimal(value: &str) -> Option<Decimal> {
    decimal_text(numeric(value)?)
}

/// Reads `-12.50e-3` digit by digit; beyond 18 decimals it rounds half to even.
pub(crate) fn decimal_text(text: &str) -> Option<Decimal> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let digits = whole.bytes().chain(fraction.bytes()).map(|b| i128::from(b - b'0'));
    // Where the point stands among the digits once the exponent is applied; a
    // digit at place p is worth 10^(point - 1 - p).
    let point = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let kept = point.saturating_add(i64::from(SCALE));
    let (mut units, mut half, mut rest) = (0_i128, 0, false);
    for (place, digit) in (0_i64..).zip(digits) {
        if place < kept {
            units = units.checked_mul(10)?.checked_add(digit)?;
        } else if place == kept {
            half = digit;
        } else {
            rest |= digit != 0;
        }
    }
    let given = i64::try_from(whole.len() + fraction.len()).ok()?;
    if units != 0 && kept > given {
        units = units.checked_mul(10_i128.checked_pow(u32::try_from(kept - given).ok()?)?)?;
    }
    let exact = half == 0 && !rest;
    if half > 5 || (half == 5 && (rest || units % 2 == 1)) {
        units = units.checked_add(1)?;
    }
    let fits = units < 10_i128.pow(PRECISION);
    fits.then_some(Decimal { units: if negative { -units } else { units }, exact })
}

/// Days since 1970-01-01 of `"2026-11-20"`.
pub(crate) fn date(value: &str) -> Option<i32> {
    if Kind::of(value) != Kind::String {
        return None;
    }
    let date = NaiveDate::parse_from_str(inner(value), "%Y-%m-%d").ok()?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days())
        .ok()
        .filter(|d| in_range(i64::from(*d) * DAY))
}

const DAY: i64 = 86_400;

/// Seconds of 1900-01-01 and 2300-01-01: beyond them, warehouses disagree on what a timestamp is.
fn in_range(seconds: i64) -> bool {
    (-2_208_988_800..10_413_792_000).contains(&seconds)
}

/// Microseconds of seconds since 1970 UTC.
pub(crate) fn micros(seconds: i64) -> Option<i64> {
    in_range(seconds).then(|| seconds * 1_000_000)
}

/// Microseconds since 1970 UTC, from Unix seconds (integer or fraction) or ISO 8601.
pub(crate) fn timestamp(value: &str) -> Option<i64> {
    let number = numeric(value);
    if let Some(seconds) = number.and_then(|text| text.parse::<i64>().ok()) {
        return micros(seconds);
    }
    let micros = match number.and_then(decimal_text) {
        Some(seconds) => i64::try_from(seconds.units / 10_i128.pow(12)).ok()?,
        None if Kind::of(value) == Kind::String => iso(&unescape(inner(value))?)?,
        None => return None,
    };
    in_range(micros.div_euclid(1_000_000)).then_some(micros)
}

/// `2026-11-20T10:00:00.123456Z`, with offset, with a space, without zone (UTC), or a date alone.
fn iso(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|f| NaiveDateTime::parse_from_str(text, f).ok());
    if let Some(time) = naive {
        return Some(time.and_utc().timestamp_micros());
    }
    if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z") {
        return Some(time.timestamp_micros());
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: i128 = 1_000_000_000_000_000_000;

    #[test]
    fn decimals() {
        let exact = |units| Some(Decimal { units, exact: true });
        let cases = [
            ("12.50", exact(12 * ONE + ONE / 2)),
            ("\"12.50\"", exact(12 * ONE + ONE / 2)),
            ("-0.06", exact(-6 * ONE / 100)),
            ("0E-6176", exact(0)),
            ("0.003627500000000000000000000000000000", exact(36_275 * ONE / 10_000_000)),
            ("1e2", exact(100 * ONE)),
            ("1.5E-3", exact(15 * ONE / 10_000)),
            ("0.0000000000000000005", Some(Decimal { units: 0, exact: false })),
            ("0.0000000000000000015", Some(Decimal { units: 2, exact: false })),
            ("0.00000000000000000051", Some(Decimal { units: 1, exact: false })),
            ("99999999999999999999.999999999999999999", exact(100 * ONE * ONE - 1)),
            ("100000000000000000000", None),
            ("1e999999999999", None),
            ("170141183460469231731.6873037158841057275", None),
            ("0e999999999999", exact(0)),
            ("true", None),
            ("\"n/a\"", None),
            ("\"\"", None),
            ("[1]", None),
        ];
        for (text, expected) in cases {
            assert_eq!(decimal(text), expected, "{text}");
        }
    }

    #[test]
    fn integers() {
        for (text, expected) in [
            ("5", Some(5)),
            ("-5", Some(-5)),
            ("1.0", Some(1)),
            ("1e3", Some(1000)),
            ("\"7\"", Some(7)),
            ("1.5", None),
            ("9223372036854775808", None),
            ("\"a\"", None),
            ("true", None),
        ] {
            assert_eq!(int(text), expected, "{text}");
        }
    }

    #[test]
    fn timestamps() {
        let second = 1_692_158_096_000_000;
        for (text, expected) in [
            ("1692158096", Some(second)),
            ("1692158096.299021", Some(second + 299_021)),
            ("\"1692158096\"", Some(second)),
            ("\"2023-08-16T03:54:56Z\"", Some(second)),
            ("\"2023-08-16T05:54:56.5+02:00\"", Some(second + 500_000)),
            ("\"2023-08-16 03:54:56\"", Some(second)),
            ("\"2023-08-16\"", Some(1_692_144_000_000_000)),
            ("0", Some(0)),
            ("1692158096000", None),
            ("\"soon\"", None),
            ("{}", None),
        ] {
            assert_eq!(timestamp(text), expected, "{text}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(date("\"1970-01-02\""), Some(1));
        assert_eq!(date("\"2026-13-01\""), None);
        assert_eq!(date("5"), None);
    }

    proptest! {
        #[test]
        fn any_text_ends_without_panic(text in "[-0-9.eE\"+:TZ a-z]{0,40}") {
            let _ = (int(&text), float(&text), decimal(&text), date(&text), timestamp(&text));
        }

        #[test]
        fn decimals_of_integers(n in any::<i64>()) {
            prop_assert_eq!(decimal(&n.to_string()).map(|d| d.units), Some(i128::from(n) * ONE));
            prop_assert_eq!(int(&format!("{n}.0")), Some(n));
        }
    }
}
