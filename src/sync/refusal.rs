//! A 400 or 422 that says which part of the question was wrong → how to ask instead.
//!
//! Pure. Costs cannot be grouped by every dimension at every time, and how far
//! back one may ask differs by organization; the API says so in words only, so
//! the words are read here, and nowhere else.

use chrono::{DateTime, Duration, Utc};

use crate::error::Refusal;
use crate::plan::{Window, midnight};

#[derive(Debug, PartialEq)]
pub(crate) enum Instead {
    /// Leave this value out of its list parameter.
    Without(String),
    /// Leave it out of what lies before that moment, and keep it after.
    WithoutBefore(String, DateTime<Utc>),
    /// Ask for nothing before that moment.
    NotBefore(DateTime<Utc>),
}

/// `optional` are the values that the table may do without, `without` those it does without already.
pub(crate) fn instead(
    refusal: &Refusal,
    optional: &[String],
    without: &[String],
    window: Option<Window>,
    now: DateTime<Utc>,
) -> Option<Instead> {
    if !matches!(refusal.status, 400 | 422) {
        return None;
    }
    if is_too_far_back(refusal, optional) {
        return not_before(&refusal.text, window?, now).map(Instead::NotBefore);
    }
    if refusal.status != 400 {
        return None;
    }
    let left = || optional.iter().filter(|o| !without.contains(o));
    let named = left().find(|o| has_word(&refusal.text, o));
    let grouping = || refusal.text.contains("group_by").then(|| left().next()).flatten();
    let value = named.or_else(grouping)?.clone();
    let epoch = moments(&refusal.text).into_iter().next();
    match (epoch, window) {
        (Some(epoch), Some(window)) if epoch > window.start => Some(Instead::WithoutBefore(value, ceiling(epoch))),
        _ => Some(Instead::Without(value)),
    }
}

/// Whether the refusal is about how far back was asked: by its code, or in words. Words about how long a span may be
/// are no such words, nor are those about a dimension that begins at some time.
fn is_too_far_back(refusal: &Refusal, optional: &[String]) -> bool {
    const CODE: &str = "reporting_lookback_exceeded";
    if refusal.code == CODE || refusal.text.contains(CODE) {
        return true;
    }
    let text = refusal.text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let is_other =
        has(&["group_by", "range", "span", "interval", "duration"]) || optional.iter().any(|o| has_word(&text, o));
    let is_past = has(&[
        " ago",
        "in the past",
        "the last ",
        "the past ",
        "look back",
        "lookback",
        "look-back",
        "older than",
        "retention",
        "retained",
    ]);
    days(&text).is_some() && is_past && !is_other
}

/// What the message allows: a moment, a number of days, or else the next of the
/// steps that organizations are known to be given.
fn not_before(text: &str, window: Window, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let named = moments(text).into_iter().next().or_else(|| now.checked_sub_signed(Duration::try_days(days(text)?)?));
    if let Some(named) = named {
        // An API that refuses what it says it allows would be asked for less and less.
        let allowed = ceiling(named);
        return (allowed > window.start).then_some(allowed);
    }
    let steps = [730, 365, 180, 90, 30, 7];
    steps.into_iter().map(|d| ceiling(now - Duration::days(d))).find(|start| *start > window.start)
}

/// The first midnight at or after.
fn ceiling(time: DateTime<Utc>) -> DateTime<Utc> {
    let floor = midnight(time);
    if floor == time { time } else { floor + Duration::days(1) }
}

/// The moments that a text names: Unix seconds of this century, or ISO dates.
fn moments(text: &str) -> Vec<DateTime<Utc>> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || "-:.+".contains(c));
    text.split(word)
        .map(|w| w.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
        .filter_map(|w| {
            if w.len() == 10 && w.bytes().all(|b| b.is_ascii_digit()) {
                return DateTime::from_timestamp(w.parse().ok()?, 0);
            }
            if let Ok(time) = DateTime::parse_from_rfc3339(w) {
                return Some(time.to_utc());
            }
            w.parse::<chrono::NaiveDate>().ok().map(|d| d.and_time(chrono::NaiveTime::MIN).and_utc())
        })
        .collect()
}

/// `90 days` in a text.
fn days(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    words.windows(2).find(|pair| pair[1].starts_with("day")).and_then(|pair| pair[0].parse().ok())
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).any(|w| w == word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn ask(code: &str, text: &str, without: &[&str]) -> Option<Instead> {
        let refusal = Refusal { status: 400, code: code.into(), text: text.into(), of_key: false };
        let optional = ["api_source", "user_id", "api_key_id"].map(String::from);
        let without: Vec<String> = without.iter().map(|w| w.to_string()).collect();
        let window = Window { start: at("2025-11-21T00:00:00Z"), end: at("2026-05-20T00:00:00Z") };
        instead(&refusal, &optional, &without, Some(window), at("2026-11-21T05:00:00Z"))
    }

    #[test]
    fn cases() {
        let without = |v: &str| Some(Instead::Without(v.to_string()));
        let epoch = "group_by api_key_id is only supported for start_time at or after 1764979200";
        assert_eq!(ask("", epoch, &[]), Some(Instead::WithoutBefore("api_key_id".into(), at("2025-12-06T00:00:00Z"))));
        let late = Some(Instead::WithoutBefore("api_key_id".into(), at("2026-05-20T00:00:00Z")));
        assert_eq!(ask("", &epoch.replace("1764979200", "1779235200"), &[]), late);
        assert_eq!(ask("", "Invalid value: 'api_source'", &[]), without("api_source"));
        assert_eq!(ask("", "this combination of group_by is not supported", &["api_source"]), without("user_id"));
        assert_eq!(ask("", "Invalid limit provided: 366", &[]), None);
        assert_eq!(
            ask("reporting_lookback_exceeded", "at most 90 days", &[]),
            Some(Instead::NotBefore(at("2026-08-24T00:00:00Z")))
        );
        let ago = |text: &str| {
            let refusal = Refusal { status: 422, code: String::new(), text: text.into(), of_key: false };
            let window = Window { start: at("2025-11-21T00:00:00Z"), end: at("2026-05-20T00:00:00Z") };
            instead(&refusal, &["user_id".to_string()], &[], Some(window), at("2026-11-21T05:00:00Z"))
        };
        for text in [
            "start_time: start_time cannot be more than 90 days ago",
            "Requests can look back up to 90 days",
            "data older than 90 days is not available",
            "only the last 90 days can be requested",
        ] {
            assert_eq!(ago(text), Some(Instead::NotBefore(at("2026-08-24T00:00:00Z"))), "{text}");
        }
        for text in [
            "the time range must not exceed 31 days",
            "start_time must be an integer",
            "limit must be at most 30000",
            "group_by user_id is supported for the last 90 days",
            "start_time cannot be more than 400 days ago",
        ] {
            assert_eq!(ago(text), None, "{text}");
        }
        let never = "at most 9223372036854775807 days";
        assert_eq!(ask("reporting_lookback_exceeded", never, &[]), ask("reporting_lookback_exceeded", "too far", &[]));
        assert_eq!(
            ask("reporting_lookback_exceeded", "too far back", &[]),
            Some(Instead::NotBefore(at("2025-11-22T00:00:00Z")))
        );
    }

    proptest! {
        /// The words are the API's: whatever they are, what is asked instead is less.
        #[test]
        fn any_refusal_asks_for_less(
            text in r"(at most |group_by |user_id |before |api_key_id |[0-9]{1,20} days|[0-9]{10} |[0-9]{4}-[0-9]{2}-[0-9]{2} |\PC){0,6}",
            exceeded in any::<bool>(),
        ) {
            let start = at("2025-11-21T00:00:00Z");
            match ask(if exceeded { "reporting_lookback_exceeded" } else { "" }, &text, &["api_source"]) {
                Some(Instead::NotBefore(moment)) => prop_assert!(moment > start),
                Some(Instead::WithoutBefore(value, moment)) => prop_assert!(moment > start && value != "api_source"),
                Some(Instead::Without(value)) => prop_assert!(value != "api_source"),
                None => {}
            }
        }
    }
}
