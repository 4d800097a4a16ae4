//! How the costs write their numbers: mostly as numbers, at times as strings, and at
//! times with an exponent or with far more digits than the value needs. The value is
//! exact in every form.

use super::ledger::{Cell, LINE_ITEMS, LONG_TEXT};
use super::random::Chance;

/// Units of an amount in one dollar.
const DOLLAR: i64 = 10_000_000_000;

/// `amount`, `quantity` and `quantity_unit` of a result.
pub(super) fn members(start: i64, cells: &[Cell], sums: &[i64], itemized: bool) -> Vec<String> {
    let (amount, quantity) = match sums {
        [amount, quantity] => (*amount, *quantity),
        _ => (0, 0),
    };
    let unit = cells.iter().filter(|_| itemized).find_map(unit);
    let (quantity, unit) = match unit {
        Some(unit) => (decimal(quantity, 1_000), format!("\"{unit}\"")),
        None => ("null".to_owned(), "null".to_owned()),
    };
    vec![
        format!("\"amount\":{{\"value\":{},\"currency\":\"usd\"}}", lexeme(amount, chance(start, cells))),
        format!("\"quantity\":{quantity}"),
        format!("\"quantity_unit\":{unit}"),
    ]
}

fn unit(cell: &Cell) -> Option<&'static str> {
    let Cell::Text(text) = cell else {
        return None;
    };
    LINE_ITEMS.iter().find(|item| item.0 == text)?.1
}

fn chance(start: i64, cells: &[Cell]) -> Chance {
    let bucket = Chance::new(0).at(start.unsigned_abs());
    cells.iter().fold(bucket, |chance, cell| match cell {
        Cell::Text(text) => chance.of(text),
        Cell::Flag(flag) => chance.at(u64::from(*flag)),
        Cell::Null => chance.at(2),
    })
}

fn lexeme(amount: i64, chance: Chance) -> String {
    let plain = decimal(amount, DOLLAR);
    if amount == 0 {
        return "0E-6176".to_owned();
    }
    if amount == LONG_TEXT {
        return padded(amount);
    }
    match chance.below(8) {
        0 => format!("\"{}\"", two_places(&plain)),
        1 => padded(amount),
        _ => plain,
    }
}

/// The shortest text of `value / unit`; `unit` is a power of ten.
fn decimal(value: i64, unit: i64) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    let places = format!("{rest:0digits$}");
    format!("{whole}.{}", places.trim_end_matches('0'))
}

/// All 36 places, as a decimal128 writes them.
fn padded(amount: i64) -> String {
    format!("{}.{:010}{}", amount / DOLLAR, amount % DOLLAR, "0".repeat(26))
}

/// At least two places, as a price tag.
fn two_places(plain: &str) -> String {
    match plain.split_once('.') {
        None => format!("{plain}.00"),
        Some((_, places)) if places.len() < 2 => format!("{plain}0"),
        Some(_) => plain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_in_every_form() {
        assert_eq!(decimal(125 * DOLLAR / 10, DOLLAR), "12.5");
        assert_eq!(two_places("12.5"), "12.50");
        assert_eq!(padded(LONG_TEXT), "0.003627500000000000000000000000000000");
        assert_eq!(lexeme(0, Chance::new(1)), "0E-6176");
        assert_eq!(decimal(24_500, 1_000), "24.5");
    }
}
