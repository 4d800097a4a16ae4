//! One answer's status and headers → done, again after a while, or a failure of some kind.
//!
//! Pure: the whole retry policy can be read here and is tested as a table.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::pace::Limit;
use crate::error::Kind;

/// A limit for longer than a minute or an hour is not one that requests could be spread over.
const LONGEST_RESET: Duration = Duration::from_secs(3600);

#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Done,
    /// Ask again, after at least that long where the API said so; when that did not help, it is an error of this kind.
    Again {
        wait: Option<Duration>,
        limited: bool,
        kind: Kind,
    },
    Fail(Kind),
}

pub(crate) fn verdict<'a>(status: u16, header: impl Fn(&str) -> Option<&'a str>, now: DateTime<Utc>) -> Verdict {
    let limited = status == 429;
    let again = |kind| Verdict::Again { wait: wait(&header, now), limited, kind };
    let kind = match status {
        200..=299 => return Verdict::Done,
        401 => Kind::WrongKey,
        403 => Kind::Forbidden,
        404 => Kind::NotThere,
        410 => Kind::Retired,
        408 | 409 | 425 | 429 | 500..=599 => Kind::Unavailable,
        _ => Kind::Contract,
    };
    // What the API says of its own answer comes before its status, as in the official SDKs.
    match (should_retry(&header), kind) {
        (Some(false), Kind::Unavailable) => Verdict::Fail(Kind::Refused),
        (Some(true), _) if status >= 400 => again(kind),
        (_, Kind::Unavailable) => again(kind),
        (_, kind) => Verdict::Fail(kind),
    }
}

/// What `x-should-retry` says, if it says something.
fn should_retry<'a>(header: &impl Fn(&str) -> Option<&'a str>) -> Option<bool> {
    match header("x-should-retry")?.trim() {
        text if text.eq_ignore_ascii_case("true") => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// What an answer tells of the limit on requests, where it tells all of it.
pub(super) fn told<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Limit> {
    let number = |name: &str| header(name)?.trim().parse().ok();
    let limit = Limit {
        limit: number("x-ratelimit-limit-requests")?,
        remaining: number("x-ratelimit-remaining-requests")?,
        reset: go_duration(header("x-ratelimit-reset-requests")?)?,
    };
    (limit.limit > 0 && limit.reset <= LONGEST_RESET).then_some(limit)
}

fn wait<'a>(header: &impl Fn(&str) -> Option<&'a str>, now: DateTime<Utc>) -> Option<Duration> {
    retry_after(header, now).or_else(|| {
        let resets = ["x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"];
        resets.iter().filter_map(|name| go_duration(header(name)?)).max()
    })
}

/// Seconds, or an HTTP date: of the API's clock, which the answer tells, since this machine's may be wrong.
fn retry_after<'a>(header: &impl Fn(&str) -> Option<&'a str>, now: DateTime<Utc>) -> Option<Duration> {
    let text = header("retry-after")?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
    let now = header("date").and_then(|date| DateTime::parse_from_rfc2822(date).ok()).map_or(now, |d| d.to_utc());
    (until - now).to_std().ok()
}

/// `1s`, `6m0s`, `120ms`, `1h2m3.5s`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(status: u16, headers: &[(&'static str, &'static str)]) -> Verdict {
        let now = DateTime::parse_from_rfc3339("2026-11-21T00:00:00Z").unwrap().to_utc();
        verdict(status, |name| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v), now)
    }

    #[test]
    fn cases() {
        let after = |wait: Option<f64>, limited, kind| {
            let wait = wait.map(Duration::from_secs_f64);
            Verdict::Again { wait, limited, kind }
        };
        let again = |wait: Option<f64>, limited| after(wait, limited, Kind::Unavailable);
        type Headers = &'static [(&'static str, &'static str)];
        let cases: [(u16, Headers, Verdict); 27] = [
            (409, &[], again(None, false)),
            (429, &[("x-should-retry", "false")], Verdict::Fail(Kind::Refused)),
            (429, &[("x-should-retry", "false"), ("retry-after", "1")], Verdict::Fail(Kind::Refused)),
            (503, &[("x-should-retry", " False ")], Verdict::Fail(Kind::Refused)),
            (401, &[("x-should-retry", "false")], Verdict::Fail(Kind::WrongKey)),
            (401, &[("x-should-retry", "true")], after(None, false, Kind::WrongKey)),
            (400, &[("x-should-retry", "true"), ("retry-after", "2")], after(Some(2.0), false, Kind::Contract)),
            (429, &[("x-should-retry", "true")], again(None, true)),
            (429, &[("x-should-retry", "perhaps")], again(None, true)),
            (200, &[("x-should-retry", "true")], Verdict::Done),
            (307, &[("x-should-retry", "true")], Verdict::Fail(Kind::Contract)),
            (200, &[], Verdict::Done),
            (400, &[], Verdict::Fail(Kind::Contract)),
            (401, &[], Verdict::Fail(Kind::WrongKey)),
            (403, &[], Verdict::Fail(Kind::Forbidden)),
            (404, &[], Verdict::Fail(Kind::NotThere)),
            (410, &[], Verdict::Fail(Kind::Retired)),
            (307, &[], Verdict::Fail(Kind::Contract)),
            (500, &[], again(None, false)),
            (503, &[("retry-after", "2")], again(Some(2.0), false)),
            (503, &[("x-ratelimit-reset-requests", "1s")], again(Some(1.0), false)),
            (429, &[("retry-after", "1.5")], again(Some(1.5), true)),
            (429, &[("retry-after", "Sat, 21 Nov 2026 00:00:30 GMT")], again(Some(30.0), true)),
            (
                429,
                &[("retry-after", "Sat, 21 Nov 2026 05:00:30 GMT"), ("date", "Sat, 21 Nov 2026 05:00:28 GMT")],
                again(Some(2.0), true),
            ),
            (429, &[("x-ratelimit-reset-requests", "1m2.5s")], again(Some(62.5), true)),
            (429, &[("x-ratelimit-reset-requests", "120ms")], again(Some(0.12), true)),
            (429, &[("retry-after", "soon")], again(None, true)),
        ];
        for (status, headers, expected) in cases {
            assert_eq!(ask(status, headers), expected, "{status} {headers:?}");
        }
    }

    #[test]
    fn a_limit_is_told_whole_or_not_at_all() {
        let tell = |limit: &'static str, remaining: &'static str, reset: &'static str| {
            let headers = [
                ("x-ratelimit-limit-requests", limit),
                ("x-ratelimit-remaining-requests", remaining),
                ("x-ratelimit-reset-requests", reset),
            ];
            told(|name| headers.iter().find(|(n, text)| *n == name && !text.is_empty()).map(|(_, text)| *text))
        };
        let limit = Limit { limit: 500, remaining: 499, reset: Duration::from_millis(120) };
        assert_eq!(tell("500", " 499 ", "120ms"), Some(limit));
        for (limit, remaining, reset) in [
            ("", "499", "1s"),
            ("500", "", "1s"),
            ("500", "499", ""),
            ("0", "0", "1s"),
            ("500", "-1", "1s"),
            ("5", "4", "2h"),
        ] {
            assert_eq!(tell(limit, remaining, reset), None, "{limit} {remaining} {reset}");
        }
    }

    proptest! {
        /// Whatever stands in the headers; and a pause is never told where none can be read.
        #[test]
        fn any_header_ends_without_panic(
            status in any::<u16>(),
            after in "[-+0-9.eEinfaNhms:, SatGMT]{0,30}",
            reset in "[0-9.hms]{0,20}|\\PC{0,10}",
        ) {
            let now = DateTime::UNIX_EPOCH;
            let headers = [("retry-after", after.as_str()), ("x-ratelimit-reset-requests", reset.as_str())];
            let told = verdict(status, |name| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v), now);
            prop_assert_eq!(status / 100 == 2, told == Verdict::Done);
        }

        /// A duration in Go's spelling is read as it was written.
        #[test]
        fn durations_are_read_as_they_were_written(millis in 0_u64..400_000_000) {
            let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
            let text = format!("{hours}h{minutes}m{}.{:03}s", millis / 1_000 % 60, millis % 1_000);
            let read = go_duration(&text).map(|d| d.as_secs_f64());
            prop_assert!(read.is_some_and(|s| (s - millis as f64 / 1_000.0).abs() < 1e-6), "{text}: {read:?}");
        }
    }
}
