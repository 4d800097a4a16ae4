//! What kind of organization is simulated, and how its API behaves towards a client.

use chrono::{DateTime, Utc};
use serde::Deserialize;

/// The organization to simulate. The default is the small one of the demo.
#[derive(Clone, Debug)]
pub struct Options {
    /// Same seed and same day of `now`: same bytes.
    pub seed: u64,
    pub projects: usize,
    pub users: usize,
    /// Days of usage, costs and audit events before the day of `now`.
    pub history_days: u32,
    /// About how many audit events that history holds; never fewer than one of each type.
    pub audit_events: usize,
    /// Entries in the ledger of each usage report on a working day.
    pub ledger_entries: usize,
    /// What time it is at the start; it goes on with the real clock.
    pub now: DateTime<Utc>,
    pub behavior: Behavior,
}

/// How the API behaves; can be changed while it runs (`POST /_sim/behavior`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behavior {
    /// Every answer below `/v1` waits this long.
    pub latency_ms: u64,
    /// Requests each key may make in one second; more are refused by 429.
    pub rate_limit: Option<u32>,
    /// Only a refusal tells of the rate limit, by `Retry-After`; else every answer does, by its headers.
    pub untold_rate_limit: bool,
    /// The API does not know `api_source` yet: grouping by it is a 400.
    pub legacy_group_by: bool,
    /// Usage and costs reach back this many days; older start times are a 400.
    pub lookback_limit_days: Option<u32>,
    /// `last_id` is null on some full pages of every list that has it.
    pub null_last_id: bool,
    /// Query parameters that the documents do not name are ignored instead of refused.
    pub lenient: bool,
    /// A signed address of a log file serves so many seconds; five minutes if not said.
    pub signed_url_seconds: Option<i64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: 1,
            projects: 12,
            users: 40,
            history_days: 45,
            audit_events: 2_000,
            ledger_entries: 60,
            now: Utc::now(),
            behavior: Behavior::default(),
        }
    }
}

impl Options {
    /// The organization called `small`, `medium` or `large`.
    pub fn sized(name: &str) -> Option<Options> {
        let (projects, users, history_days, audit_events, ledger_entries) = match name {
            "small" => return Some(Options::default()),
            "medium" => (200, 1_000, 120, 20_000, 200),
            "large" => (10_000, 20_000, 365, 200_000, 1_000),
            _ => return None,
        };
        Some(Options { projects, users, history_days, audit_events, ledger_entries, ..Options::default() })
    }
}
