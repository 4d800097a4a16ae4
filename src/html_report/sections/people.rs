//! The section about keys and people: who spends, under the names that people know.

use super::money::{headed, once, project_name};
use crate::html_report::aggregates::spend::{Spend, Top, largest};
use crate::html_report::document::{nothing, open, present};
use crate::html_report::html::Html;
use crate::html_report::{HtmlReport, number};
use crate::money::exact;

/// Keys and people that are told.
pub(in crate::html_report) const SHOWN: usize = 10;

pub(in crate::html_report) fn section(html: &mut Html, report: &HtmlReport) {
    open(html, "keys", "Keys and people");
    if present(html, report, &["costs"]) && report.money.currencies.is_empty() {
        nothing(html, "Nothing was spent in these days.");
    }
    for (place, (currency, spend)) in report.money.currencies.iter().enumerate() {
        headed(html, report, currency);
        html.raw("<div class=\"pair\">");
        let numbers = Numbers { currency, total: spend.total, place };
        keys(html, report, spend, &numbers);
        users(html, report, spend, &numbers);
        html.raw("</div>");
    }
    html.raw("</section>");
}

/// What the numbers of a row are seen against.
struct Numbers<'a> {
    currency: &'a str,
    total: i128,
    place: usize,
}

fn keys(html: &mut Html, report: &HtmlReport, spend: &Spend, numbers: &Numbers) {
    html.raw("<div class=\"list\"><h3>Top keys</h3>");
    present(html, report, &["project_api_keys"]);
    start(html, &once("top-keys", numbers.place), "key");
    let top = largest(&spend.keys, SHOWN);
    for (id, amount) in &top.first {
        html.raw("<tr><th scope=\"row\">");
        match report.names.keys.get(*id) {
            None => {
                html.raw("<code>").text(id).raw("</code>");
            }
            Some(key) => {
                html.name(if key.name.is_empty() { id } else { &key.name });
                html.raw(" <code>").text(&key.redacted).raw("</code>");
                html.raw(if key.is_gone { " <small>deleted</small>" } else { "" }).raw("<small class=\"line\">");
                html.name(&project_name(report, &key.project));
                if !key.owner.is_empty() {
                    html.raw(" · ").name(&key.owner);
                }
                html.raw("</small>");
            }
        }
        numbers.write(html, *amount, report.tokens.keys.get(*id).copied());
    }
    let nobody = ("Without a key", "work in the browser, or too old to be told by key");
    numbers.left_over(html, &top, "key", nobody, report.tokens.keys.get("").copied());
}

fn users(html: &mut Html, report: &HtmlReport, spend: &Spend, numbers: &Numbers) {
    html.raw("<div class=\"list\"><h3>Top people</h3>");
    present(html, report, &["users"]);
    start(html, &once("top-users", numbers.place), "person");
    let top = largest(&spend.users, SHOWN);
    for (id, amount) in &top.first {
        html.raw("<tr><th scope=\"row\">");
        match report.names.users.get(*id) {
            None => {
                html.raw("<code>").text(id).raw("</code>");
            }
            Some(user) => {
                html.name(if user.name.is_empty() { id } else { &user.name });
                html.raw(if user.is_gone { " <small>left</small>" } else { "" }).raw("<small class=\"line\">");
                html.name(&user.email).raw("</small>");
            }
        }
        numbers.write(html, *amount, report.tokens.users.get(*id).copied());
    }
    let nobody = ("Nobody by name", "service accounts, or the API did not say who");
    numbers.left_over(html, &top, "person", nobody, report.tokens.users.get("").copied());
}

fn start(html: &mut Html, id: &str, who: &'static str) {
    html.raw("<table").attribute("id", id).raw("><thead><tr><th scope=\"col\">").raw(who);
    html.raw("</th><th scope=\"col\" class=\"n\">spend</th><th scope=\"col\" class=\"n share\">share</th>");
    html.raw("<th scope=\"col\" class=\"n\">requests</th></tr></thead><tbody>");
}

impl Numbers<'_> {
    /// Ends a row whose head is written.
    fn write(&self, html: &mut Html, amount: i128, requests: Option<i128>) {
        html.raw("</th><td class=\"n\">").data(exact(amount), number::amount(amount, self.currency));
        html.raw("</td><td class=\"n share\">").text(number::share(amount, self.total)).raw("</td><td class=\"n\">");
        match requests {
            Some(requests) => html.data(requests, number::short(requests)),
            None => html.raw("–"),
        };
        html.raw("</td></tr>");
    }

    /// What the list leaves out, so that it adds up to the whole; then the list's end.
    fn left_over(
        &self,
        html: &mut Html,
        top: &Top,
        noun: &'static str,
        (nobody, why): (&'static str, &'static str),
        requests: Option<i128>,
    ) {
        if top.others > 0 {
            html.raw("<tr><th scope=\"row\">").text(top.others).raw(" more ").raw(match (noun, top.others) {
                ("person", 1) => "person",
                ("person", _) => "people",
                (_, 1) => "key",
                _ => "keys",
            });
            self.write(html, top.rest, None);
        }
        if let Some(amount) = top.nobody {
            html.raw("<tr><th scope=\"row\">").raw(nobody).raw("<small class=\"line\">").raw(why).raw("</small>");
            self.write(html, amount, requests);
        }
        html.raw("</tbody></table></div>");
    }
}
