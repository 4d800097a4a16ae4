//! Whether the books agree: grouped costs against ungrouped ones, and costs against usage. Pure.
//!
//! A row without an amount is never equal to anything: what it cost is not known.
//! Only days that were over when both sides were read are compared: of today, two
//! readings a second apart may truly differ. A day that one side lacks counts as
//! nothing spent there, so a hole shows as a difference of its whole amount.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Serialize, Serializer};

use crate::money;

/// An ISO 4217 code; none when the source told none.
type Currency = Option<String>;

/// What one table says was spent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) amounts: BTreeMap<(NaiveDate, Currency), i128>,
    /// Rows without an amount: what they cost is not known, and it is not nothing.
    pub(crate) unknown: BTreeMap<(NaiveDate, Currency), u64>,
    pub(crate) read: Option<DateTime<Utc>>,
}

impl Ledger {
    fn days(&self) -> BTreeSet<NaiveDate> {
        self.amounts.keys().map(|(day, _)| *day).collect()
    }
}

/// The days on which there was any usage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) days: BTreeSet<NaiveDate>,
    /// When the table that was read longest ago was read.
    pub(crate) read: Option<DateTime<Utc>>,
}

/// Days from `from` on and before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Span {
    pub(crate) from: NaiveDate,
    pub(crate) until: NaiveDate,
}

impl Span {
    fn contains(self, day: NaiveDate) -> bool {
        self.from <= day && day < self.until
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Difference {
    pub(crate) day: NaiveDate,
    pub(crate) currency: Currency,
    #[serde(serialize_with = "as_text")]
    pub(crate) grouped: Option<i128>,
    #[serde(serialize_with = "as_text")]
    pub(crate) ungrouped: Option<i128>,
    /// Grouped minus ungrouped, as far as amounts are known.
    #[serde(serialize_with = "one_as_text")]
    pub(crate) difference: i128,
    /// Rows of either side without an amount: with them the sides are never equal.
    pub(crate) grouped_unknown: u64,
    pub(crate) ungrouped_unknown: u64,
    pub(crate) exceeds: bool,
}

/// A day that only one of usage and costs knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct OneSided {
    pub(crate) day: NaiveDate,
    pub(crate) what: &'static str,
    pub(crate) exceeds: bool,
}

/// What was compared, and what differs. Without a span nothing could be compared.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    #[serde(serialize_with = "one_as_text")]
    pub(crate) tolerance: i128,
    pub(crate) compared: Option<Span>,
    pub(crate) differences: Vec<Difference>,
    pub(crate) coverage_compared: Option<Span>,
    pub(crate) coverage: Vec<OneSided>,
}

impl Outcome {
    pub(crate) fn exceeds(&self) -> bool {
        self.differences.iter().any(|d| d.exceeds) || self.coverage.iter().any(|c| c.exceeds)
    }
}

/// Compares the books; `tolerance` is per day and currency, in the same units as the amounts.
pub(crate) fn compare(grouped: &Ledger, ungrouped: &Ledger, usage: &Usage, tolerance: i128) -> Outcome {
    // Days before the first ungrouped one have no yardstick.
    let compared = span(ungrouped.days().first().copied(), [grouped.read, ungrouped.read]);
    let starts = [grouped.days().first().copied(), usage.days.first().copied()];
    let first = starts.into_iter().collect::<Option<Vec<_>>>().and_then(|days| days.into_iter().max());
    let coverage_compared = span(first, [grouped.read, usage.read]);
    Outcome {
        tolerance,
        compared,
        differences: compared.map(|span| differences(grouped, ungrouped, span, tolerance)).unwrap_or_default(),
        coverage_compared,
        coverage: coverage_compared.map(|span| coverage(grouped, usage, span, tolerance)).unwrap_or_default(),
    }
}

/// From a day to the last one that was over when each side was read.
fn span(from: Option<NaiveDate>, read: [Option<DateTime<Utc>>; 2]) -> Option<Span> {
    let [one, other] = read;
    let until = one?.min(other?).date_naive();
    from.filter(|from| *from < until).map(|from| Span { from, until })
}

fn differences(grouped: &Ledger, ungrouped: &Ledger, span: Span, tolerance: i128) -> Vec<Difference> {
    let keys: BTreeSet<_> = grouped.amounts.keys().chain(ungrouped.amounts.keys()).collect();
    let inside = keys.into_iter().filter(|(day, _)| span.contains(*day));
    let difference = |key: &(NaiveDate, Currency)| {
        let (a, b) = (grouped.amounts.get(key).copied(), ungrouped.amounts.get(key).copied());
        let difference = a.unwrap_or(0).saturating_sub(b.unwrap_or(0));
        let unknown = |ledger: &Ledger| ledger.unknown.get(key).copied().unwrap_or(0);
        let (grouped_unknown, ungrouped_unknown) = (unknown(grouped), unknown(ungrouped));
        let is_unknown = grouped_unknown + ungrouped_unknown > 0;
        (difference != 0 || is_unknown).then(|| Difference {
            day: key.0,
            currency: key.1.clone(),
            grouped: a,
            ungrouped: b,
            difference,
            grouped_unknown,
            ungrouped_unknown,
            exceeds: is_unknown || difference.saturating_abs() > tolerance,
        })
    };
    inside.filter_map(difference).collect()
}

/// Money spent on a day without usage is within the tolerance when it is that little.
/// Usage on a day without costs has no amount that could be.
fn coverage(costs: &Ledger, usage: &Usage, span: Span, tolerance: i128) -> Vec<OneSided> {
    let days = std::iter::successors(Some(span.from), |day| day.checked_add_days(Days::new(1)));
    let paid = costs.days();
    let one_sided = |day: NaiveDate| match (paid.contains(&day), usage.days.contains(&day)) {
        (true, false) => {
            let of_day = costs.amounts.iter().filter(|((d, _), _)| *d == day);
            let exceeds = of_day.into_iter().any(|(_, amount)| amount.saturating_abs() > tolerance);
            Some(OneSided { day, what: "costs without usage", exceeds })
        }
        (false, true) => Some(OneSided { day, what: "usage without costs", exceeds: true }),
        _ => None,
    };
    days.take_while(|day| span.contains(*day)).filter_map(one_sided).collect()
}

fn as_text<S: Serializer>(units: &Option<i128>, serializer: S) -> Result<S::Ok, S::Error> {
    units.map(money::exact).serialize(serializer)
}

fn one_as_text<S: Serializer>(units: &i128, serializer: S) -> Result<S::Ok, S::Error> {
    money::exact(*units).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::{ONE, parse};

    fn day(number: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, number).unwrap()
    }

    fn noon(number: u32) -> Option<DateTime<Utc>> {
        Some(day(number).and_hms_opt(12, 0, 0).unwrap().and_utc())
    }

    fn ledger(read: u32, amounts: &[(u32, &str)]) -> Ledger {
        let usd = || Some("usd".to_string());
        let amounts = amounts.iter().map(|(number, text)| ((day(*number), usd()), parse(text).unwrap())).collect();
        Ledger { amounts, read: noon(read), ..Ledger::default() }
    }

    fn usage(read: u32, days: &[u32]) -> Usage {
        Usage { days: days.iter().copied().map(day).collect(), read: noon(read) }
    }

    /// (day, difference, exceeds) of what differs.
    fn told(grouped: &Ledger, ungrouped: &Ledger, tolerance: &str) -> Vec<(u32, String, bool)> {
        use chrono::Datelike;
        let outcome = compare(grouped, ungrouped, &Usage::default(), parse(tolerance).unwrap());
        let told = |d: &Difference| (d.day.day(), money::exact(d.difference), d.exceeds);
        outcome.differences.iter().map(told).collect()
    }

    #[test]
    fn what_differs_is_told_to_the_last_digit() {
        let grouped = ledger(9, &[(1, "10"), (2, "0.000000000000000001"), (3, "5.02"), (4, "7")]);
        let totals = ledger(9, &[(1, "10"), (3, "5"), (4, "7.01"), (5, "1")]);
        let expected = [(2, "0.000000000000000001", false), (3, "0.02", true), (4, "-0.01", false), (5, "-1", true)];
        assert_eq!(told(&grouped, &totals, "0.01"), expected.map(|(d, text, e)| (d, text.to_string(), e)));
        assert!(told(&grouped, &totals, "0").iter().all(|(_, _, exceeds)| *exceeds));
    }

    #[test]
    fn days_that_were_not_over_and_days_without_a_yardstick_are_left_alone() {
        let grouped = ledger(5, &[(1, "1"), (3, "3"), (4, "4"), (5, "5")]);
        let totals = ledger(4, &[(2, "2"), (3, "3"), (4, "40")]);
        let outcome = compare(&grouped, &totals, &Usage::default(), 0);
        assert_eq!(outcome.compared, Some(Span { from: day(2), until: day(4) }));
        assert_eq!(told(&grouped, &totals, "0"), [(2, "-2".to_string(), true)]);
    }

    #[test]
    fn an_amount_that_is_not_known_is_equal_to_nothing() {
        let mut grouped = ledger(9, &[(1, "1"), (2, "2")]);
        let mut totals = grouped.clone();
        grouped.unknown.insert((day(1), Some("usd".to_string())), 2);
        let expected = [(1, "0".to_string(), true)];
        assert_eq!(told(&grouped, &totals, "1000"), expected);
        totals.unknown.clone_from(&grouped.unknown);
        assert_eq!(told(&grouped, &totals, "1000"), expected, "on both sides as well");
    }

    #[test]
    fn currencies_are_kept_apart() {
        let mut grouped = ledger(9, &[(1, "1")]);
        grouped.amounts.insert((day(1), None), ONE);
        let totals = ledger(9, &[(1, "2")]);
        let expected = [(1, "1".to_string(), true), (1, "-1".to_string(), true)];
        assert_eq!(told(&grouped, &totals, "0"), expected);
    }

    #[test]
    fn usage_and_costs_must_cover_the_same_days() {
        let costs = ledger(9, &[(1, "1"), (2, "1"), (4, "0.005"), (5, "1")]);
        let outcome = compare(&costs, &costs, &usage(7, &[2, 3, 6, 7]), ONE / 100);
        assert_eq!(outcome.coverage_compared, Some(Span { from: day(2), until: day(7) }));
        let one = |number, what, exceeds| OneSided { day: day(number), what, exceeds };
        let expected = vec![
            one(3, "usage without costs", true),
            one(4, "costs without usage", false),
            one(5, "costs without usage", true),
            one(6, "usage without costs", true),
        ];
        assert_eq!(outcome.coverage, expected);
    }

    #[test]
    fn nothing_read_is_nothing_compared() {
        let outcome = compare(&Ledger::default(), &Ledger::default(), &Usage::default(), 0);
        assert_eq!((outcome.compared, outcome.coverage_compared, outcome.exceeds()), (None, None, false));
    }
}
