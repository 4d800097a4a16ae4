//! Table + state + now → what to ask: windows of time, and how the cursor moves.
//!
//! `now` is the source's time (see `fetch::Clock`): no window reaches beyond it, and
//! no cursor passes it. What lies further back than the source keeps is not asked for.
//! Pure. A window is half-open and in UTC; it is what one chain of requests
//! covers, and it may hold many day slices. The look-back starts from the
//! settled cursor, never from the start of the previous read: a window that
//! walks backwards a little further at every crash would never end.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, NaiveDate, Utc};

use crate::schema::{Policy, Slices};

/// From `start`, inclusive, to `end`, exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: DateTime<Utc>,
    pub(crate) end: DateTime<Utc>,
}

impl Window {
    /// The days that the window touches.
    pub(crate) fn days(&self) -> impl Iterator<Item = NaiveDate> {
        let last = (self.end - Duration::microseconds(1)).date_naive();
        self.start.date_naive().iter_days().take_while(move |d| *d <= last)
    }

    pub(crate) fn contains(&self, micros: i64) -> bool {
        (self.start.timestamp_micros()..self.end.timestamp_micros()).contains(&micros)
    }
}

/// What the user asked for besides the table's own times.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) until: Option<DateTime<Utc>>,
    pub(crate) full_refresh: bool,
}

/// The windows to read, oldest first.
pub(crate) fn windows(
    slices: &Slices,
    policy: Policy,
    settled: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    wish: Wish,
) -> Vec<Window> {
    let history = midnight(now - Duration::seconds(slices.history));
    let settled = settled.filter(|_| !wish.full_refresh);
    let start = match (wish.since, settled) {
        (Some(since), _) => since,
        (None, Some(settled)) => settled - Duration::seconds(slices.lookback),
        (None, None) => history,
    };
    let floor = floor(slices, now);
    let start = floor.map_or(start, |floor| start.max(floor));
    let end = wish.until.unwrap_or(now);
    // A replaced day is asked for whole, from its first second to its last.
    let (start, end) = match policy {
        Policy::Merge => (start, end),
        _ => (midnight(start), midnight(end + Duration::days(1) - Duration::microseconds(1))),
    };
    let (end, window) = (end.min(now), Duration::seconds(slices.window));
    // An answer holds all buckets of its days, and nobody knows yet how large they are: of many days a few come first.
    let first = if policy == Policy::Replace { Duration::days(FIRST).min(window) } else { window };
    split(start, end, if end - start > window { first } else { window }, window)
}

/// The first midnight whose day the source may still have. `None` if nobody knows of a limit.
fn floor(slices: &Slices, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    Some(midnight(now.checked_sub_signed(Duration::try_seconds(slices.retention?)?)?))
}

/// A cursor to go on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    /// `None`: the whole backfill is read.
    pub(crate) cursor: Option<DateTime<Utc>>,
    /// What the source no longer has, of the time after the cursor.
    pub(crate) gap: Option<Window>,
    /// The cursor that was later than the source's time, so that nobody knows what lies before it.
    pub(crate) untrue: Option<DateTime<Utc>>,
}

/// How much later than the source's time a cursor may be: `Date` has whole seconds.
const ROUNDING: Duration = Duration::seconds(5);

/// Where to go on from a cursor of the state, at the source's time `now`.
///
/// A cursor that is later than now was written by a run with a wrong clock. Between the real time of that run and
/// the cursor nothing was read, and the state does not say when that was: nothing is known to be read. A cursor that
/// is earlier than the source keeps is moved up: what lies between is a gap.
pub(crate) fn start(slices: &Slices, policy: Policy, cursor: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Start {
    let Some(cursor) = cursor else { return Start::default() };
    if cursor > now + ROUNDING {
        return Start { untrue: Some(cursor), ..Start::default() };
    }
    let Some(floor) = floor(slices, now) else { return Start { cursor: Some(cursor), ..Start::default() } };
    // Whole days are asked for of buckets; events are gone to the second.
    let kept = match policy {
        Policy::Merge => now - Duration::seconds(slices.retention.unwrap_or_default()),
        _ => floor,
    };
    let gap = (cursor < kept).then_some(Window { start: cursor, end: kept });
    Start { cursor: Some(cursor.max(floor)), gap, untrue: None }
}

/// A window as far as it is settled at the source's time `bound`: no cursor passes it.
pub(crate) fn until(window: Window, bound: DateTime<Utc>) -> Window {
    Window { end: window.end.min(bound).max(window.start), ..window }
}

/// Days of the first of several windows of buckets.
const FIRST: i64 = 3;

/// Cuts a span at midnights, the first piece at most `first` long and each other one `window`. What fits into
/// one window is one: a look-back of an hour is not two questions because midnight was in it.
fn split(start: DateTime<Utc>, end: DateTime<Utc>, first: Duration, window: Duration) -> Vec<Window> {
    let mut windows = Vec::new();
    let (mut from, mut length) = (start, first);
    while from < end {
        let to = if end - from <= length { end } else { midnight(from) + length };
        windows.push(Window { start: from, end: to });
        (from, length) = (to, window);
    }
    windows
}

/// A window's first so many days, and what is left of it.
pub(crate) fn cut(window: Window, days: u64) -> (Window, Option<Window>) {
    let length = i64::try_from(days.max(1)).ok().and_then(Duration::try_days);
    match length.and_then(|length| midnight(window.start).checked_add_signed(length)) {
        Some(middle) if middle < window.end => {
            (Window { end: middle, ..window }, Some(Window { start: middle, ..window }))
        }
        _ => (window, None),
    }
}

/// Where the settled cursor stands after `window` was drained.
///
/// It moves only when nothing between it and the window is left unread, and
/// never back. For buckets it stops at midnight: today's is not complete.
pub(crate) fn advance(settled: Option<DateTime<Utc>>, window: Window, policy: Policy) -> Option<DateTime<Utc>> {
    let end = match policy {
        Policy::Merge => window.end,
        _ => midnight(window.end),
    };
    match settled {
        None => (end > window.start).then_some(end),
        Some(settled) if window.start <= settled => Some(settled.max(end)),
        gap => gap,
    }
}

/// Whether a table that may be read in part is to be read whole: when it never was, or
/// `every` seconds ago. A full pass is what finds deletes and late changes.
pub(crate) fn is_full_pass(whole: Option<DateTime<Utc>>, every: i64, now: DateTime<Utc>, wish: Wish) -> bool {
    // A moment that is not yet is no moment of a pass.
    let recent = whole.is_some_and(|whole| whole <= now && now - whole < Duration::seconds(every));
    wish.full_refresh || !recent
}

/// What a window settles, of those of one run in their order: up to the first file that
/// failed (`hold`), and behind it nothing, or the next run would not ask for that file.
pub(crate) fn settles(window: Window, hold: Option<DateTime<Utc>>, held: &mut bool) -> Option<Window> {
    if std::mem::replace(held, *held || hold.is_some()) {
        return None;
    }
    Some(hold.map_or(window, |hold| Window { end: window.end.min(hold), ..window }))
}

/// What to say of a cursor before the source forgets what lies behind it.
pub(crate) fn nears_the_limit(slices: &Slices, cursor: DateTime<Utc>, now: DateTime<Utc>) -> Option<String> {
    let (age, kept) = ((now - cursor).num_hours(), slices.retention? / 3_600);
    let near = age * 10 > kept * 8;
    near.then(|| format!("the last sync was {} days ago and the source keeps {}: sync more often", age / 24, kept / 24))
}

/// For how long an unanswered day is requested again, counted from that day.
const UNANSWERED: i64 = 14;

/// The first day that the cursor must not pass, because no answer spoke of it: at most [`UNANSWERED`] days ago, or a
/// source that never mentions some day would be read from there for ever.
///
/// Days before the first answered one are the beginning of the history, unless the table was read before (`known`).
pub(crate) fn unanswered(
    window: Window,
    answered: &BTreeSet<NaiveDate>,
    known: bool,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let begun = |day: &NaiveDate| known || answered.first().is_some_and(|first| first < day);
    let recent = |day: &NaiveDate| (now.date_naive() - *day).num_days() <= UNANSWERED;
    let first = window.days().find(|day| !answered.contains(day) && begun(day) && recent(day))?;
    Some(first.and_time(chrono::NaiveTime::MIN).and_utc().max(window.start))
}

pub(crate) fn midnight(time: DateTime<Utc>) -> DateTime<Utc> {
    time.date_naive().and_time(chrono::NaiveTime::MIN).and_utc()
}

/// The day of a moment in microseconds; rows without a time have 1970-01-01.
pub(crate) fn day(micros: Option<i64>) -> NaiveDate {
    let days = micros.unwrap_or(0).div_euclid(86_400_000_000);
    NaiveDate::default().checked_add_signed(Duration::days(days)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{EmptyDays, Format};

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn slices(window: i64, lookback: i64) -> Slices {
        Slices {
            by: 0,
            end: None,
            empty_days: EmptyDays::Listed,
            since: String::new(),
            until: String::new(),
            format: Format::Unix,
            window,
            lookback,
            history: 40 * 86_400,
            retention: None,
        }
    }

    const NOW: &str = "2026-11-21T05:30:00Z";

    #[test]
    fn first_sync_reads_the_history_in_windows() {
        let got = windows(&slices(31 * 86_400, 0), Policy::Replace, None, at(NOW), Wish::default());
        let ends = ["2026-10-12T00:00:00Z", "2026-10-15T00:00:00Z", "2026-11-15T00:00:00Z", NOW].map(at);
        assert_eq!(got.iter().map(|w| w.start).collect::<Vec<_>>(), ends[..3]);
        assert_eq!(got.iter().map(|w| w.end).collect::<Vec<_>>(), ends[1..]);
    }

    #[test]
    fn look_back_starts_from_the_settled_cursor() {
        let replace = windows(
            &slices(86_400 * 31, 3 * 86_400),
            Policy::Replace,
            Some(at("2026-11-20T00:00:00Z")),
            at(NOW),
            Wish::default(),
        );
        assert_eq!(replace, [Window { start: at("2026-11-17T00:00:00Z"), end: at(NOW) }]);
        let merge = windows(
            &slices(86_400 * 7, 3_600),
            Policy::Merge,
            Some(at("2026-11-21T04:00:00Z")),
            at(NOW),
            Wish::default(),
        );
        assert_eq!(merge, [Window { start: at("2026-11-21T03:00:00Z"), end: at(NOW) }]);
    }

    #[test]
    fn a_look_back_over_midnight_is_one_window() {
        let now = at("2026-11-21T00:20:00Z");
        let settled = Some(at("2026-11-20T23:20:00Z"));
        let got = windows(&slices(DAYS, 3_600), Policy::Merge, settled, now, Wish::default());
        assert_eq!(got, [Window { start: at("2026-11-20T22:20:00Z"), end: now }]);
        let longer = windows(&slices(DAYS, 30 * 3_600), Policy::Merge, settled, now, Wish::default());
        let ends: Vec<_> = longer.iter().map(|w| w.end).collect();
        assert_eq!(ends, [at("2026-11-20T00:00:00Z"), at("2026-11-21T00:00:00Z"), now]);
    }

    #[test]
    fn the_cursor_never_passes_what_was_not_read() {
        let window = |a: &str, b: &str| Window { start: at(a), end: at(b) };
        let settled = Some(at("2026-11-10T00:00:00Z"));
        let cases = [
            (None, window("2026-11-01T00:00:00Z", NOW), Policy::Replace, "2026-11-21T00:00:00Z"),
            (settled, window("2026-11-07T00:00:00Z", NOW), Policy::Merge, NOW),
            (settled, window("2026-11-12T00:00:00Z", NOW), Policy::Merge, "2026-11-10T00:00:00Z"),
            (settled, window("2026-10-01T00:00:00Z", "2026-10-05T00:00:00Z"), Policy::Replace, "2026-11-10T00:00:00Z"),
        ];
        for (settled, window, policy, expected) in cases {
            assert_eq!(advance(settled, window, policy), Some(at(expected)));
        }
    }

    #[test]
    fn a_full_pass_is_due_when_nobody_knows_of_a_recent_one() {
        let cases = [
            (None, Wish::default(), true),
            (Some("2026-11-21T05:00:00Z"), Wish::default(), false),
            (Some("2026-11-21T05:00:00Z"), Wish { full_refresh: true, ..Wish::default() }, true),
            (Some("2026-11-20T05:30:01Z"), Wish::default(), false),
            (Some("2026-11-20T05:30:00Z"), Wish::default(), true),
            (Some("2026-11-21T05:30:01Z"), Wish::default(), true),
        ];
        for (whole, wish, due) in cases {
            assert_eq!(is_full_pass(whole.map(at), DAYS, at(NOW), wish), due, "{whole:?} {wish:?}");
        }
    }

    fn kept(days: i64) -> Slices {
        Slices { retention: Some(days * DAYS), ..slices(DAYS, 3_600) }
    }

    #[test]
    fn a_cursor_that_the_source_does_not_reach_is_moved_up() {
        let old = Some(at("2026-10-01T00:00:00Z"));
        let merge = start(&kept(30), Policy::Merge, old, at(NOW));
        let gap = Window { start: at("2026-10-01T00:00:00Z"), end: at("2026-10-22T05:30:00Z") };
        assert_eq!(merge, Start { cursor: Some(at("2026-10-22T00:00:00Z")), gap: Some(gap), untrue: None });
        let replace = start(&kept(30), Policy::Replace, old, at(NOW));
        assert_eq!(replace.gap, Some(Window { end: at("2026-10-22T00:00:00Z"), ..gap }));
        assert_eq!(replace.cursor, merge.cursor);
        // The last day that is kept is asked for whole, and nothing is missing.
        let edge = Some(at("2026-10-22T00:00:00Z"));
        assert_eq!(start(&kept(30), Policy::Replace, edge, at(NOW)), Start { cursor: edge, ..Start::default() });
        assert_eq!(start(&slices(DAYS, 0), Policy::Merge, old, at(NOW)), Start { cursor: old, ..Start::default() });
        assert_eq!(start(&kept(30), Policy::Merge, None, at(NOW)), Start::default());
    }

    #[test]
    fn a_cursor_from_the_future_is_none() {
        for (cursor, untrue) in [("2026-11-21T05:30:05Z", false), ("2026-11-21T05:30:06Z", true)] {
            let cursor = at(cursor);
            let expected = if untrue {
                Start { untrue: Some(cursor), ..Start::default() }
            } else {
                Start { cursor: Some(cursor), ..Start::default() }
            };
            assert_eq!(start(&kept(30), Policy::Merge, Some(cursor), at(NOW)), expected);
        }
    }

    #[test]
    fn a_gap_is_told_before_it_costs_events() {
        let tell = |cursor: &str| nears_the_limit(&kept(30), at(cursor), at(NOW));
        assert_eq!(tell("2026-11-01T00:00:00Z"), None);
        assert!(tell("2026-10-25T00:00:00Z").unwrap().contains("sync more often"));
    }

    #[test]
    fn days_of_a_window() {
        let window = Window { start: at("2026-11-19T10:00:00Z"), end: at("2026-11-21T00:00:00Z") };
        assert_eq!(window.days().map(|d| d.to_string()).collect::<Vec<_>>(), ["2026-11-19", "2026-11-20"]);
    }

    #[test]
    fn a_day_that_was_not_answered_holds_the_cursor_for_two_weeks() {
        let days = |numbers: &[u32]| -> BTreeSet<NaiveDate> {
            numbers.iter().map(|n| NaiveDate::from_ymd_opt(2026, 11, *n).unwrap()).collect()
        };
        let window = |from: u32| Window { start: at(&format!("2026-11-{from:02}T00:00:00Z")), end: at(NOW) };
        let held = |from, answered: &[u32], known| {
            unanswered(window(from), &days(answered), known, at(NOW)).map(|at| at.format("%d").to_string())
        };
        let day = |text: &str| Some(text.to_string());
        assert_eq!(held(17, &[17, 18, 19, 20, 21], true), None);
        assert_eq!(held(17, &[17, 18, 20, 21], true), day("19"));
        assert_eq!(held(17, &[18, 19, 20, 21], true), day("17"), "the table was read before");
        assert_eq!(held(17, &[18, 19, 20, 21], false), None, "the history begins on the 18th");
        assert_eq!(held(17, &[], false), None);
        assert_eq!(held(1, &[1, 2, 4, 20, 21], true), day("07"), "the 3rd is passed, or it would hold for ever");
    }

    const DAYS: i64 = 86_400;

    fn policies() -> impl Strategy<Value = Policy> {
        prop_oneof![Just(Policy::Merge), Just(Policy::Replace)]
    }

    /// Seconds before the moment of the run.
    fn ago(most: i64) -> impl Strategy<Value = DateTime<Utc>> {
        (0..most).prop_map(|seconds| at(NOW) - Duration::seconds(seconds))
    }

    proptest! {
        /// Whatever is asked for, it is asked for once, in order, and no piece of it is left out.
        #[test]
        fn windows_cover_what_is_asked_for(
            policy in policies(),
            (window, lookback, history) in (1_i64..40, 0..10 * DAYS, 0..800 * DAYS),
            settled in prop::option::of(ago(1_000 * DAYS)),
            since in prop::option::of(ago(1_000 * DAYS)),
            until in prop::option::of(ago(1_000 * DAYS)),
            full_refresh in any::<bool>(),
            days in 0_u64..50,
            retention in prop::option::of(DAYS..400 * DAYS),
        ) {
            let slices = Slices { history, retention, ..slices(window * DAYS, lookback) };
            let wish = Wish { since, until, full_refresh };
            let got = windows(&slices, policy, settled, at(NOW), wish);
            let start = match (since, settled.filter(|_| !full_refresh)) {
                (Some(since), _) => since,
                (None, Some(settled)) => settled - Duration::seconds(lookback),
                (None, None) => midnight(at(NOW) - Duration::seconds(history)),
            };
            let start = retention.map_or(start, |kept| start.max(midnight(at(NOW) - Duration::seconds(kept))));
            let end = until.unwrap_or(at(NOW));
            let (Some(first), Some(last)) = (got.first(), got.last()) else {
                prop_assert!(start >= end, "nothing is asked for between {start} and {end}");
                return Ok(());
            };
            prop_assert!(first.start <= start && start - first.start < Duration::days(1));
            prop_assert!(last.end >= end && last.end <= at(NOW) && last.end - end < Duration::days(1));
            prop_assert!(got.windows(2).all(|pair| pair[0].end == pair[1].start));
            for piece in &got {
                prop_assert!(piece.start < piece.end && piece.end - piece.start <= Duration::days(window));
                let whole = |moment| midnight(moment) == moment || moment == at(NOW);
                prop_assert!(policy == Policy::Merge || (whole(piece.start) && whole(piece.end)));
                let (some, rest) = cut(*piece, days);
                prop_assert!(some.start == piece.start && some.days().count() as u64 <= days.max(1));
                prop_assert_eq!(rest.map_or(some.end, |rest| rest.end), piece.end);
                prop_assert!(rest.is_none_or(|rest| rest.start == some.end && whole(some.end) && rest.start < rest.end));
            }
        }

        /// Twenty runs, at any of which this machine's clock is off, and the source may or may not tell its time:
        /// what was read in the end is all that a true clock would have read, and no cursor passed the source's time.
        #[test]
        fn a_story_with_wrong_clocks_reads_what_a_true_clock_reads(
            policy in policies(),
            offsets in prop::collection::vec(prop::option::weighted(0.5, prop_oneof![-48 * 3_600_i64..-5, 6..48 * 3_600_i64]), 20),
            steps in prop::collection::vec(1_i64..30 * 3_600, 20),
            retention in prop::option::of(30 * DAYS..90 * DAYS),
            first in prop::option::of(-48 * 3_600_i64..200 * DAYS),
        ) {
            let slices = Slices { retention, ..slices(DAYS, 6 * 3_600) };
            // A cursor of a run with a wrong clock may be there at the beginning.
            let (mut now, mut cursor, mut read) = (at(NOW), first.map(|ago| at(NOW) - Duration::seconds(ago)), Vec::new());
            for (offset, step) in offsets.iter().zip(&steps) {
                let local = now + Duration::seconds(offset.unwrap_or_default());
                // The windows of the wrong clock are never committed once the source has told the time.
                let time = crate::fetch::corrected(local, Some(now - local));
                let going_on = start(&slices, policy, cursor, time);
                if going_on.cursor.is_none() {
                    read.clear();
                }
                let mut moved = going_on.cursor;
                for window in windows(&slices, policy, going_on.cursor, time, Wish::default()) {
                    read.push(window);
                    moved = advance(moved, until(window, now), policy);
                    prop_assert!(moved.is_none_or(|moved| moved <= now), "{moved:?} past {now}");
                }
                prop_assert!(going_on.untrue.is_some() || cursor.is_none() || moved >= cursor, "{cursor:?} to {moved:?}");
                cursor = moved;
                let settled = if policy == Policy::Merge { now } else { midnight(now) };
                prop_assert_eq!(cursor, Some(settled));
                now += Duration::seconds(*step);
            }
            // From the first of these windows on there is no hole, up to the last run.
            let end = read.iter().skip(1).try_fold(read[0].end, |end, window| (window.start <= end).then_some(end.max(window.end)));
            prop_assert_eq!(end, Some(now - Duration::seconds(steps[19])));
        }

        /// A file that failed holds the cursor; nothing moves it back; and without either it ends at now.
        #[test]
        fn the_cursor_goes_forward_and_never_past_a_hold(
            policy in policies(),
            (window, lookback) in (1_i64..40, 0..10 * DAYS),
            settled in prop::option::of(ago(300 * DAYS)),
            holds in prop::collection::vec(prop::option::weighted(0.2, ago(300 * DAYS)), 60),
        ) {
            let all = windows(&slices(window * DAYS, lookback), policy, settled, at(NOW), Wish::default());
            let (mut cursor, mut earliest, mut held) = (settled, None::<DateTime<Utc>>, false);
            for (window, hold) in all.iter().zip(holds.iter().chain(std::iter::repeat(&None))) {
                // What failed lies in the window that it was listed in.
                let hold = hold.map(|h| h.clamp(window.start, window.end - Duration::microseconds(1)));
                let next = match settles(*window, hold, &mut held) {
                    Some(settles) => advance(cursor, settles, policy),
                    None => cursor,
                };
                prop_assert!(next >= cursor, "{cursor:?} to {next:?}");
                earliest = earliest.into_iter().chain(hold).min();
                // What failed in the look-back lies behind the cursor, which then stays where it is.
                prop_assert!(earliest.is_none_or(|e| next <= Some(e) || next == settled), "{next:?} past {earliest:?}");
                cursor = next;
            }
            let end = if policy == Policy::Merge { at(NOW) } else { midnight(at(NOW)) };
            let arrived = cursor == Some(end) || (cursor == settled && settled > Some(end));
            prop_assert!(held || all.is_empty() || arrived, "{cursor:?}");
        }
    }
}
