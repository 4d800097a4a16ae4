//! Money as it is kept: units of 10^-18 in an `i128`, as DECIMAL(38,18) holds it.
//!
//! Sums stay exact; text is made only where somebody reads it, and [`exact`] loses
//! nothing even then. No float comes near an amount.

use crate::decode;
use crate::error::{Error, Result};

/// Units in one of a currency.
pub(crate) const ONE: i128 = 1_000_000_000_000_000_000;

/// The shortest text of the very value: `12.5`, `-0.000000000000000001`, `0`.
pub(crate) fn exact(units: i128) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let (whole, rest) = (units.unsigned_abs() / ONE.unsigned_abs(), units.unsigned_abs() % ONE.unsigned_abs());
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let places = format!("{rest:018}");
    format!("{sign}{whole}.{}", places.trim_end_matches('0'))
}

/// Adds to a sum; an error where 38 digits are too few, which no true amount needs.
pub(crate) fn add(sum: &mut i128, units: i128) -> Result<()> {
    *sum = sum.checked_add(units).ok_or_else(|| {
        Error::integrity("the amounts add up to more than 38 digits can hold")
            .hint("an amount in the lake is wrong: look for the largest one, and read its day again (`sync --tables TABLE --since DAY`)")
    })?;
    Ok(())
}

/// Reads what somebody typed, such as `0.01`; none when it is no number or needs more than 18 decimals.
pub(crate) fn parse(text: &str) -> Option<i128> {
    decode::decimal_text(text.trim()).filter(|d| d.exact).map(|d| d.units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_says_the_very_value() {
        for (units, text) in [
            (0, "0"),
            (ONE, "1"),
            (ONE / 2, "0.5"),
            (-ONE / 100, "-0.01"),
            (1, "0.000000000000000001"),
            (-125 * ONE / 10, "-12.5"),
        ] {
            assert_eq!(exact(units), text);
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "a cent", "1,5", "--1", "0.0000000000000000001", "\"1"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(" 0.01 "), Some(ONE / 100));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(units in -10_i128.pow(37)..10_i128.pow(37)) {
            prop_assert_eq!(parse(&exact(units)), Some(units));
        }
    }
}
