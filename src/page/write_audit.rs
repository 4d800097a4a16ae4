//! The section about the audit log: how many events of each sensitive kind, and the newest of them.

use super::audit::{Event, Group};
use super::html::Html;
use super::write::{nothing, open, present};
use super::{Page, number};

/// Types of a group that are told at once.
const TOLD: usize = 5;

pub(super) fn tile(html: &mut Html, page: &Page) {
    if page.audit.events == 0 {
        return;
    }
    let note = format!("{} failed sign-ins", number::whole(i128::from(page.audit.count(Group::FailedSignIns))));
    let sensitive: u64 = page.audit.groups.keys().map(|group| page.audit.count(*group)).sum();
    super::write::tile(html, "Sensitive events", sensitive, &number::whole(i128::from(sensitive)), &note);
}

pub(super) fn section(html: &mut Html, page: &Page) {
    open(html, "audit", "Audit log");
    if present(html, page, &["audit_logs"]) && page.audit.groups.is_empty() {
        nothing(html, "No sensitive event in these days.");
    }
    if !page.audit.groups.is_empty() {
        groups(html, page);
        newest(html, page);
    }
    html.raw("</section>");
}

fn groups(html: &mut Html, page: &Page) {
    html.raw("<div class=\"wide\"><table id=\"audit-groups\"><thead><tr><th scope=\"col\">what</th>");
    html.raw("<th scope=\"col\" class=\"n\">events</th><th scope=\"col\">of these types</th></tr></thead><tbody>");
    for (group, kinds) in &page.audit.groups {
        let count = page.audit.count(*group);
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

fn newest(html: &mut Html, page: &Page) {
    html.raw("<h3>Most recent</h3><div class=\"wide\"><table id=\"audit-newest\"><thead><tr>");
    html.raw("<th scope=\"col\">when, UTC</th><th scope=\"col\">event</th><th scope=\"col\">by</th>");
    html.raw("<th scope=\"col\">project</th><th scope=\"col\">from</th></tr></thead><tbody>");
    for event in page.audit.newest.iter().rev() {
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
