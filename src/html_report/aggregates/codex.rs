//! Who uses Codex, how much, and what people make of its reviews, by week. Pure.
//!
//! Null is unknown and not 0 in these reports; sums take what is known.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use chrono::{DateTime, NaiveDate, Utc};

use crate::error::Result;
use crate::html_report::columns::{day, integer, integers, newest, text, texts, times};
use crate::html_report::period::{Period, Step};

pub(in crate::html_report) const USAGE_COLUMNS: [&str; 5] = ["start_time", "user_id", "threads", "turns", "_synced_at"];
pub(in crate::html_report) const REVIEW_COLUMNS: [&str; 3] = ["start_time", "pull_request_reviews", "comments"];
pub(in crate::html_report) const RESPONSE_COLUMNS: [&str; 5] = [
    "start_time",
    "comments",
    "comment_response_details_engaged",
    "reaction_details_upvotes",
    "reaction_details_downvotes",
];

#[derive(Clone, Debug, Default)]
pub(in crate::html_report) struct Week {
    pub(in crate::html_report) users: BTreeSet<String>,
    pub(in crate::html_report) threads: i128,
    pub(in crate::html_report) turns: i128,
}

#[derive(Clone, Copy, Debug, Default)]
pub(in crate::html_report) struct Reviews {
    pub(in crate::html_report) reviews: i128,
    pub(in crate::html_report) comments: i128,
    /// Comments on pull requests merged in the week: not those of `comments`.
    pub(in crate::html_report) answerable: i128,
    /// Those of them with a reaction or a reply.
    pub(in crate::html_report) engaged: i128,
    pub(in crate::html_report) upvotes: i128,
    pub(in crate::html_report) downvotes: i128,
}

#[derive(Debug, Default)]
pub(in crate::html_report) struct Codex {
    pub(in crate::html_report) weeks: BTreeMap<NaiveDate, Week>,
    pub(in crate::html_report) reviews: BTreeMap<NaiveDate, Reviews>,
    pub(in crate::html_report) users: BTreeSet<String>,
    pub(in crate::html_report) read: Option<DateTime<Utc>>,
}

impl Codex {
    pub(in crate::html_report) fn add_usage(&mut self, batch: &RecordBatch, period: Period) -> Result<()> {
        let (starts, user) = (times(batch, 0), texts(batch, 1));
        let [threads, turns] = [2, 3].map(|column| integers(batch, column));
        for row in 0..batch.num_rows() {
            let Some(of) = day(starts, row).filter(|day| period.contains(*day)) else { continue };
            let week = self.weeks.entry(Step::Week.start(of)).or_default();
            week.threads += integer(threads, row);
            week.turns += integer(turns, row);
            let user = text(user, row);
            if !user.is_empty() && !week.users.contains(user) {
                week.users.insert(user.to_string());
                self.users.insert(user.to_string());
            }
        }
        self.read = self.read.max(newest(times(batch, 4)));
        Ok(())
    }

    pub(in crate::html_report) fn add_reviews(&mut self, batch: &RecordBatch, period: Period) -> Result<()> {
        let [reviews, comments] = [1, 2].map(|column| integers(batch, column));
        self.each_week(batch, period, |week, row| {
            week.reviews += integer(reviews, row);
            week.comments += integer(comments, row);
        });
        Ok(())
    }

    pub(in crate::html_report) fn add_responses(&mut self, batch: &RecordBatch, period: Period) -> Result<()> {
        let [comments, engaged, up, down] = [1, 2, 3, 4].map(|column| integers(batch, column));
        self.each_week(batch, period, |week, row| {
            week.answerable += integer(comments, row);
            week.engaged += integer(engaged, row);
            week.upvotes += integer(up, row);
            week.downvotes += integer(down, row);
        });
        Ok(())
    }

    fn each_week(&mut self, batch: &RecordBatch, period: Period, mut add: impl FnMut(&mut Reviews, usize)) {
        let starts = times(batch, 0);
        for row in 0..batch.num_rows() {
            if let Some(of) = day(starts, row).filter(|day| period.contains(*day)) {
                add(self.reviews.entry(Step::Week.start(of)).or_default(), row);
            }
        }
    }
}
