//! What the fuzz targets share: which tables they attack, and how their input is cut.

use std::cell::RefCell;

use openai_elt::workbench::Bench;

/// Tables of every shape: flat and nested records, buckets, a member named by another, a table with
/// followers and one of them, lists three deep, whole records, open objects in which secrets can be.
pub const ANSWERS: [&str; 12] = [
    "users",
    "audit_logs",
    "usage_completions",
    "costs",
    "codex_usage",
    "codex_usage_clients",
    "chatgpt_memories",
    "eval_runs",
    "agents",
    "log_other",
    "project_spend_limits",
    "chatgpt_gpt_configs",
];

/// Tables whose records are the lines of files.
pub const FILES: [&str; 4] = ["log_other", "log_conversation_messages", "log_costs", "log_audit"];

/// One table for each form of paging.
pub const LISTS: [&str; 8] = [
    "users",
    "external_keys",
    "costs",
    "codex_usage",
    "user_role_assignments",
    "chatgpt_skills",
    "chatgpt_canvas_versions",
    "log_audit",
];

/// The table that the first byte chooses, `a` the first one, and the rest.
pub fn chosen<'a>(tables: &[&'static str], data: &'a [u8]) -> Option<(&'static str, &'a [u8])> {
    let (first, rest) = data.split_first()?;
    Some((tables[usize::from(first.wrapping_sub(b'a')) % tables.len()], rest))
}

/// The same with a decoder, which is made once and lives as long as the process.
pub fn bench<'a>(tables: &[&'static str], data: &'a [u8]) -> Option<(&'static Bench, &'a [u8])> {
    thread_local! {
        static BENCHES: RefCell<Vec<(&'static str, &'static Bench)>> = const { RefCell::new(Vec::new()) };
    }
    let (table, rest) = chosen(tables, data)?;
    let known = BENCHES.with_borrow(|benches| benches.iter().find(|(name, _)| *name == table).map(|(_, bench)| *bench));
    let bench = known.unwrap_or_else(|| {
        let made = Bench::new(table).unwrap_or_else(|| panic!("the catalog has no table {table}"));
        let made: &'static Bench = Box::leak(Box::new(made));
        BENCHES.with_borrow_mut(|benches| benches.push((table, made)));
        made
    });
    Some((bench, rest))
}

/// What is not UTF-8 is refused before it gets to a decoder.
pub fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// Status, headers and body.
pub fn refused(data: &[u8]) -> Option<(u16, &str, &[u8])> {
    let line = data.iter().position(|b| *b == b'\n')?;
    let status = text(&data[..line])?.trim().parse().ok()?;
    let rest = &data[line + 1..];
    let end = rest.windows(2).position(|pair| pair == b"\n\n").unwrap_or(rest.len());
    Some((status, text(&rest[..end])?, rest.get(end + 2..).unwrap_or_default()))
}
