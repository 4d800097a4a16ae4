//! Tokens and requests of text generation: by day, model, key and person. Pure.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use chrono::{DateTime, NaiveDate, Utc};

use super::spend::{Sums, bump};
use crate::error::Result;
use crate::html_report::columns::{day, integer, integers, newest, text, texts, times};
use crate::html_report::period::Period;

/// Columns of `usage_completions`, in the order in which [`Tokens::add`] takes them.
pub(in crate::html_report) const COLUMNS: [&str; 9] = [
    "start_time",
    "model",
    "input_tokens",
    "input_cached_tokens",
    "output_tokens",
    "num_model_requests",
    "api_key_id",
    "user_id",
    "_synced_at",
];

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::html_report) struct Count {
    /// Input tokens in all, those from the cache included.
    pub(in crate::html_report) input: i128,
    pub(in crate::html_report) cached: i128,
    pub(in crate::html_report) output: i128,
    pub(in crate::html_report) requests: i128,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.input += other.input;
        self.cached += other.cached;
        self.output += other.output;
        self.requests += other.requests;
    }

    /// Input that was not read from the cache.
    pub(in crate::html_report) fn uncached(&self) -> i128 {
        (self.input - self.cached).max(0)
    }
}

#[derive(Debug, Default)]
pub(in crate::html_report) struct Tokens {
    pub(in crate::html_report) total: Count,
    pub(in crate::html_report) days: BTreeMap<NaiveDate, Count>,
    pub(in crate::html_report) models: BTreeMap<String, Count>,
    /// Requests.
    pub(in crate::html_report) keys: Sums,
    /// Requests.
    pub(in crate::html_report) users: Sums,
    pub(in crate::html_report) read: Option<DateTime<Utc>>,
}

impl Tokens {
    pub(in crate::html_report) fn add(&mut self, batch: &RecordBatch, period: Period) -> Result<()> {
        let starts = times(batch, 0);
        let [model, key, user] = [1, 6, 7].map(|column| texts(batch, column));
        let [input, cached, output, requests] = [2, 3, 4, 5].map(|column| integers(batch, column));
        for row in 0..batch.num_rows() {
            let Some(of) = day(starts, row).filter(|day| period.contains(*day)) else { continue };
            let count = Count {
                input: integer(input, row),
                cached: integer(cached, row),
                output: integer(output, row),
                requests: integer(requests, row),
            };
            self.total.add(count);
            self.days.entry(of).or_default().add(count);
            self.models.entry(text(model, row).to_string()).or_default().add(count);
            bump(&mut self.keys, text(key, row), count.requests)?;
            bump(&mut self.users, text(user, row), count.requests)?;
        }
        self.read = self.read.max(newest(times(batch, 8)));
        Ok(())
    }
}
