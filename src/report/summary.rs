//! The table that a person reads at the end of a run, and small text tables in general.

use super::{Failure, RunReport, TableReport};

/// A number with thin groups of three: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2,000 rows`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// Rows of cells under a head, aligned: the first column to the left, numbers to the right.
pub(crate) fn text_table(head: &[&str], rows: &[Vec<String>], right: &[bool]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let aligned = cells.iter().enumerate().map(|(i, cell)| {
            let pad = " ".repeat(widths[i].saturating_sub(cell.chars().count()));
            if right[i] { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
        });
        aligned.collect::<Vec<_>>().join("  ").trim_end().to_string() + "\n"
    };
    let mut text = line(head.to_vec());
    text.push_str(&line(
        widths.iter().map(|w| "─".repeat(*w)).collect::<Vec<_>>().iter().map(String::as_str).collect(),
    ));
    for cells in rows {
        text.push_str(&line(cells.iter().map(String::as_str).collect()));
    }
    text
}

/// What became of each table, then what needs attention.
pub(crate) fn summary(report: &RunReport) -> String {
    let head = ["table", "status", "read", "written", "tombstones", "slices", "requests", "retries", "seconds"];
    let right = [false, false, true, true, true, true, true, true, true];
    let cells = |name: &str, t: &TableReport| {
        vec![
            name.to_string(),
            t.status.clone(),
            grouped(t.rows_read),
            grouped(t.rows_written),
            grouped(t.tombstones),
            grouped(t.objects.len() as u64),
            grouped(t.requests),
            grouped(t.retries),
            format!("{:.1}", t.seconds),
        ]
    };
    let rows: Vec<Vec<String>> = report.tables.iter().map(|(name, t)| cells(name, t)).collect();
    let mut text = text_table(&head, &rows, &right);
    text.push_str(&attention(report));
    text.push('\n');
    text.push_str(&last_line(report));
    text
}

/// What needs somebody: ended tables, what was left out, what is odd. Empty when all is well.
pub(crate) fn attention(report: &RunReport) -> String {
    let mut text = String::new();
    errors(report, &mut text);
    for (name, table) in &report.tables {
        oddities(name, table, &mut text);
    }
    text
}

/// What ended tables. One reason is often that of many: it is said once, with all their names.
fn errors(report: &RunReport, text: &mut String) {
    let mut reasons: Vec<(&TableReport, &Failure, Vec<&str>)> = Vec::new();
    for (name, table) in &report.tables {
        let Some(error) = &table.error else { continue };
        let same = |(t, e, _): &&mut (&TableReport, &Failure, Vec<&str>)| {
            t.status == table.status
                && (e.message == error.message || (e.kind != "storage" && e.cure == error.cure && t.status != "failed"))
        };
        match reasons.iter_mut().find(same) {
            Some((_, _, names)) => names.push(name),
            None => reasons.push((table, error, vec![name])),
        }
    }
    for (table, error, names) in reasons {
        let word = if table.status == "failed" { "error" } else { table.status.as_str() };
        match names.as_slice() {
            [name] => text.push_str(&format!("\n{word}: {name} {}{}\n", error.message, hint(&error.cure))),
            _ => text.push_str(&format!("\n{word}: {}\n  {}{}\n", names.join(", "), error.message, hint(&error.cure))),
        }
    }
}

fn hint(cure: &Option<String>) -> String {
    cure.as_ref().map(|c| format!("\n  hint: {c}")).unwrap_or_default()
}

/// What was left out of a table, and what is odd in it.
fn oddities(name: &str, table: &TableReport, text: &mut String) {
    /// More of a kind are in the run report.
    const SHOWN: usize = 5;
    for skipped in table.skipped.iter().take(SHOWN) {
        text.push_str(&format!("\nskipped: {name} {}: {}{}\n", skipped.parent, skipped.reason, hint(&skipped.cure)));
    }
    for warning in table.warnings.iter().take(SHOWN) {
        text.push_str(&format!("\nwarning: {name} {warning}\n"));
    }
    let more = table.skipped.len().saturating_sub(SHOWN) + table.warnings.len().saturating_sub(SHOWN);
    if more > 0 {
        text.push_str(&format!("\n{name}: {more} more of these in the run report\n"));
    }
}

/// Returns the outcome in one line. When something is missing, it says of which tables, why, and what to do: many
/// logs keep their last line only.
fn last_line(report: &RunReport) -> String {
    let tables = report.tables.values();
    let good = tables.clone().filter(|t| t.status == "ok").count();
    let sum = |f: fn(&TableReport) -> u64| tables.clone().map(f).sum::<u64>();
    let seconds =
        (report.finished_at.unwrap_or(report.started_at) - report.started_at).num_milliseconds() as f64 / 1000.0;
    format!(
        "{good} of {} synced to {}: {} read, {} written, {} in {seconds:.1} s{}",
        counted(report.tables.len() as u64, "table"),
        report.destination,
        counted(sum(|t| t.rows_read), "row"),
        grouped(sum(|t| t.rows_written)),
        counted(sum(|t| t.requests), "request"),
        missing(report)
    )
}

/// Which tables are not whole, by reason; empty when all are.
fn missing(report: &RunReport) -> String {
    /// More are said above, and in the run report.
    const REASONS: usize = 3;
    const NAMES: usize = 5;
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    let mut add = |reason: String, name| match reasons.iter_mut().find(|(known, _)| *known == reason) {
        Some((_, names)) => names.push(name),
        None => reasons.push((reason, vec![name])),
    };
    for (name, table) in report.tables.iter().filter(|(_, t)| t.status != "retired upstream") {
        let hint = |cure: &Option<String>| cure.as_ref().map(|c| format!(" (hint: {c})")).unwrap_or_default();
        match (&table.error, table.skipped.first()) {
            (Some(error), _) => {
                add(format!("{}: {}{}", table.status, one_line(&error.message), hint(&error.cure)), name.as_str())
            }
            (None, _) if table.status != "ok" => add(table.status.clone(), name),
            (None, Some(first)) => add(
                format!(
                    "{} skipped, such as {}: {}{}",
                    grouped(table.skipped.len() as u64),
                    first.parent,
                    one_line(&first.reason),
                    hint(&first.cure)
                ),
                name,
            ),
            (None, None) => {}
        }
    }
    let more = |count: usize, noun: &str| if count > 0 { format!(" and {count} more{noun}") } else { String::new() };
    let shown = reasons.iter().take(REASONS).map(|(reason, names)| {
        let listed: Vec<&str> = names.iter().take(NAMES).copied().collect();
        format!("; not whole: {}{}: {reason}", listed.join(", "), more(names.len().saturating_sub(NAMES), ""))
    });
    shown.collect::<String>() + &more(reasons.len().saturating_sub(REASONS), " reasons, see above")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
