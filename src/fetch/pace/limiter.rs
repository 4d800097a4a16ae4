//! Simulated limits for [`super::course`]: buckets, fixed windows, a server that is merely slow.

use std::time::Duration;

use super::Limit;

/// How a server limits: so many requests in so many seconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Free,
    /// Fills little by little, and holds so many.
    Bucket {
        rate: f64,
        holds: f64,
    },
    /// So many in each span of time.
    Window {
        limit: f64,
        seconds: f64,
    },
    /// Answers one after the other, and each takes so long.
    Slow {
        seconds: f64,
    },
}

pub(super) struct Server {
    kind: Kind,
    /// From that moment on another limit holds.
    later: Option<(f64, Kind)>,
    tells: bool,
    left: f64,
    since: f64,
    busy_until: f64,
}

/// What the server says to one request.
pub(super) struct Answer {
    pub(super) granted: bool,
    pub(super) retry_after: Duration,
    pub(super) limit: Option<Limit>,
    /// When it is ready, in seconds.
    pub(super) ready: f64,
}

impl Server {
    pub(super) fn new(kind: Kind, later: Option<(f64, Kind)>, tells: bool) -> Server {
        let mut server = Server { kind, later, tells, left: 0.0, since: 0.0, busy_until: 0.0 };
        server.left = server.whole();
        server
    }

    fn whole(&self) -> f64 {
        match self.kind {
            Kind::Bucket { holds, .. } => holds,
            Kind::Window { limit, .. } => limit,
            _ => 0.0,
        }
    }

    fn refill(&mut self, now: f64) {
        if let Some((at, kind)) = self.later.filter(|(at, _)| *at <= now) {
            (self.kind, self.later, self.since) = (kind, None, at);
            self.left = self.left.min(self.whole());
        }
        match self.kind {
            Kind::Bucket { rate, holds } => {
                self.left = (self.left + (now - self.since) * rate).min(holds);
                self.since = now;
            }
            Kind::Window { limit, seconds } if now >= self.since + seconds => {
                self.since += ((now - self.since) / seconds).floor() * seconds;
                self.left = limit;
            }
            _ => {}
        }
    }

    pub(super) fn ask(&mut self, now: f64) -> Answer {
        self.refill(now);
        let limited = matches!(self.kind, Kind::Bucket { .. } | Kind::Window { .. });
        let granted = !limited || self.left >= 1.0;
        if granted && limited {
            self.left -= 1.0;
        }
        let (one, all) = match self.kind {
            Kind::Bucket { rate, holds } => ((1.0 - self.left).max(0.0) / rate, (holds - self.left) / rate),
            Kind::Window { seconds, .. } => (self.since + seconds - now, self.since + seconds - now),
            _ => (0.0, 0.0),
        };
        let ready = match self.kind {
            Kind::Slow { seconds } => self.busy_until.max(now) + seconds,
            _ => now,
        };
        self.busy_until = ready;
        let limit = Limit {
            limit: self.whole() as u32,
            remaining: self.left.max(0.0) as u32,
            reset: Duration::from_secs_f64((all * 1_000.0).ceil() / 1_000.0),
        };
        Answer {
            granted,
            retry_after: Duration::from_secs_f64(one.ceil().max(1.0)),
            limit: (limited && self.tells).then_some(limit),
            ready,
        }
    }
}

/// The least time in which a limit grants so many requests.
pub(super) fn least(kind: Kind, requests: f64) -> f64 {
    match kind {
        Kind::Free => 0.0,
        Kind::Bucket { rate, holds } => (requests - holds) / rate,
        Kind::Window { limit, seconds } => ((requests / limit).ceil() - 1.0) * seconds,
        Kind::Slow { seconds } => requests * seconds,
    }
}
