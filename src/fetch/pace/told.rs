//! A limit that answers tell: so many requests, so many left, so long until all are back.
//!
//! The API's `reset` is the time until the whole limit is there again. A bucket
//! fills little by little until then, a fixed window all at once at its end, and
//! one answer does not say which. So the last eighth of what is left is spread
//! over that time: a bucket then settles where it fills as fast as it is emptied,
//! and a window is spent at its end, both without a refusal.

use std::time::{Duration, Instant};

use super::Turn;

/// What the headers of one answer say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::fetch) struct Limit {
    pub(in crate::fetch) limit: u32,
    pub(in crate::fetch) remaining: u32,
    /// Until the whole limit is there again.
    pub(in crate::fetch) reset: Duration,
}

/// Requests are sent freely while more than this part of the limit is left.
const SPREAD: f64 = 1.0 / 8.0;

#[derive(Debug)]
pub(super) struct Told {
    limit: u32,
    /// When the request was sent whose answer said it.
    sent: Instant,
    /// What may still be sent; below zero when more is in flight than is left.
    free: i64,
    /// When the whole limit is there again; none when that was, and no answer has come since.
    reset: Option<Instant>,
}

impl Told {
    /// Nobody knows which of the `others` in flight are counted already: none, to be safe.
    pub(super) fn new(told: Limit, others: usize, sent: Instant, now: Instant) -> Told {
        let free = i64::from(told.remaining) - others as i64;
        Told { limit: told.limit, sent, free, reset: Some(now + told.reset) }
    }

    pub(super) fn is_newer_than(&self, sent: Instant) -> bool {
        self.sent > sent
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Whether it still says something about this moment.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.reset.is_some_and(|reset| reset > now)
    }

    pub(super) fn sent(&mut self) {
        self.free -= 1;
    }

    pub(super) fn turn(&mut self, now: Instant, last_sent: Instant, in_flight: usize) -> Turn {
        if self.reset.is_some_and(|reset| reset <= now) {
            self.free = self.free.max(i64::from(self.limit) - in_flight as i64);
            self.reset = None;
        }
        let (free, spread) = (self.free as f64, f64::from(self.limit) * SPREAD);
        let at = match self.reset {
            Some(reset) if self.free >= 1 && free < spread => {
                let left = reset.saturating_duration_since(last_sent);
                last_sent + left.mul_f64(SPREAD / free)
            }
            _ if self.free >= 1 => now,
            _ if in_flight > 0 => return Turn::Full,
            reset => reset.unwrap_or(now),
        };
        if at > now { Turn::At(at) } else { Turn::Go }
    }

    /// The moment that everybody waits for, when nothing is left.
    pub(super) fn spent_until(&self) -> Option<Instant> {
        self.reset.filter(|_| self.free < 1)
    }
}
