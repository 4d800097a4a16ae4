//! What comes from outside and is no data: state file, configuration, refusals.

use chrono::{DateTime, Duration, Utc};

use super::catalog;
use crate::config::File;
use crate::fetch::{Call, Verdict, refusal as read_refusal, verdict};
use crate::lake::State;
use crate::plan::{self, Window, Wish};
use crate::schema::{Policy, Surface, Table};
use crate::secret::Secret;
use crate::sync::{Instead, instead};

/// More windows than two centuries have days: no table asks for them.
const MANY: usize = 80_000;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_239_000, 0).unwrap_or_default()
}

/// Reads the text of a state file; what is accepted is saved and loaded again, and a sync goes on from it.
pub fn state_file(text: &str) -> Result<(), String> {
    let Ok(state) = State::parse(text) else { return Ok(()) };
    match State::parse(&state.text()) {
        Ok(again) if again == state => {}
        other => return Err(format!("saved and loaded, it is {other:?}")),
    }
    let table = catalog().get("audit_logs").ok_or("no table audit_logs")?;
    state.tables.values().try_for_each(|state| planned(table, state.cursor))
}

/// Reads the text of a configuration file, and puts what is accepted to use.
pub fn config_file(text: &str) -> Result<(), String> {
    let file = match File::parse("openai-elt.toml", text) {
        Ok(file) => file,
        Err(e) if e.to_string().contains("openai-elt.toml") => return Ok(()),
        Err(e) => return Err(format!("a complaint that does not say where: {e}")),
    };
    let _ = file.retry();
    let mut catalog = catalog().clone();
    if file.apply(&mut catalog).is_err() {
        return Ok(());
    }
    catalog.iter().try_for_each(|table| asked(table))
}

/// Asks for a table as a sync would: windows, and a request that stays below its path.
pub(super) fn asked(table: &Table) -> Result<(), String> {
    planned(table, None)?;
    planned(table, Some(now() - Duration::days(3)))?;
    let call = Call::new(table, |_| Some("../a b"), None, 0, &[])?;
    let escaped = call.path.contains("../") && !table.request.path.to_string().contains("../");
    if escaped { Err(format!("{} leaves its folder", call.path)) } else { Ok(()) }
}

/// The windows of a table follow one another to this moment, and the cursor moves with them.
fn planned(table: &Table, settled: Option<DateTime<Utc>>) -> Result<(), String> {
    let Some(slices) = &table.slices else { return Ok(()) };
    for policy in [Policy::Merge, Policy::Replace] {
        let windows = plan::windows(slices, policy, settled, now(), Wish::default());
        let mut cursor = settled;
        for pair in windows.windows(2) {
            if pair[0].end != pair[1].start {
                return Err(format!("a gap between {:?} and {:?}", pair[0], pair[1]));
            }
        }
        for window in &windows {
            let next = plan::advance(cursor, *window, policy);
            if next < cursor {
                return Err(format!("the cursor went back from {cursor:?} to {next:?}"));
            }
            cursor = next;
        }
        if windows.len() > MANY {
            return Err(format!("{} windows", windows.len()));
        }
    }
    Ok(())
}

/// A refusal of the API: its status, its headers (`name: value` lines), and its body.
pub fn refusal(status: u16, headers: &str, body: &[u8]) -> Result<(), String> {
    const KEY: &str = "sk-marked-secret";
    let header = |name: &str| {
        let mut lines = headers.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(n, _)| n.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let kind = match verdict(status, header, now()) {
        Verdict::Done => return Ok(()),
        Verdict::Again { kind, .. } | Verdict::Fail(kind) => kind,
    };
    let error = read_refusal(Surface::Admin, &Secret::new(KEY.to_string()), "/organization/costs", status, kind, body);
    let shown = error.to_string();
    if shown.contains(KEY) || shown.chars().any(char::is_control) || shown.chars().count() > 1_000 {
        return Err(format!("a message that must not be shown: {shown:?}"));
    }
    let window = Window { start: now() - Duration::days(40), end: now() };
    let optional = ["api_key_id".to_string(), "user_id".to_string()];
    let Some(refusal) = &error.refusal else { return Ok(()) };
    // Whatever is asked instead must be less, or a sync would ask for ever.
    match instead(refusal, &optional, &[], Some(window), now()) {
        Some(Instead::NotBefore(moment) | Instead::WithoutBefore(_, moment)) if moment <= window.start => {
            Err(format!("asked again from {moment}, which is no less"))
        }
        _ => Ok(()),
    }
}
