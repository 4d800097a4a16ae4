//! The pacer against limiters of every kind, on a clock that is only a number.
//!
//! Each case says how many requests may be refused and how much longer than the
//! least possible it may take. Nothing waits and nothing is left to chance, so
//! the bounds are exact.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::limiter::{Answer, Kind, Server, least};
use super::{Pace, Turn};

/// What happens at a moment, in microseconds: first to a client, then in the order of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives { client: usize, sent: u64 },
    Answered { client: usize, sent: u64, answer: usize },
    Look { client: usize },
}

struct Client {
    pace: Pace,
    left: u64,
    /// When it looks again, in microseconds.
    looks: Option<u64>,
    ended: f64,
}

/// What a course came to.
#[derive(Debug)]
struct Ran {
    asked: u64,
    refused: u64,
    /// When each client had its last answer.
    seconds: Vec<f64>,
    most_in_flight: usize,
}

impl Ran {
    fn share(&self) -> f64 {
        self.refused as f64 / self.asked as f64
    }
}

const LATENCY: f64 = 0.1;

struct Course {
    origin: Instant,
    server: Server,
    clients: Vec<Client>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    answers: Vec<Answer>,
    /// The clients' machine does nothing for 0.6 s, again and again.
    stalls: bool,
    ran: Ran,
}

impl Course {
    fn run(server: Server, requests: &[u64], most: usize) -> Ran {
        Course::new(server, requests, most, false).end()
    }

    fn new(server: Server, requests: &[u64], most: usize, stalls: bool) -> Course {
        let origin = Instant::now();
        let client = |left: &u64| Client { pace: Pace::new(most, origin), left: *left, looks: None, ended: 0.0 };
        Course {
            origin,
            server,
            clients: requests.iter().map(client).collect(),
            events: (0..requests.len()).map(|client| Reverse((0, Event::Look { client }))).collect(),
            answers: Vec::new(),
            stalls,
            ran: Ran { asked: 0, refused: 0, seconds: Vec::new(), most_in_flight: 0 },
        }
    }

    fn end(mut self) -> Ran {
        while let Some(Reverse((micros, event))) = self.events.pop() {
            self.happen(micros, event);
        }
        self.ran.seconds = self.clients.iter().map(|client| client.ended).collect();
        assert!(self.clients.iter().all(|client| client.left == 0), "requests were never sent");
        self.ran
    }

    fn at(&self, micros: u64) -> Instant {
        self.origin + Duration::from_micros(micros)
    }

    fn later(&mut self, micros: u64, event: Event) -> u64 {
        let into = micros % 2_500_000;
        let held = self.stalls && into >= 1_900_000 && !matches!(event, Event::Arrives { .. });
        let micros = if held { micros - into + 2_500_000 } else { micros };
        self.events.push(Reverse((micros, event)));
        micros
    }

    /// Half of the latency, between four and six fifths of it: the same each time.
    fn way(&self) -> u64 {
        let odd = self.ran.asked.wrapping_mul(2_654_435_761) % 1_000;
        (LATENCY / 2.0 * (0.8 + 0.4 * odd as f64 / 1_000.0) * 1e6) as u64
    }

    fn happen(&mut self, micros: u64, event: Event) {
        match event {
            Event::Look { client } => {
                if self.clients[client].looks.is_none_or(|looks| looks == micros) {
                    self.clients[client].looks = None;
                    self.look(micros, client);
                }
            }
            Event::Arrives { client, sent } => {
                let answer = self.server.ask(micros as f64 / 1e6);
                let ready = (answer.ready * 1e6) as u64 + self.way();
                self.answers.push(answer);
                self.later(ready, Event::Answered { client, sent, answer: self.answers.len() - 1 });
            }
            Event::Answered { client, sent, answer } => {
                let (now, sent) = (self.at(micros), self.at(sent));
                let answer = &self.answers[answer];
                let one = &mut self.clients[client];
                match answer.granted {
                    true => {
                        one.pace.answered(sent, now, answer.limit);
                        one.ended = micros as f64 / 1e6;
                    }
                    false => {
                        one.pace.refused(sent, now, answer.retry_after);
                        one.left += 1;
                        self.ran.refused += 1;
                    }
                }
                one.pace.ended(now);
                self.look(micros, client);
            }
        }
    }

    fn look(&mut self, micros: u64, client: usize) {
        let now = self.at(micros);
        while self.clients[client].left > 0 {
            match self.clients[client].pace.turn(now) {
                Turn::Full => return,
                // A timer has whole milliseconds.
                Turn::At(at) => {
                    let wait = at.duration_since(now).as_micros() as u64;
                    let looks = (micros + wait + 1).next_multiple_of(1_000);
                    if self.clients[client].looks != Some(looks) {
                        let looks = self.later(looks, Event::Look { client });
                        self.clients[client].looks = Some(looks);
                    }
                    return;
                }
                Turn::Go => {
                    let one = &mut self.clients[client];
                    one.left -= 1;
                    self.ran.most_in_flight = self.ran.most_in_flight.max(one.pace.in_flight);
                    self.ran.asked += 1;
                    let way = self.way();
                    self.later(micros + way, Event::Arrives { client, sent: micros });
                }
            }
        }
    }
}

const FIFTY: Kind = Kind::Bucket { rate: 50.0, holds: 50.0 };
const SMALL: Kind = Kind::Bucket { rate: 50.0, holds: 10.0 };
const MINUTE: Kind = Kind::Bucket { rate: 500.0 / 60.0, holds: 500.0 };
const FIXED: Kind = Kind::Window { limit: 500.0, seconds: 60.0 };
const THOUSANDS: Kind = Kind::Bucket { rate: 10_000.0 / 60.0, holds: 10_000.0 };

/// The limit, whether it is told, requests; at most so many refused of a thousand, at most so many times the least time.
type Case = (Kind, bool, u64, f64, f64);

#[test]
fn one_client_and_a_limit() {
    let cases: [Case; 12] = [
        (FIFTY, true, 80_000, 0.0, 1.01),
        (FIFTY, true, 1_500, 0.0, 1.02),
        (SMALL, true, 20_000, 0.0, 1.01),
        (MINUTE, true, 20_000, 0.0, 1.01),
        (FIXED, true, 20_000, 0.0, 1.02),
        (THOUSANDS, true, 80_000, 0.0, 1.02),
        (FIFTY, false, 80_000, 2.0, 1.01),
        (FIFTY, false, 16_000, 4.0, 1.01),
        (SMALL, false, 80_000, 2.0, 1.05),
        (MINUTE, false, 40_000, 4.0, 1.01),
        (FIXED, false, 40_000, 5.0, 1.05),
        (THOUSANDS, false, 80_000, 2.0, 1.01),
    ];
    for (kind, tells, requests, refused, longer) in cases {
        let ran = Course::run(Server::new(kind, None, tells), &[requests], 64);
        let times = ran.seconds[0] / least(kind, requests as f64);
        assert!(ran.share() * 1e3 <= refused, "{kind:?}, told: {tells}: {ran:?}");
        assert!(times <= longer, "{kind:?}, told: {tells}: {times:.3} times: {ran:?}");
    }
}

/// A few requests are not spread over the minute that the limit is for.
#[test]
fn what_a_limit_allows_at_once_is_not_held_back() {
    for kind in [MINUTE, FIXED] {
        for tells in [true, false] {
            let ran = Course::run(Server::new(kind, None, tells), &[300], 64);
            assert!(ran.refused == 0 && ran.seconds[0] < 2.5, "{kind:?}, told: {tells}: {ran:?}");
        }
    }
}

#[test]
fn without_a_limit_it_grows_to_the_most() {
    let ran = Course::run(Server::new(Kind::Free, None, false), &[20_000], 64);
    let least = 20_000.0 * LATENCY / 64.0;
    assert!(ran.most_in_flight == 64 && ran.seconds[0] < 1.05 * least, "{ran:?}");
}

/// One answer after the other, 20 ms each: the fifth in flight would only wait.
#[test]
fn a_slow_server_is_not_flooded() {
    let ran = Course::run(Server::new(Kind::Slow { seconds: 0.02 }, None, false), &[5_000], 1_024);
    assert!(ran.most_in_flight <= 16 && ran.seconds[0] < 1.02 * 100.0, "{ran:?}");
}

#[test]
fn a_limit_that_halves_or_is_lifted_midway() {
    let half = Kind::Bucket { rate: 25.0, holds: 25.0 };
    for (tells, refused) in [(true, 1.0), (false, 6.0)] {
        let server = Server::new(FIFTY, Some((200.0, half)), tells);
        let ran = Course::run(server, &[20_000], 64);
        let least = 200.0 + (20_000.0 - 50.0 * 200.0) / 25.0;
        assert!(ran.share() * 1e3 <= refused && ran.seconds[0] < 1.03 * least, "told: {tells}: {ran:?}");

        let server = Server::new(half, Some((200.0, FIFTY)), tells);
        let ran = Course::run(server, &[20_000], 64);
        let least = 200.0 + (20_000.0 - 25.0 * 200.0) / 50.0;
        assert!(ran.share() * 1e3 <= refused && ran.seconds[0] < 1.10 * least, "told: {tells}: {ran:?}");

        let server = Server::new(half, Some((200.0, Kind::Free)), tells);
        let ran = Course::run(server, &[40_000], 64);
        assert!(ran.share() * 1e3 <= refused && ran.seconds[0] < 330.0, "told: {tells}: {ran:?}");
    }
}

#[test]
fn two_processes_share_one_limit() {
    for (tells, refused) in [(true, 1.0), (false, 6.0)] {
        let ran = Course::run(Server::new(FIFTY, None, tells), &[20_000, 20_000], 64);
        let least = least(FIFTY, 40_000.0);
        let longest = ran.seconds.iter().copied().fold(0.0, f64::max);
        assert!(ran.share() * 1e3 <= refused && longest < 1.12 * least, "told: {tells}: {ran:?}");
    }
}

/// A quarter of the time nothing is done, and then all at once.
#[test]
fn a_busy_machine_meets_no_limit_that_is_told() {
    for (kind, tells, refused) in [(FIFTY, true, 0.0), (FIXED, true, 0.0), (FIFTY, false, 5.0), (MINUTE, false, 6.0)] {
        let ran = Course::new(Server::new(kind, None, tells), &[30_000], 64, true).end();
        let times = ran.seconds[0] / least(kind, 30_000.0);
        assert!(ran.share() * 1e3 <= refused && times < 1.10, "{kind:?}, told: {tells}: {times:.3} times: {ran:?}");
    }
}
