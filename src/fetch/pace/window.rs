//! How many requests may be in flight: doubled as long as that pays, then tried with a few more now and then.
//!
//! A size is judged by the good answers a second that it brings, not by their
//! latency: that differs between endpoints more than between sizes. What brings
//! no more is taken back, so that a server which is slow is not flooded as well.

use std::time::Instant;

/// Before anything is known.
const FIRST: usize = 8;
/// Twice as many in flight must bring this many times the answers.
const DOUBLE_PAYS: f64 = 1.25;
/// A quarter more in flight must bring this many times the answers.
const MORE_PAYS: f64 = 1.08;
/// So many measurements of a good size before a larger one is tried again.
const REST: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Doubling,
    Resting(u32),
    Trying,
}

#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    most: usize,
    mode: Mode,
    /// The best size so far, and the answers a second that it brought.
    best: (usize, f64),
    /// Answers since the size was changed.
    seen: usize,
    /// When the answers to requests of the former size were over.
    began: Option<Instant>,
    /// Somebody had to wait for a place: it is this size that is measured, not the demand.
    full: bool,
}

impl Window {
    pub(super) fn new(most: usize) -> Window {
        let most = most.max(1);
        let size = FIRST.min(most);
        Window { size, most, mode: Mode::Doubling, best: (size, 0.0), seen: 0, began: None, full: false }
    }

    pub(super) fn admits(&mut self, in_flight: usize) -> bool {
        let admits = in_flight < self.size;
        self.full |= !admits;
        admits
    }

    /// A good answer; tells the size when it changes.
    pub(super) fn answered(&mut self, now: Instant) -> Option<usize> {
        self.seen += 1;
        let Some(began) = self.began else {
            if self.seen >= self.size {
                (self.began, self.seen, self.full) = (Some(now), 0, false);
            }
            return None;
        };
        if self.seen < (2 * self.size).max(16) {
            return None;
        }
        let rate = self.seen as f64 / now.saturating_duration_since(began).as_secs_f64().max(1e-6);
        let (before, full) = (self.size, self.full);
        (self.began, self.seen, self.full) = (Some(now), 0, false);
        if full {
            self.judge(rate);
        }
        self.changed(before)
    }

    fn judge(&mut self, rate: f64) {
        let pays = match self.mode {
            Mode::Doubling => rate > self.best.1 * DOUBLE_PAYS,
            Mode::Trying => rate > self.best.1 * MORE_PAYS,
            Mode::Resting(count) if count < REST => {
                self.mode = Mode::Resting(count + 1);
                return;
            }
            Mode::Resting(_) => {
                self.mode = Mode::Trying;
                true
            }
        };
        if !pays {
            self.size = self.best.0;
            self.mode = Mode::Resting(0);
            return;
        }
        self.best = (self.size, rate);
        self.size = match self.mode {
            Mode::Doubling => self.size * 2,
            _ => self.size + self.size.div_ceil(4),
        };
        self.size = self.size.min(self.most);
    }

    /// After a change the answers that are still coming belong to the former size.
    fn changed(&mut self, before: usize) -> Option<usize> {
        if self.size == before {
            return None;
        }
        self.began = None;
        Some(self.size)
    }

    /// A limit was met of which nothing is known but that it is there: a quarter, and slowly on from there.
    pub(super) fn shrink(&mut self) {
        self.size = (self.size / 4).max(FIRST / 2).min(self.size);
        (self.mode, self.best) = (Mode::Resting(0), (self.size, 0.0));
        (self.seen, self.began) = (0, None);
    }
}
