//! Tokens and requests of text generation: by day, model, key and person. Pure.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use chrono::{DateTime, NaiveDate, Utc};

use super::columns::{day, integer, integers, newest, text, texts, times};
use super::period::Period;
use super::spend::{Sums, bump};
use crate::error::Result;

/// Columns of `usage_completions`, in the order in which [`Tokens::add`] takes them.
pub(super) const COLUMNS: [&str; 9] = [
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
pub(super) struct Count {
    /// Input tokens in all, those from the cache included.
    pub(super) input: i128,
    pub(super) cached: i128,
    pub(super) output: i128,
    pub(super) requests: i128,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.input += other.input;
        self.cached += other.cached;
        self.output += other.output;
        self.requests += other.requests;
    }

    /// Input that was not read from the cache.
    pub(super) fn uncached(&self) -> i128 {
        (self.input - self.cached).max(0)
    }
}

#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub(super) total: Count,
    pub(super) days: BTreeMap<NaiveDate, Count>,
    pub(super) models: BTreeMap<String, Count>,
    /// Requests.
    pub(super) keys: Sums,
    /// Requests.
    pub(super) users: Sums,
    pub(super) read: Option<DateTime<Utc>>,
}

impl Tokens {
    pub(super) fn add(&mut self, batch: &RecordBatch, period: Period) -> Result<()> {
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
