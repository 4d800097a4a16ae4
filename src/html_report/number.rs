//! How numbers look to people. What is shown is rounded; the exact value stands beside it in the page.

use chrono::{DateTime, Utc};

use crate::money::ONE;

/// `$1,234.56`, `1,234.56 EUR`; `less than $0.01` for what would look like nothing.
pub(super) fn amount(units: i128, currency: &str) -> String {
    let cent = ONE / 100;
    if units != 0 && units.abs() < cent / 2 {
        return format!("{}<\u{2060}{}", if units < 0 { "−" } else { "" }, with_sign("0.01", currency));
    }
    let cents = (units.unsigned_abs() + cent.unsigned_abs() / 2) / cent.unsigned_abs();
    let text = with_sign(&format!("{}.{:02}", grouped(cents / 100), cents % 100), currency);
    if units < 0 { format!("−{text}") } else { text }
}

/// A round amount on an axis: cents only where they say something.
pub(super) fn tick(units: i128, currency: &str) -> String {
    match units % ONE {
        0 => with_sign(&grouped((units / ONE).unsigned_abs()), currency),
        _ => amount(units, currency),
    }
}

fn with_sign(number: &str, currency: &str) -> String {
    match currency {
        "" => number.to_string(),
        "usd" => format!("${number}"),
        "eur" => format!("€{number}"),
        "gbp" => format!("£{number}"),
        other => format!("{number} {}", other.to_uppercase()),
    }
}

/// `1,234,567`
pub(super) fn whole(number: i128) -> String {
    let text = grouped(number.unsigned_abs());
    if number < 0 { format!("−{text}") } else { text }
}

fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `950`, `12.5K`, `905M`, `1.2B`: three digits at most.
pub(super) fn short(number: i128) -> String {
    let (unit, suffix) = match number.abs() {
        0..=9_999 => return whole(number),
        10_000..=999_999 => (1_000, "K"),
        1_000_000..=999_999_999 => (1_000_000, "M"),
        1_000_000_000..=999_999_999_999 => (1_000_000_000, "B"),
        _ => (1_000_000_000_000, "T"),
    };
    let rounded = |parts: i128| (number * parts + number.signum() * unit / 2) / unit;
    match rounded(10) {
        tenths if tenths.abs() < 1_000 && tenths % 10 != 0 => {
            format!("{}.{}{suffix}", tenths / 10, (tenths % 10).abs())
        }
        _ => format!("{}{suffix}", whole(rounded(1))),
    }
}

/// A part of a whole: `27.7%`; nothing where there is no whole.
pub(super) fn share(part: i128, whole: i128) -> String {
    if whole == 0 {
        return "–".to_string();
    }
    let mille = part as f64 / whole as f64 * 1000.0;
    match mille.abs() {
        m if part != 0 && m < 0.5 => "<\u{2060}0.1%".to_string(),
        m if m >= 999.5 => format!("{:.0}%", mille / 10.0),
        _ => format!("{:.1}%", mille / 10.0),
    }
}

/// Rounded up to a unit: `19 MB`.
pub(super) fn bytes(number: u64) -> String {
    let units = [(1_u64 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
    match units.into_iter().find(|(unit, _)| number >= *unit) {
        None => format!("{number} B"),
        Some((unit, suffix)) => {
            let tenths = (u128::from(number) * 10).div_ceil(u128::from(unit));
            match tenths {
                0..=99 => format!("{}.{} {suffix}", tenths / 10, tenths % 10),
                _ => format!("{} {suffix}", grouped(tenths.div_ceil(10))),
            }
        }
    }
}

/// How long before `now`: `3 minutes ago`, `2 days ago`.
pub(super) fn ago(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let minutes = (now - time).num_minutes();
    let (number, unit) = match minutes {
        i64::MIN..=0 => return "just now".to_string(),
        1..=119 => (minutes, "minute"),
        120..=2_879 => (minutes / 60, "hour"),
        _ => (minutes / 1_440, "day"),
    };
    format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_looks_like_money() {
        for (units, currency, text) in [
            (0, "usd", "$0.00"),
            (123_456 * ONE / 100, "usd", "$1,234.56"),
            (-ONE, "usd", "−$1.00"),
            (ONE / 1000, "usd", "<\u{2060}$0.01"),
            (5 * ONE / 1000, "usd", "$0.01"),
            (9_999 * ONE / 10_000, "chf", "1.00 CHF"),
            (ONE, "", "1.00"),
        ] {
            assert_eq!(amount(units, currency), text);
        }
        assert_eq!(tick(2_500 * ONE, "usd"), "$2,500");
        assert_eq!(tick(ONE / 2, "eur"), "€0.50");
    }

    #[test]
    fn numbers_are_short_and_honest() {
        for (number, text) in [
            (9_999, "9,999"),
            (12_500, "12.5K"),
            (905_523_456, "906M"),
            (-12_460, "-12.5K"),
            (100_000_000, "100M"),
            (1_200_000_000, "1.2B"),
        ] {
            assert_eq!(short(number), text);
        }
        assert_eq!(
            (share(1, 3), share(1, 1), share(1, 100_000), share(0, 5), share(1, 0)),
            ("33.3%".to_string(), "100%".to_string(), "<\u{2060}0.1%".to_string(), "0.0%".to_string(), "–".to_string())
        );
        assert_eq!((bytes(999), bytes(1024), bytes(20_000_000)), ("999 B".into(), "1.0 kB".into(), "20 MB".into()));
    }

    #[test]
    fn ages_are_told_in_one_unit() {
        let now = DateTime::UNIX_EPOCH + chrono::Duration::days(10);
        for (minutes, text) in
            [(0, "just now"), (1, "1 minute ago"), (119, "119 minutes ago"), (120, "2 hours ago"), (2880, "2 days ago")]
        {
            assert_eq!(ago(now - chrono::Duration::minutes(minutes), now), text);
        }
    }
}
