//! The section about the audit log: how many events of each sensitive kind, and the newest of them.

use crate::html_report::aggregates::audit::{Event, Group};
use crate::html_report::document::{nothing, open, present};
use crate::html_report::html::Html;
use crate::html_report::{HtmlReport, number};

/// Types of a group that are told at once.
const TOLD: usize = 5;

pub(in crate::html_report) fn tile(html: &mut Html, report: &HtmlReport) {
    if report.audit.events == 0 {
        return;
    }
    let note = format!("{} failed sign-ins", number::whole(i128::from(report.audit.count(Group::FailedSignIns))));
    let sensitive: u64 = report.audit.groups.keys().map(|group| report.audit.count(*group)).sum();
    crate::html_report::document::tile(
        html,
        "Sensitive events",
        sensitive,
        &number::whole(i128::from(sensitive)),
        &note,
    );
}

pub(in crate::html_report) fn section(html: &mut Html, report: &HtmlReport) {
    open(html, "audit", "Audit log");
    if present(html, report, &["audit_logs"]) && report.audit.groups.is_empty() {
        nothing(html, "No sensitive event in these days.");
    }
    if !report.audit.groups.is_empty() {
        groups(html, report);
        newest(html, report);
    }
    html.raw("</section>");
}

fn groups(html: &mut Html, report: &HtmlReport) {
    html.raw("<div class=\"wide\"><table id=\"audit-groups\"><thead><tr><th scope=\"col\">what</th>");
    html.raw("<th scope=\"col\" class=\"n\">events</th><th scope=\"col\">of these types</th></tr></thead><tbody>");
    for (group, kinds) in &report.audit.groups {
        let count = report.audit.count(*group);
        html.raw("<tr><th scope=\"row\">").raw(group.title()).raw("</th><td class=\"n\">");
        html.data(count, number::whole(i128::from(count))).raw("</td><td class=\"kinds\">");
        let mut kinds: Vec<_> = kinds.iter().collect();
        kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(**count), *kind));
        let (first, more) = kinds.split_at(kinds.len().min(TOLD));
        types(html, first);
        if !more.is_empty() {
            html.raw("<details><summary>").text(more.len()).raw(if more.len() == 1 {
                " more type"
            } else {
                " more types"
            });
            html.raw("</summary>");
            types(html, more);
            html.raw("</details>");
        }
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table></div>");
}

fn types(html: &mut Html, kinds: &[(&String, &u64)]) {
    for (kind, count) in kinds {
        html.raw("<span><code>").text(kind).raw("</code> ").data(count, number::whole(i128::from(**count)));
        html.raw("</span> ");
    }
}

fn newest(html: &mut Html, report: &HtmlReport) {
    html.raw("<h3>Most recent</h3><div class=\"wide\"><table id=\"audit-newest\"><thead><tr>");
    html.raw("<th scope=\"col\">when, UTC</th><th scope=\"col\">event</th><th scope=\"col\">by</th>");
    html.raw("<th scope=\"col\">project</th><th scope=\"col\">from</th></tr></thead><tbody>");
    for event in report.audit.newest.iter().rev() {
        row(html, event);
    }
    html.raw("</tbody></table></div>");
}

fn row(html: &mut Html, event: &Event) {
    html.raw("<tr><th scope=\"row\" class=\"when\"><time").attribute("datetime", event.at.to_rfc3339()).raw(">");
    html.text(event.at.format("%-d %b %H:%M")).raw("</time></th><td><code>").text(&event.kind).raw("</code></td>");
    for value in [&event.actor, &event.project, &event.address] {
        html.raw("<td>");
        match value.as_str() {
            "" => html.raw("–"),
            value => html.name(value),
        };
        html.raw("</td>");
    }
    html.raw("</tr>");
}
