//! What was spent: by day, project, model, key and person, each currency by itself. Pure.

use std::collections::BTreeMap;

use arrow_array::{Array, RecordBatch};
use chrono::{DateTime, NaiveDate, Utc};

use crate::error::Result;
use crate::html_report::columns::{day, decimals, newest, text, texts, times};
use crate::html_report::period::Period;
use crate::money;

/// Columns of `costs`, in the order in which [`Money::add`] takes them.
pub(in crate::html_report) const COLUMNS: [&str; 8] =
    ["start_time", "currency", "amount", "project_id", "line_item", "api_key_id", "user_id", "_synced_at"];

/// Sums by id; the empty id is what the source attributes to nobody.
pub(in crate::html_report) type Sums = BTreeMap<String, i128>;

/// Spend in one currency.
#[derive(Debug, Default)]
pub(in crate::html_report) struct Spend {
    pub(in crate::html_report) total: i128,
    pub(in crate::html_report) days: BTreeMap<NaiveDate, Sums>,
    pub(in crate::html_report) projects: Sums,
    pub(in crate::html_report) items: Sums,
    pub(in crate::html_report) keys: Sums,
    pub(in crate::html_report) users: Sums,
}

#[derive(Debug, Default)]
pub(in crate::html_report) struct Money {
    /// By currency; the empty one where the source told none.
    pub(in crate::html_report) currencies: BTreeMap<String, Spend>,
    pub(in crate::html_report) read: Option<DateTime<Utc>>,
}

impl Money {
    pub(in crate::html_report) fn add(&mut self, batch: &RecordBatch, period: Period) -> Result<()> {
        let (starts, amounts) = (times(batch, 0), decimals(batch, 2));
        let [currency, project, item, key, user] = [1, 3, 4, 5, 6].map(|column| texts(batch, column));
        for row in 0..batch.num_rows() {
            let Some(of) = day(starts, row).filter(|day| period.contains(*day)) else { continue };
            if amounts.is_null(row) {
                continue;
            }
            let amount = amounts.value(row);
            let spend = self.currencies.entry(text(currency, row).to_string()).or_default();
            money::add(&mut spend.total, amount)?;
            bump(spend.days.entry(of).or_default(), text(project, row), amount)?;
            bump(&mut spend.projects, text(project, row), amount)?;
            bump(&mut spend.items, text(item, row), amount)?;
            bump(&mut spend.keys, text(key, row), amount)?;
            bump(&mut spend.users, text(user, row), amount)?;
        }
        self.read = self.read.max(newest(times(batch, 7)));
        Ok(())
    }
}

impl Spend {
    /// Sums by model: what stands before the first comma of a line item, such as `gpt-5.2, input`.
    pub(in crate::html_report) fn models(&self) -> Sums {
        let mut models = Sums::new();
        for (item, amount) in &self.items {
            let model = item.split(',').next().unwrap_or(item).trim();
            *models.entry(model.to_string()).or_default() += amount;
        }
        models
    }

    /// What was spent on the last seven days that were over, and on the seven before; none when there are fewer.
    pub(in crate::html_report) fn two_weeks(&self, period: Period, today: NaiveDate) -> Option<(i128, i128)> {
        let until = period.until.min(today);
        if (until - period.from).num_days() < 14 {
            return None;
        }
        let of = |back: std::ops::Range<i64>| -> i128 {
            let inside = self.days.iter().filter(|(day, _)| back.contains(&((until - **day).num_days() - 1)));
            inside.flat_map(|(_, sums)| sums.values()).sum()
        };
        Some((of(0..7), of(7..14)))
    }
}

/// The largest sums, and what is left over.
#[derive(Debug, PartialEq)]
pub(in crate::html_report) struct Top<'s> {
    /// Largest first.
    pub(in crate::html_report) first: Vec<(&'s str, i128)>,
    /// How many others there are, and their sum.
    pub(in crate::html_report) others: usize,
    pub(in crate::html_report) rest: i128,
    /// What the source attributes to nobody, however much it is.
    pub(in crate::html_report) nobody: Option<i128>,
}

pub(in crate::html_report) fn largest(sums: &Sums, most: usize) -> Top<'_> {
    let named = sums.iter().filter(|(id, _)| !id.is_empty());
    let mut first: Vec<(&str, i128)> = named.map(|(id, sum)| (id.as_str(), *sum)).collect();
    first.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
    let rest = first.split_off(first.len().min(most));
    Top { first, others: rest.len(), rest: rest.iter().map(|(_, sum)| sum).sum(), nobody: sums.get("").copied() }
}

/// Adds without making a `String` for an id that is known: there are as many calls as rows.
pub(in crate::html_report) fn bump(sums: &mut Sums, id: &str, amount: i128) -> Result<()> {
    match sums.get_mut(id) {
        Some(sum) => money::add(sum, amount),
        None => {
            sums.insert(id.to_string(), amount);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(of: &[(&str, i128)]) -> Sums {
        of.iter().map(|(id, sum)| ((*id).to_string(), *sum)).collect()
    }

    #[test]
    fn the_largest_come_first_and_nobody_apart() {
        let all = sums(&[("a", 1), ("b", 5), ("", 9), ("c", 5)]);
        let top = |most| largest(&all, most);
        assert_eq!(top(2), Top { first: vec![("b", 5), ("c", 5)], others: 1, rest: 1, nobody: Some(9) });
        assert_eq!(top(9), Top { first: vec![("b", 5), ("c", 5), ("a", 1)], others: 0, rest: 0, nobody: Some(9) });
    }

    #[test]
    fn a_model_is_what_stands_before_the_comma() {
        let spend =
            Spend { items: sums(&[("m, input", 1), ("m, output", 2), ("plan", 3), ("", 4)]), ..Spend::default() };
        assert_eq!(spend.models(), sums(&[("m", 3), ("plan", 3), ("", 4)]));
    }

    #[test]
    fn two_weeks_end_before_today() {
        let day = |number| NaiveDate::from_ymd_opt(2026, 11, number).unwrap();
        let days = (1..=20).map(|number| (day(number), sums(&[("p", 1)]))).collect();
        let spend = Spend { days, ..Spend::default() };
        let period = |from| Period { from: day(from), until: day(21) };
        assert_eq!(spend.two_weeks(period(1), day(20)), Some((7, 7)));
        assert_eq!(spend.two_weeks(period(7), day(20)), None);
    }
}
