//! The rate of a limit that nobody tells, measured between refusals.
//!
//! When a request is refused, everything that the limit allowed is used up. So
//! what was granted between two refusals, divided by the time between them, *is*
//! the limit, for a bucket that fills little by little and for a window that
//! starts anew each minute alike, and pauses in between change nothing about it.
//!
//! Requests are then sent a little slower than that, faster again very slowly
//! around it, and ever faster beyond it (a cubic, as TCP's CUBIC does it): one
//! refusal in about a thousand requests keeps the number true, and a limit that
//! was lifted is found in a few thousand. Halving on a refusal was rejected: it
//! loses a quarter of the time for a limit that is known already.

use std::time::{Duration, Instant};

/// How far below the measured rate it begins again.
const BELOW: f64 = 0.03;
/// Seconds, or else good answers if those are more, until the measured rate is reached again.
const BACK_SECONDS: f64 = 8.0;
const BACK_ANSWERS: f64 = 400.0;
/// What a busy machine sends late is made up for; a longer silence is not.
const LATENESS: Duration = Duration::from_secs(1);
/// Beyond it nothing is left of what was measured.
const FORGOTTEN: f64 = 8.0;

#[derive(Debug)]
pub(super) struct Rate {
    /// Requests a second, between the last two refusals.
    measured: Option<f64>,
    /// Good answers since the last refusal.
    good: u32,
    /// Nothing was left until that moment. What was granted since the refusal is in `granted`.
    spent_at: Option<Instant>,
    granted: u32,
    /// When the next request is due.
    next: Instant,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Rate {
        Rate { measured: None, good: 0, spent_at: None, granted: 0, next: now }
    }

    /// Requests a second; none while no limit is known.
    pub(super) fn pace(&self) -> Option<f64> {
        let rate = self.measured?;
        let x = f64::from(self.good) / (rate * BACK_SECONDS).max(BACK_ANSWERS) - 1.0;
        let factor = 1.0 + BELOW * x * x * x;
        (factor < FORGOTTEN).then_some(rate * factor)
    }

    /// When the next request is due; none while no limit is known.
    pub(super) fn next(&self) -> Option<Instant> {
        self.pace().map(|_| self.next)
    }

    pub(super) fn sent(&mut self, now: Instant) {
        if let Some(pace) = self.pace() {
            let due = self.next.max(now.checked_sub(LATENESS).unwrap_or(now));
            self.next = due + Duration::from_secs_f64(1.0 / pace);
        }
    }

    pub(super) fn granted(&mut self) {
        self.good = self.good.saturating_add(1);
        self.granted = self.granted.saturating_add(1);
    }

    /// Time in which nobody wanted anything is not counted.
    pub(super) fn idle_since(&mut self, since: Instant, now: Instant) {
        let since = if self.pace().is_some() { since.max(self.next) } else { since };
        let idle = now.saturating_duration_since(since);
        self.spent_at = self.spent_at.map(|at| at + idle);
    }

    /// Nothing before that moment, and nothing to make up for.
    pub(super) fn resume(&mut self, at: Instant) {
        self.next = at;
    }

    /// A refusal: nothing is left until `until`, as far as the API says.
    pub(super) fn refused(&mut self, until: Instant) {
        let pace = self.pace();
        self.good = 0;
        let Some(at) = self.spent_at.filter(|_| self.granted > 0) else {
            // The first one, or one more before anything was granted.
            (self.spent_at, self.granted) = (Some(until), 0);
            return;
        };
        match measure(self.granted, until.saturating_duration_since(at)) {
            Some(rate) => (self.measured, self.spent_at, self.granted) = (Some(rate), Some(until), 0),
            // Too short to measure: slower than the limit was said to be, and refused all the same.
            None => self.measured = pace.map(|pace| pace * (1.0 - BELOW)),
        }
    }
}

/// Requests a second, where there are enough of them, or enough seconds, to say so.
fn measure(granted: u32, time: Duration) -> Option<f64> {
    let seconds = time.as_secs_f64();
    let enough = (granted >= 10 && seconds >= 1.0) || (granted >= 1 && seconds >= 20.0);
    enough.then(|| f64::from(granted) / seconds)
}
