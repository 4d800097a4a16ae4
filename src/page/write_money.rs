//! The sections about money and tokens. Currencies are never added up: each has charts of its own.

use super::chart::{Columns, Series, bar};
use super::html::Html;
use super::spend::{Spend, Sums, largest};
use super::write::{labels, nothing, open, partial_from, present, tile};
use super::{Page, number};
use crate::money::{ONE, exact};

/// Projects that a chart tells apart.
const STACKED: usize = 5;
/// Rows of a list of bars.
const LISTED: usize = 10;

pub(super) fn tiles(html: &mut Html, page: &Page) {
    let today = page.money.read.map_or(page.period.until, |read| read.date_naive());
    for (currency, spend) in &page.money.currencies {
        let days = i128::from(page.period.days().max(1));
        let note = format!("{} a day", number::amount(spend.total / days, currency));
        tile(html, "Spend", exact(spend.total), &number::amount(spend.total, currency), &note);
        let Some((last, before)) = spend.two_weeks(page.period, today) else { continue };
        let note = match before {
            0 => "nothing in the 7 days before".to_string(),
            _ => change(last, before),
        };
        tile(html, "Last 7 full days", exact(last), &number::amount(last, currency), &note);
    }
}

fn change(last: i128, before: i128) -> String {
    let (arrow, word) = if last >= before { ("▲", "more") } else { ("▼", "less") };
    format!("{arrow} {} {word} than the 7 days before", number::share((last - before).abs(), before.abs()))
}

pub(super) fn section(html: &mut Html, page: &Page) {
    open(html, "spend", "Spend");
    if present(html, page, &["costs"]) && page.money.currencies.is_empty() {
        nothing(html, "Nothing was spent in these days.");
    }
    let several = page.money.currencies.len() > 1;
    for (currency, spend) in &page.money.currencies {
        if several {
            html.raw("<h3>").text(if currency.is_empty() { "no currency told" } else { currency }).raw("</h3>");
        }
        by_time(html, page, spend, currency, several);
        html.raw("<div class=\"pair\">");
        let projects = |html: &mut Html, id: &str| project(html, page, id);
        bars(html, "By project", "project", "projects", (&spend.projects, currency), &projects);
        let models = |html: &mut Html, id: &str| {
            html.name(if id.is_empty() { "No line item told" } else { id });
        };
        html.raw("<div>");
        bars(html, "By model or service", "model", "models", (&spend.models(), currency), &models);
        items(html, spend, currency);
        html.raw("</div></div>");
    }
    html.raw("</section>");
}

fn by_time(html: &mut Html, page: &Page, spend: &Spend, currency: &str, several: bool) {
    let step = page.period.step();
    let columns = page.period.columns(step);
    let (first, others, rest) = largest(&spend.projects, STACKED);
    let mut series: Vec<Series> =
        first.iter().map(|(id, _)| Series { name: project_name(page, id), values: vec![0; columns.len()] }).collect();
    if others > 0 {
        let name = format!("{others} other{}", if others == 1 { "" } else { "s" });
        series.push(Series { name, values: vec![0; columns.len()] });
    }
    for (day, sums) in &spend.days {
        let Ok(column) = columns.binary_search(&step.start(*day)) else { continue };
        for (id, amount) in sums {
            let place = first.iter().position(|(known, _)| known == id).unwrap_or(first.len());
            series[place].values[column] += amount;
        }
    }
    debug_assert_eq!(rest, spend.total - first.iter().map(|(_, sum)| sum).sum::<i128>());
    let title = format!("Spend by {}, stacked by project", step.word());
    let about = format!("{title}. The largest project lies at the bottom, in the order of the legend.");
    let chart = Columns {
        id: "spend-by-time",
        suffix: if several { currency } else { "" },
        title: &title,
        about: &about,
        column_word: step.word(),
        labels: labels(step, &columns),
        series,
        has_rest: others > 0,
        partial_from: partial_from(step, &columns, page.period, page.money.read),
        shown: &|units| number::amount(units, currency),
        tick: &|units| number::tick(units, currency),
        exact: &exact,
        least: ONE / 100,
    };
    chart.write(html);
}

pub(super) fn project_name(page: &Page, id: &str) -> String {
    let name = page.names.projects.get(id).map(|project| project.name.as_str()).unwrap_or_default();
    match (id, name) {
        ("", _) => "No project".to_string(),
        (id, "") => id.to_string(),
        (_, name) => name.to_string(),
    }
}

fn project(html: &mut Html, page: &Page, id: &str) {
    html.name(&project_name(page, id));
    if page.names.projects.get(id).is_some_and(|project| project.is_archived) {
        html.raw(" <small>archived</small>");
    }
}

/// A list of bars: the table is the chart.
fn bars(
    html: &mut Html,
    title: &'static str,
    id: &'static str,
    noun: &'static str,
    (sums, currency): (&Sums, &str),
    name: &dyn Fn(&mut Html, &str),
) {
    let (first, others, rest) = largest(sums, LISTED);
    let total: i128 = sums.values().sum();
    let longest = first.iter().map(|(_, sum)| *sum).chain([rest]).max().unwrap_or(0);
    html.raw("<div class=\"list\"><h3>")
        .raw(title)
        .raw("</h3><table class=\"bars\"")
        .attribute("id", format_args!("by-{id}"));
    html.raw("><thead class=\"quiet\"><tr><th scope=\"col\">")
        .raw(id)
        .raw("</th><th scope=\"col\" class=\"n\">spend</th>");
    html.raw("<th scope=\"col\" class=\"n\">share</th></tr></thead><tbody>");
    let row = |html: &mut Html, amount: i128, name: &dyn Fn(&mut Html)| {
        html.raw("<tr><th scope=\"row\">");
        name(html);
        bar(html, amount, longest);
        html.raw("</th><td class=\"n\">").data(exact(amount), number::amount(amount, currency));
        html.raw("</td><td class=\"n share\">").text(number::share(amount, total)).raw("</td></tr>");
    };
    for (of, amount) in first {
        row(html, amount, &|html| name(html, of));
    }
    if others > 0 {
        row(html, rest, &|html| {
            html.text(others).raw(" other ").raw(if others == 1 { noun.trim_end_matches('s') } else { noun });
        });
    }
    html.raw("</tbody></table></div>");
}

fn items(html: &mut Html, spend: &Spend, currency: &str) {
    html.raw("<details><summary>Every line item</summary><div class=\"wide\"><table class=\"items\"><thead><tr>");
    html.raw("<th scope=\"col\">line item</th><th scope=\"col\" class=\"n\">spend</th></tr></thead><tbody>");
    for (item, amount) in largest(&spend.items, usize::MAX).0 {
        html.raw("<tr><th scope=\"row\">").name(if item.is_empty() { "none told" } else { item });
        html.raw("</th><td class=\"n\">").data(exact(amount), number::amount(amount, currency)).raw("</td></tr>");
    }
    html.raw("</tbody></table></div></details>");
}

pub(super) fn tokens(html: &mut Html, page: &Page) {
    open(html, "tokens", "Tokens");
    if present(html, page, &["usage_completions"]) && page.tokens.days.is_empty() {
        nothing(html, "No text was generated in these days.");
    }
    if !page.tokens.days.is_empty() {
        tokens_by_time(html, page);
        tokens_by_model(html, page);
    }
    html.raw("</section>");
}

fn tokens_by_time(html: &mut Html, page: &Page) {
    let step = page.period.step();
    let columns = page.period.columns(step);
    let mut values = [vec![0; columns.len()], vec![0; columns.len()], vec![0; columns.len()]];
    for (day, count) in &page.tokens.days {
        let Ok(column) = columns.binary_search(&step.start(*day)) else { continue };
        for (values, part) in values.iter_mut().zip([count.uncached(), count.cached, count.output]) {
            values[column] += part;
        }
    }
    let names = ["Input", "Input from the cache", "Output"];
    let series = names.iter().zip(values).map(|(name, values)| Series { name: (*name).to_string(), values });
    let title = format!("Tokens by {}", step.word());
    let chart = Columns {
        id: "tokens-by-time",
        suffix: "",
        title: &title,
        about: "Text generation only. From the bottom: input that was not in the cache, input from the cache, output.",
        column_word: step.word(),
        labels: labels(step, &columns),
        series: series.collect(),
        has_rest: false,
        partial_from: partial_from(step, &columns, page.period, page.tokens.read),
        shown: &number::whole,
        tick: &number::short,
        exact: &|number| number.to_string(),
        least: 1,
    };
    chart.write(html);
}

fn tokens_by_model(html: &mut Html, page: &Page) {
    html.raw(
        "<h3>By model</h3><div class=\"wide\"><table id=\"tokens-by-model\"><thead><tr><th scope=\"col\">model</th>",
    );
    for head in ["requests", "input", "from the cache", "output"] {
        html.raw("<th scope=\"col\" class=\"n\">").raw(head).raw("</th>");
    }
    html.raw("</tr></thead><tbody>");
    let mut models: Vec<_> = page.tokens.models.iter().collect();
    models.sort_by_key(|(_, count)| std::cmp::Reverse(count.input + count.output));
    for (model, count) in models {
        html.raw("<tr><th scope=\"row\">").name(if model.is_empty() { "none told" } else { model }).raw("</th>");
        for value in [count.requests, count.input] {
            html.raw("<td class=\"n\">").data(value, number::short(value)).raw("</td>");
        }
        html.raw("<td class=\"n\">").data(count.cached, number::share(count.cached, count.input)).raw("</td>");
        html.raw("<td class=\"n\">").data(count.output, number::short(count.output)).raw("</td></tr>");
    }
    html.raw("</tbody></table></div>");
}
