//! The page around its sections: head, tiles, and what a section says when it has nothing to show.

use chrono::{DateTime, NaiveDate, Utc};

use super::chart::Label;
use super::html::Html;
use super::period::{Period, Step};
use super::sections::{audit, codex, freshness, money, people};
use super::{HtmlReport, number};
use crate::console::typed;

/// The whole document.
pub(crate) fn render(report: &HtmlReport) -> String {
    let mut html = Html::default();
    head(&mut html, report);
    tiles(&mut html, report);
    money::section(&mut html, report);
    money::tokens(&mut html, report);
    people::section(&mut html, report);
    codex::section(&mut html, report);
    audit::section(&mut html, report);
    freshness::section(&mut html, report);
    html.raw("</main><footer><p>Amounts are added up exactly and rounded only to be shown. Days are UTC days.");
    html.raw(" Made by openai-elt ").raw(env!("CARGO_PKG_VERSION")).raw(" from ").text(&report.source);
    html.raw(".</p></footer></body></html>\n");
    html.finish()
}

fn head(html: &mut Html, report: &HtmlReport) {
    // Styles of this page and nothing else: a name that got through could still not run, load or send anything.
    html.raw("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    html.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; ");
    html.raw("base-uri 'none'; form-action 'none'\"><meta name=\"referrer\" content=\"no-referrer\">");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\"><title>OpenAI spend and usage, ");
    html.text(span(report.period)).raw("</title><style>").raw(include_str!("style.css")).raw("</style></head><body>");
    html.raw("<header><h1>OpenAI spend and usage</h1><p class=\"lead\">").text(span(report.period)).raw(" · ");
    html.text(report.period.days()).raw(if report.period.days() == 1 { " day" } else { " days" });
    html.raw(" · as of <time").attribute("datetime", report.made.to_rfc3339()).raw(">");
    html.text(report.made.format("%-d %b %Y %H:%M UTC")).raw("</time></p><nav aria-label=\"Sections\">");
    html.raw("<a href=\"#spend\">Spend</a><a href=\"#tokens\">Tokens</a><a href=\"#keys\">Keys and people</a>");
    html.raw("<a href=\"#codex\">Codex</a><a href=\"#audit\">Audit</a><a href=\"#fresh\">Freshness</a></nav>");
    html.raw("</header><main>");
}

/// `7 Oct – 21 Nov 2026`
fn span(period: Period) -> String {
    let (from, last) = (period.from, period.last());
    let same_year = from.format("%Y").to_string() == last.format("%Y").to_string();
    let first = from.format(if same_year { "%-d %b" } else { "%-d %b %Y" });
    format!("{first} – {}", last.format("%-d %b %Y"))
}

/// The few numbers that most people open the page for.
fn tiles(html: &mut Html, report: &HtmlReport) {
    html.raw("<section class=\"tiles\" aria-label=\"Key numbers\">");
    money::tiles(html, report);
    if report.tokens.total.requests > 0 {
        let total = report.tokens.total;
        let cached = number::share(total.cached, total.input);
        let note = format!("{} requests, {cached} of input from the cache", number::short(total.requests));
        tile(html, "Tokens", total.input + total.output, &number::short(total.input + total.output), &note);
    }
    codex::tile(html, report);
    audit::tile(html, report);
    html.raw("</section>");
}

pub(super) fn tile(html: &mut Html, title: &str, exact: impl std::fmt::Display, shown: &str, note: &str) {
    html.raw("<div class=\"tile\"><h2>").text(title).raw("</h2><p class=\"big\">").data(exact, shown);
    html.raw("</p><p class=\"note\">").text(note).raw("</p></div>");
}

pub(super) fn open(html: &mut Html, id: &'static str, title: &str) {
    html.raw("<section").attribute("id", id).raw("><h2>").text(title).raw("</h2>");
}

/// What to do about a table that is not there; true when all are.
pub(super) fn present(html: &mut Html, report: &HtmlReport, tables: &[&'static str]) -> bool {
    let absent: Vec<&str> = tables.iter().copied().filter(|name| report.absent.contains(name)).collect();
    if absent.is_empty() {
        return true;
    }
    html.raw("<p class=\"empty\">This lake does not have ");
    for (turn, name) in absent.iter().enumerate() {
        html.raw(if turn > 0 { " and " } else { "" }).raw("<code>").text(name).raw("</code>");
    }
    let keys = match absent.iter().any(|name| name.starts_with("codex")) {
        true => "<code>CODEX_ANALYTICS_KEY</code> and <code>CHATGPT_WORKSPACE_IDS</code>",
        false => "<code>OPENAI_ADMIN_KEY</code>",
    };
    let command = format!("openai-elt sync --tables {} --dest {}", absent.join(","), typed(&report.source));
    html.raw(". Set ").raw(keys).raw(", then run <code>").text(command).raw("</code>.</p>");
    false
}

pub(super) fn nothing(html: &mut Html, what: &'static str) {
    html.raw("<p class=\"empty\">").raw(what).raw("</p>");
}

/// The labels of a chart's columns. `read`: when their table was last read.
pub(super) fn labels(step: Step, columns: &[NaiveDate], period: Period, read: Option<DateTime<Utc>>) -> Vec<Label> {
    let shown = step.labelled(columns);
    let known = read.map_or(period.until, |read| read.date_naive()).min(period.until);
    let label = |(place, start): (usize, &NaiveDate)| Label {
        long: step.long(*start),
        short: step.short(*start),
        is_shown: shown.contains(&place),
        is_partial: *start < period.from || step.end(*start) > known,
    };
    columns.iter().enumerate().map(label).collect()
}
