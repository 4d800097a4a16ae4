//! When the next request may be sent: how many at once, how fast, and for how long nobody.
//!
//! Pure: moments and answers go in, a [`Turn`] comes out. Four rules are asked,
//! and the strictest one counts:
//! - a *pause* that the API asked for, and behind it one request alone to see whether it is over;
//! - the [`Window`], the number in flight, which grows as long as that pays;
//! - the [`Rate`], found between refusals, for limits that nobody tells;
//! - what answers [`Told`] of the limit, so that it is never met.
//!
//! A limit on the number in flight alone was tried: it swings around the right
//! number, and each growth ends in refusals. A fixed `--rate` was rejected: the
//! right one differs by organization, endpoint and day.

#[cfg(test)]
mod course;
#[cfg(test)]
mod limiter;
mod rate;
mod told;
mod window;

use std::fmt;
use std::time::{Duration, Instant};

use rate::Rate;
pub(super) use told::Limit;
use told::Told;
use window::Window;

/// What a request that wants to be sent is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Turn {
    /// It counts as sent from now on.
    Go,
    /// Not before that moment.
    At(Instant),
    /// Not before another one is answered.
    Full,
}

/// What is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    InFlight(usize),
    Refused { pause: Duration, rate: Option<f64> },
    Told(Limit),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::InFlight(most) => write!(f, "at most {most} requests in flight"),
            Change::Refused { pause, rate: None } => write!(f, "refused: nobody asks for {pause:?}"),
            Change::Refused { pause, rate: Some(rate) } => {
                write!(f, "refused: nobody asks for {pause:?}, then {rate:.1} requests/s")
            }
            Change::Told(limit) => write!(f, "answers tell a limit of {} requests", limit.limit),
        }
    }
}

#[derive(Debug)]
pub(super) struct Pace {
    in_flight: usize,
    window: Window,
    rate: Rate,
    told: Option<Told>,
    /// Nobody asks before it.
    paused_until: Instant,
    /// Refused, and no good answer since: one request at a time.
    probing: bool,
    /// A pause means all that it says, and is not rounded up.
    exact: bool,
    /// Refusals of requests that were sent before it are echoes of one event.
    refused_at: Option<Instant>,
    last_sent: Instant,
    last_ended: Instant,
}

impl Pace {
    pub(super) fn new(most: usize, now: Instant) -> Pace {
        Pace {
            in_flight: 0,
            window: Window::new(most),
            rate: Rate::new(now),
            told: None,
            paused_until: now,
            probing: false,
            exact: false,
            refused_at: None,
            last_sent: now,
            last_ended: now,
        }
    }

    /// Whether the next request may go.
    pub(super) fn turn(&mut self, now: Instant) -> Turn {
        let turn = self.ask(now);
        if turn == Turn::Go {
            self.sent(now);
        }
        turn
    }

    fn ask(&mut self, now: Instant) -> Turn {
        if self.paused_until > now {
            return Turn::At(self.paused_until);
        }
        if self.probing && self.in_flight > 0 {
            return Turn::Full;
        }
        if !self.window.admits(self.in_flight) {
            return Turn::Full;
        }
        match self.rate.next().filter(|at| *at > now) {
            Some(at) => Turn::At(at),
            None => self.told.as_mut().map_or(Turn::Go, |told| told.turn(now, self.last_sent, self.in_flight)),
        }
    }

    fn sent(&mut self, now: Instant) {
        if self.in_flight == 0 {
            // Nobody wanted anything since then: that says nothing about the limit.
            self.rate.idle_since(self.last_ended.max(self.paused_until), now);
        }
        self.in_flight += 1;
        self.last_sent = now;
        self.rate.sent(now);
        if let Some(told) = &mut self.told {
            told.sent();
        }
    }

    /// A good answer to a request that was sent at `sent`, with what it tells of the limit.
    pub(super) fn answered(&mut self, sent: Instant, now: Instant, limit: Option<Limit>) -> Option<Change> {
        self.probing = false;
        self.rate.granted();
        let news = self.hear(sent, now, limit);
        let size = self.window.answered(now).map(Change::InFlight);
        news.or(size)
    }

    fn hear(&mut self, sent: Instant, now: Instant, limit: Option<Limit>) -> Option<Change> {
        let holds = self.told.as_ref().filter(|told| told.holds(now));
        let Some(limit) = limit else {
            // One that has run out may not be told any more.
            if holds.is_none() {
                self.told = None;
            }
            return None;
        };
        // Answers overtake each other; an older one knows less of what was sent.
        if holds.is_some_and(|told| told.is_newer_than(sent)) {
            return None;
        }
        let others = self.in_flight.saturating_sub(1);
        let news = self.told.as_ref().is_none_or(|told| told.limit() != limit.limit);
        self.told = Some(Told::new(limit, others, sent, now));
        news.then_some(Change::Told(limit))
    }

    /// A refusal of a request that was sent at `sent`: a pause for everybody, and slower afterwards.
    pub(super) fn refused(&mut self, sent: Instant, now: Instant, wait: Duration) -> Option<Change> {
        // What was told did not help; the next good answer tells it anew.
        self.told = None;
        let echo = self.refused_at.is_some_and(|at| sent <= at);
        if !echo {
            // Nothing was granted since the last pause: it was too short.
            self.exact |= self.probing;
            self.refused_at = Some(now);
            self.probing = true;
            self.rate.refused(now + wait);
        }
        let pause = self.hold(wait);
        self.paused_until = self.paused_until.max(now + pause);
        self.rate.resume(self.paused_until);
        if echo {
            return None;
        }
        if self.rate.pace().is_none() {
            self.window.shrink();
        }
        Some(Change::Refused { pause, rate: self.rate.pace() })
    }

    /// How long all wait for what one was told. Whole seconds are most often a few
    /// milliseconds, rounded up; once the rate is known, waiting for all of them loses
    /// what a small bucket cannot hold. A limit that means them whole says so by refusing again.
    fn hold(&self, wait: Duration) -> Duration {
        match self.rate.pace() {
            Some(pace) if !self.exact && wait.subsec_nanos() == 0 => {
                let places = Duration::from_secs_f64((2.0 / pace).min(1.0));
                wait.saturating_sub(Duration::from_secs(1)).max(places)
            }
            _ => wait,
        }
    }

    /// A request is over, however it ended.
    pub(super) fn ended(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.last_ended = now;
    }

    /// How long everybody is waiting, from now.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        let told = self.told.as_ref().filter(|_| self.in_flight == 0).and_then(Told::spent_until);
        told.map_or(self.paused_until, |at| at.max(self.paused_until)).saturating_duration_since(now)
    }
}
