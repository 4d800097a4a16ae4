//! The source's clock, as the `Date` headers of its responses tell it.
//!
//! This machine's clock may be wrong by days (a VM that resumed, an RTC in local
//! time): a cursor that followed it would pass rows that nobody has read. So the
//! time of a run is this machine's, plus the offset that the responses show. The
//! smallest offset counts: a response that was long on its way shows less, and a
//! cursor must never pass the source's time. Only the monotonic clock is used after
//! the start, so a step of this machine's clock during a run changes nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// Clocks that differ by less agree: `Date` has whole seconds, and a response takes its time.
const AGREEMENT: TimeDelta = TimeDelta::seconds(5);

/// Seconds since 1970 of 2020: the API is younger, so an earlier `Date` is no time.
const EARLIEST: i64 = 1_577_836_800;

#[derive(Debug)]
pub(crate) struct Clock {
    local: DateTime<Utc>,
    started: Instant,
    offset: Mutex<Option<TimeDelta>>,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { local: Utc::now(), started: Instant::now(), offset: Mutex::new(None) }
    }

    /// Takes note of one response's headers.
    pub(super) fn observe<'a>(&self, header: impl Fn(&str) -> Option<&'a str>) {
        let elapsed = TimeDelta::from_std(self.started.elapsed()).unwrap_or_default();
        let Some(offset) = source_time(header).and_then(|time| offset(time, self.local, elapsed)) else { return };
        let mut known = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(known.map_or(offset, |known| known.min(offset)));
    }

    /// How far the source's clock is ahead of this machine's. `None` before the first response with a `Date`.
    pub(crate) fn offset(&self) -> Option<TimeDelta> {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time of an offset, for planning: clocks that agree are not corrected by the seconds that `Date` rounds away.
pub(crate) fn corrected(local: DateTime<Utc>, offset: Option<TimeDelta>) -> DateTime<Utc> {
    local.checked_add_signed(offset.filter(|offset| !agrees(*offset)).unwrap_or_default()).unwrap_or(local)
}

/// Whether two clocks differ by no more than rounding and the way of a response.
pub(crate) fn agrees(offset: TimeDelta) -> bool {
    offset.abs() <= AGREEMENT
}

fn offset(time: DateTime<Utc>, local: DateTime<Utc>, elapsed: TimeDelta) -> Option<TimeDelta> {
    Some(time.signed_duration_since(local.checked_add_signed(elapsed)?))
}

/// When the source answered. What a cache kept is as old as `Age` says.
fn source_time<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<DateTime<Utc>> {
    let date = DateTime::parse_from_rfc2822(header("date")?.trim()).ok()?.to_utc();
    let age = header("age").and_then(|age| age.trim().parse().ok()).and_then(TimeDelta::try_seconds);
    let time = date.checked_add_signed(age.filter(|age| *age > TimeDelta::zero()).unwrap_or_default())?;
    (time.timestamp() >= EARLIEST).then_some(time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tell(clock: &Clock, headers: &[(&str, &str)]) {
        clock.observe(|name| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value));
    }

    #[test]
    fn the_smallest_offset_counts_and_what_is_no_time_does_not() {
        let clock = Clock::new();
        for bad in ["", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", "Sat, 21 Nov 2026 25:00:00 GMT"] {
            tell(&clock, &[("date", bad)]);
            assert_eq!(clock.offset(), None, "{bad}");
        }
        let date = |hours: i64| (clock.local + TimeDelta::hours(hours)).to_rfc2822().replace("+0000", "GMT");
        for (hours, expected) in [(20, 20), (2, 2), (30, 2)] {
            tell(&clock, &[("date", &date(hours))]);
            let seconds = clock.offset().unwrap().num_seconds() - expected * 3_600;
            assert!((-2..=0).contains(&seconds), "{hours}: {seconds}");
        }
        tell(&clock, &[("date", &date(1)), ("age", "1800")]);
        assert!((clock.offset().unwrap().num_seconds() - 5_400).abs() <= 2);
    }

    proptest! {
        /// A run's time is that of the source, within what counts as agreement.
        #[test]
        fn the_time_is_the_source_s(seconds in -4_000_000_i64..4_000_000) {
            let local = DateTime::from_timestamp(1_795_239_000, 0).unwrap();
            let source = local + TimeDelta::seconds(seconds);
            let time = corrected(local, offset(source, local, TimeDelta::zero()));
            prop_assert!(agrees(time - source));
            prop_assert!(time == source || time == local);
        }
    }
}
