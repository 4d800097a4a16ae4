//! The section about keys and people: who spends, under the names that people know.

use super::html::Html;
use super::spend::{Spend, largest};
use super::write::{nothing, open, present};
use super::write_money::project_name;
use super::{Page, number};
use crate::money::exact;

/// Keys and people that are told.
pub(super) const SHOWN: usize = 10;

pub(super) fn section(html: &mut Html, page: &Page) {
    open(html, "keys", "Keys and people");
    if present(html, page, &["costs"]) && page.money.currencies.is_empty() {
        nothing(html, "Nothing was spent in these days.");
    }
    let several = page.money.currencies.len() > 1;
    for (currency, spend) in &page.money.currencies {
        if several {
            html.raw("<h3>").text(if currency.is_empty() { "no currency told" } else { currency }).raw("</h3>");
        }
        html.raw("<div class=\"pair\">");
        keys(html, page, spend, currency);
        users(html, page, spend, currency);
        html.raw("</div>");
    }
    html.raw("</section>");
}

fn keys(html: &mut Html, page: &Page, spend: &Spend, currency: &str) {
    html.raw("<div class=\"list\"><h3>Top keys</h3>");
    present(html, page, &["project_api_keys"]);
    start(html, "top-keys", "key");
    for (id, amount) in largest(&spend.keys, SHOWN).0 {
        html.raw("<tr><th scope=\"row\">");
        match page.names.keys.get(id) {
            _ if id.is_empty() => {
                html.raw("No key <small>work in the browser, or older than keys are told</small>");
            }
            None => {
                html.raw("<code>").text(id).raw("</code>");
            }
            Some(key) => {
                html.name(if key.name.is_empty() { id } else { &key.name });
                html.raw(" <code>").text(&key.redacted).raw("</code>");
                html.raw(if key.is_gone { " <small>deleted</small>" } else { "" }).raw("<small class=\"line\">");
                html.name(&project_name(page, &key.project));
                if !key.owner.is_empty() {
                    html.raw(" · ").name(&key.owner);
                }
                html.raw("</small>");
            }
        }
        numbers(html, amount, spend.total, currency, page.tokens.keys.get(id).copied());
    }
    html.raw("</tbody></table></div>");
}

fn users(html: &mut Html, page: &Page, spend: &Spend, currency: &str) {
    html.raw("<div class=\"list\"><h3>Top people</h3>");
    present(html, page, &["users"]);
    start(html, "top-users", "person");
    for (id, amount) in largest(&spend.users, SHOWN).0 {
        html.raw("<tr><th scope=\"row\">");
        match page.names.users.get(id) {
            _ if id.is_empty() => {
                html.raw("Nobody <small>service accounts, or not told</small>");
            }
            None => {
                html.raw("<code>").text(id).raw("</code>");
            }
            Some(user) => {
                html.name(if user.name.is_empty() { id } else { &user.name });
                html.raw(if user.is_gone { " <small>left</small>" } else { "" }).raw("<small class=\"line\">");
                html.name(&user.email).raw("</small>");
            }
        }
        numbers(html, amount, spend.total, currency, page.tokens.users.get(id).copied());
    }
    html.raw("</tbody></table></div>");
}

fn start(html: &mut Html, id: &'static str, who: &'static str) {
    html.raw("<table").attribute("id", id).raw("><thead><tr><th scope=\"col\">").raw(who);
    html.raw("</th><th scope=\"col\" class=\"n\">spend</th><th scope=\"col\" class=\"n share\">share</th>");
    html.raw("<th scope=\"col\" class=\"n\">requests</th></tr></thead><tbody>");
}

fn numbers(html: &mut Html, amount: i128, total: i128, currency: &str, requests: Option<i128>) {
    html.raw("</th><td class=\"n\">").data(exact(amount), number::amount(amount, currency));
    html.raw("</td><td class=\"n share\">").text(number::share(amount, total)).raw("</td><td class=\"n\">");
    match requests {
        Some(requests) => html.data(requests, number::short(requests)),
        None => html.raw("–"),
    };
    html.raw("</td></tr>");
}
