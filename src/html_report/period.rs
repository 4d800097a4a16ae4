//! The days that the page is about, and how they are cut into columns of a chart. Pure.

use chrono::{Datelike, Days, Months, NaiveDate};

/// Days from `from` on and before `until`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Period {
    pub(super) from: NaiveDate,
    pub(super) until: NaiveDate,
}

/// What one column of a chart stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    Day,
    Week,
    Month,
}

impl Period {
    pub(super) fn contains(self, day: NaiveDate) -> bool {
        self.from <= day && day < self.until
    }

    pub(super) fn days(self) -> u64 {
        (self.until - self.from).num_days().max(0).unsigned_abs()
    }

    pub(super) fn last(self) -> NaiveDate {
        self.until.pred_opt().unwrap_or(self.until)
    }

    /// Columns that can still be told apart on a phone.
    pub(super) fn step(self) -> Step {
        match self.days() {
            0..=100 => Step::Day,
            101..=700 => Step::Week,
            _ => Step::Month,
        }
    }

    /// The first day of each column, oldest first; the first column may begin before the period.
    pub(super) fn columns(self, step: Step) -> Vec<NaiveDate> {
        let first = step.start(self.from);
        std::iter::successors(Some(first), |day| step.next(*day)).take_while(|day| *day < self.until).collect()
    }
}

impl Step {
    /// The column that a day belongs to, by its first day. Weeks begin on Mondays.
    pub(super) fn start(self, day: NaiveDate) -> NaiveDate {
        let back = match self {
            Step::Day => 0,
            Step::Week => day.weekday().num_days_from_monday(),
            Step::Month => day.day0(),
        };
        day.checked_sub_days(Days::new(u64::from(back))).unwrap_or(day)
    }

    fn next(self, day: NaiveDate) -> Option<NaiveDate> {
        match self {
            Step::Day => day.succ_opt(),
            Step::Week => day.checked_add_days(Days::new(7)),
            Step::Month => day.checked_add_months(Months::new(1)),
        }
    }

    /// The day after the column's last one.
    pub(super) fn end(self, start: NaiveDate) -> NaiveDate {
        self.next(start).unwrap_or(start)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Step::Day => "day",
            Step::Week => "week",
            Step::Month => "month",
        }
    }

    /// As a row of a table is headed.
    pub(super) fn long(self, start: NaiveDate) -> String {
        match self {
            Step::Day => start.format("%a %-d %b %Y").to_string(),
            Step::Week => format!("week of {}", start.format("%-d %b %Y")),
            Step::Month => start.format("%B %Y").to_string(),
        }
    }

    /// As an axis is labelled.
    pub(super) fn short(self, start: NaiveDate) -> String {
        let form = if self == Step::Month { "%b %Y" } else { "%-d %b" };
        start.format(form).to_string()
    }

    /// Which columns an axis labels: about eight, and Mondays where they are days of many weeks.
    pub(super) fn labelled(self, columns: &[NaiveDate]) -> Vec<usize> {
        let every = [1, 2, 7, 14, 28].into_iter().find(|every| columns.len().div_ceil(*every) <= 8).unwrap_or(56);
        let offset = match self {
            Step::Day if every >= 7 => {
                columns.iter().position(|d| d.weekday() == chrono::Weekday::Mon).unwrap_or_default()
            }
            _ => 0,
        };
        (offset..columns.len()).step_by(every).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn period(from: &str, until: &str) -> Period {
        Period { from: day(from), until: day(until) }
    }

    #[test]
    fn columns_cover_the_period() {
        let weeks = period("2026-11-05", "2026-11-21").columns(Step::Week);
        assert_eq!(weeks, [day("2026-11-02"), day("2026-11-09"), day("2026-11-16")]);
        assert_eq!(period("2026-11-05", "2026-11-21").columns(Step::Day).len(), 16);
        assert_eq!(period("2025-12-31", "2026-02-01").columns(Step::Month).len(), 2);
        assert_eq!(period("2026-11-05", "2026-11-05").columns(Step::Day), []);
    }

    #[test]
    fn an_axis_has_about_eight_labels_and_they_are_mondays() {
        for days in [1, 7, 8, 30, 46, 90, 100] {
            let from = day("2026-07-01");
            let columns = Period { from, until: from + Days::new(days) }.columns(Step::Day);
            let labelled = Step::Day.labelled(&columns);
            assert!((1..=8).contains(&labelled.len()), "{days} days: {labelled:?}");
            if days > 16 {
                assert!(labelled.iter().all(|at| columns[*at].weekday() == chrono::Weekday::Mon));
            }
        }
    }
}
