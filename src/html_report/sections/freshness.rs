//! The section about the lake itself: how fresh, how large, and what is not in it.

use std::collections::BTreeMap;

use crate::html_report::aggregates::freshness::Table;
use crate::html_report::document::{nothing, open};
use crate::html_report::html::Html;
use crate::html_report::{HtmlReport, number};
use crate::schema::Surface;

pub(in crate::html_report) fn section(html: &mut Html, report: &HtmlReport) {
    open(html, "fresh", "Freshness");
    if report.fresh.tables.is_empty() {
        nothing(html, "The lake is empty. <code>openai-elt sync</code> fills it.");
    } else {
        surfaces(html, report);
        tables(html, report);
    }
    missing(html, report);
    html.raw("</section>");
}

fn surface_name(surface: Option<Surface>) -> &'static str {
    surface.map_or("unknown to this version", Surface::name)
}

fn surfaces(html: &mut Html, report: &HtmlReport) {
    let mut surfaces: BTreeMap<Option<Surface>, Vec<&Table>> = BTreeMap::new();
    for table in report.fresh.tables.values() {
        surfaces.entry(table.surface).or_default().push(table);
    }
    html.raw("<div class=\"wide\"><table id=\"fresh-surfaces\"><thead><tr><th scope=\"col\">surface</th>");
    for head in ["tables", "rows", "size", "read last", "read longest ago"] {
        html.raw("<th scope=\"col\" class=\"n\">").raw(head).raw("</th>");
    }
    html.raw("</tr></thead><tbody>");
    for (surface, tables) in surfaces {
        html.raw("<tr><th scope=\"row\">").raw(surface_name(surface)).raw("</th>");
        let rows: u64 = tables.iter().map(|t| t.rows).sum();
        let bytes: u64 = tables.iter().map(|t| t.bytes).sum();
        html.raw("<td class=\"n\">").text(tables.len()).raw("</td><td class=\"n\">");
        html.data(rows, number::whole(i128::from(rows))).raw("</td><td class=\"n\">");
        html.data(bytes, number::bytes(bytes)).raw("</td>");
        // A table whose objects have no rows says nothing of when it was read; the state does.
        let read = || tables.iter().filter_map(|t| t.read.max(t.settled));
        for time in [read().max(), read().min()] {
            html.raw("<td class=\"n\">")
                .text(time.map_or("–".to_string(), |t| number::ago(t, report.made)))
                .raw("</td>");
        }
        html.raw("</tr>");
    }
    html.raw("</tbody></table></div>");
}

fn tables(html: &mut Html, report: &HtmlReport) {
    html.raw("<details><summary>Every table</summary><div class=\"wide\"><table id=\"fresh-tables\"><thead><tr>");
    html.raw("<th scope=\"col\">table</th>");
    for head in ["rows", "deleted", "size", "days", "newest row read", "settled"] {
        html.raw("<th scope=\"col\" class=\"n\">").raw(head).raw("</th>");
    }
    html.raw("</tr></thead><tbody>");
    for (name, table) in &report.fresh.tables {
        html.raw("<tr><th scope=\"row\"><code>").text(name).raw("</code></th><td class=\"n\">");
        html.data(table.rows, number::whole(i128::from(table.rows))).raw("</td><td class=\"n\">");
        match table.deleted {
            0 => html.raw("–"),
            some => html.data(some, number::whole(i128::from(some))),
        };
        html.raw("</td><td class=\"n\">").data(table.bytes, number::bytes(table.bytes)).raw("</td><td class=\"n\">");
        match table.days {
            None => html.raw("whole"),
            Some((first, last)) => {
                html.text(format_args!("{} – {}", first.format("%-d %b %Y"), last.format("%-d %b %Y")))
            }
        };
        for time in [table.read, table.settled] {
            html.raw("</td><td class=\"n\">");
            match time {
                None => html.raw("–"),
                Some(time) => html
                    .raw("<time")
                    .attribute("datetime", time.to_rfc3339())
                    .raw(">")
                    .text(time.format("%-d %b %Y %H:%M"))
                    .raw("</time>"),
            };
        }
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table></div></details>");
}

fn missing(html: &mut Html, report: &HtmlReport) {
    let count: usize = report.fresh.missing.values().map(Vec::len).sum();
    if count == 0 {
        return;
    }
    html.raw("<details><summary>").text(count).raw(if count == 1 { " table" } else { " tables" });
    html.raw(" that this lake does not have</summary>");
    for (surface, names) in &report.fresh.missing {
        html.raw("<p><b>").raw(surface.name()).raw("</b>, read with <code>").raw(key(*surface)).raw("</code>: ");
        html.text(names.join(", ")).raw("</p>");
    }
    html.raw("</details>");
}

fn key(surface: Surface) -> &'static str {
    match surface {
        Surface::Admin => "OPENAI_ADMIN_KEY",
        Surface::Project => "OPENAI_PROJECT_KEYS",
        Surface::Codex => "CODEX_ANALYTICS_KEY",
        Surface::Compliance => "CHATGPT_COMPLIANCE_KEY",
    }
}
