//! The sections about money and tokens. Currencies are never added up: each has charts of its own.

use crate::html_report::aggregates::spend::{Spend, Sums, largest};
use crate::html_report::chart::{Columns, Series, bar, class};
use crate::html_report::document::{labels, nothing, open, present, tile};
use crate::html_report::html::Html;
use crate::html_report::{HtmlReport, number};
use crate::money::{ONE, exact};

/// Projects that a chart tells apart.
const STACKED: usize = 5;
/// Rows of a list of bars.
const LISTED: usize = 10;

pub(in crate::html_report) fn tiles(html: &mut Html, report: &HtmlReport) {
    let today = report.money.read.map_or(report.period.until, |read| read.date_naive());
    for (currency, spend) in &report.money.currencies {
        let days = i128::from(report.period.days().max(1));
        let note = format!("{} a day", number::amount(spend.total / days, currency));
        tile(html, "Spend", exact(spend.total), &number::amount(spend.total, currency), &note);
        let Some((last, before)) = spend.two_weeks(report.period, today) else { continue };
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

pub(in crate::html_report) fn section(html: &mut Html, report: &HtmlReport) {
    open(html, "spend", "Spend");
    if present(html, report, &["costs"]) && report.money.currencies.is_empty() {
        nothing(html, "Nothing was spent in these days.");
    }
    for (place, (currency, spend)) in report.money.currencies.iter().enumerate() {
        headed(html, report, currency);
        by_time(html, report, spend, currency, &once("spend-by-time", place));
        html.raw("<div class=\"pair\">");
        let projects = Bars { title: "By project", noun: "project", nobody: "No project", coloured: STACKED };
        projects.write(html, &spend.projects, currency, |html, id| project(html, report, id));
        html.raw("<div>");
        let models = Bars { title: "By model or service", noun: "model", nobody: "No line item", coloured: 0 };
        models.write(html, &spend.models(), currency, |html, model| {
            html.name(model);
        });
        items(html, spend, currency);
        html.raw("</div></div>");
    }
    html.raw("</section>");
}

/// An id that stays the only one of its name: what is told of each further currency has a number.
pub(in crate::html_report) fn once(id: &str, place: usize) -> String {
    if place == 0 { id.to_string() } else { format!("{id}-{place}") }
}

/// The currency above what is told of it, where there are several.
pub(in crate::html_report) fn headed(html: &mut Html, report: &HtmlReport, currency: &str) {
    if report.money.currencies.len() > 1 {
        let name = if currency.is_empty() { "no currency told".to_string() } else { currency.to_uppercase() };
        html.raw("<h3>").text(name).raw("</h3>");
    }
}

fn by_time(html: &mut Html, report: &HtmlReport, spend: &Spend, currency: &str, id: &str) {
    let step = report.period.step();
    let columns = report.period.columns(step);
    let top = largest(&spend.projects, STACKED);
    let empty = |name: String| Series { name, values: vec![0; columns.len()] };
    let mut series: Vec<Series> = top.first.iter().map(|(id, _)| empty(project_name(report, id))).collect();
    let others = top.others + usize::from(top.nobody.is_some());
    match (top.others, others) {
        (_, 0) => {}
        (0, _) => series.push(empty("No project".to_string())),
        (_, 1) => series.push(empty("1 other".to_string())),
        _ => series.push(empty(format!("{others} others"))),
    }
    for (day, sums) in &spend.days {
        let Ok(column) = columns.binary_search(&step.start(*day)) else { continue };
        for (id, amount) in sums {
            let place = top.first.iter().position(|(known, _)| known == id).unwrap_or(top.first.len());
            series[place].values[column] += amount;
        }
    }
    let title = format!("Spend by {}, stacked by project", step.word());
    let about = format!("{title}. The largest project lies at the bottom, in the order of the legend.");
    let chart = Columns {
        id,
        title: &title,
        about: &about,
        column_word: step.word(),
        labels: labels(step, &columns, report.period, report.money.read),
        series,
        has_rest: others > 0,
        shown: &|units| number::amount(units, currency),
        tick: &|units| number::tick(units, currency),
        exact: &exact,
        least: ONE / 100,
    };
    chart.write(html);
}

pub(in crate::html_report) fn project_name(report: &HtmlReport, id: &str) -> String {
    let name = report.names.projects.get(id).map(|project| project.name.as_str()).unwrap_or_default();
    match (id, name) {
        ("", _) => "No project".to_string(),
        (id, "") => id.to_string(),
        (_, name) => name.to_string(),
    }
}

fn project(html: &mut Html, report: &HtmlReport, id: &str) {
    html.name(&project_name(report, id));
    if report.names.projects.get(id).is_some_and(|project| project.is_archived) {
        html.raw(" <small>archived</small>");
    }
}

/// A list of bars: the table is the chart.
struct Bars {
    title: &'static str,
    noun: &'static str,
    nobody: &'static str,
    /// Rows that have the colour of their series in the chart above.
    coloured: usize,
}

impl Bars {
    fn write(&self, html: &mut Html, sums: &Sums, currency: &str, name: impl Fn(&mut Html, &str)) {
        let top = largest(sums, LISTED);
        let total: i128 = sums.values().sum();
        let all = top.first.iter().map(|(_, sum)| *sum).chain([top.rest]).chain(top.nobody);
        let longest = all.max().unwrap_or(0);
        html.raw("<div class=\"list\"><h3>").raw(self.title).raw("</h3><table class=\"bars\"><thead><tr>");
        html.raw("<th scope=\"col\">").raw(self.noun).raw("</th><th scope=\"col\" class=\"n\">spend</th>");
        html.raw("<th scope=\"col\" class=\"n\">share</th></tr></thead><tbody>");
        for (place, (id, amount)) in top.first.iter().enumerate() {
            html.raw("<tr><th scope=\"row\">");
            name(html, id);
            let colour = if self.coloured == 0 { class(0) } else { class(place.min(self.coloured)) };
            bar(html, *amount, longest, colour);
            self.numbers(html, *amount, total, currency);
        }
        if top.others > 0 {
            html.raw("<tr><th scope=\"row\">").text(top.others).raw(" other ").raw(self.noun);
            html.raw(if top.others == 1 { "" } else { "s" });
            bar(html, top.rest, longest, "rest");
            self.numbers(html, top.rest, total, currency);
        }
        if let Some(amount) = top.nobody {
            html.raw("<tr><th scope=\"row\">").raw(self.nobody);
            bar(html, amount, longest, "rest");
            self.numbers(html, amount, total, currency);
        }
        html.raw("</tbody></table></div>");
    }

    fn numbers(&self, html: &mut Html, amount: i128, total: i128, currency: &str) {
        html.raw("</th><td class=\"n\">").data(exact(amount), number::amount(amount, currency));
        html.raw("</td><td class=\"n share\">").text(number::share(amount, total)).raw("</td></tr>");
    }
}

fn items(html: &mut Html, spend: &Spend, currency: &str) {
    html.raw("<details><summary>Every line item</summary><div class=\"wide\"><table class=\"items\"><thead><tr>");
    html.raw("<th scope=\"col\">line item</th><th scope=\"col\" class=\"n\">spend</th></tr></thead><tbody>");
    let top = largest(&spend.items, usize::MAX);
    for (item, amount) in top.first.into_iter().chain(top.nobody.map(|amount| ("none told", amount))) {
        html.raw("<tr><th scope=\"row\">").name(item);
        html.raw("</th><td class=\"n\">").data(exact(amount), number::amount(amount, currency)).raw("</td></tr>");
    }
    html.raw("</tbody></table></div></details>");
}

pub(in crate::html_report) fn tokens(html: &mut Html, report: &HtmlReport) {
    open(html, "tokens", "Tokens");
    if present(html, report, &["usage_completions"]) && report.tokens.days.is_empty() {
        nothing(html, "No text was generated in these days.");
    }
    if !report.tokens.days.is_empty() {
        tokens_by_time(html, report);
        tokens_by_model(html, report);
    }
    html.raw("</section>");
}

fn tokens_by_time(html: &mut Html, report: &HtmlReport) {
    let step = report.period.step();
    let columns = report.period.columns(step);
    let mut values = [vec![0; columns.len()], vec![0; columns.len()], vec![0; columns.len()]];
    for (day, count) in &report.tokens.days {
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
        title: &title,
        about: "Text generation only. From the bottom: input that was not in the cache, input from the cache, output.",
        column_word: step.word(),
        labels: labels(step, &columns, report.period, report.tokens.read),
        series: series.collect(),
        has_rest: false,
        shown: &number::whole,
        tick: &number::short,
        exact: &|number| number.to_string(),
        least: 1,
    };
    chart.write(html);
}

fn tokens_by_model(html: &mut Html, report: &HtmlReport) {
    html.raw(
        "<h3>By model</h3><div class=\"wide\"><table id=\"tokens-by-model\"><thead><tr><th scope=\"col\">model</th>",
    );
    for head in ["requests", "input", "from the cache", "output"] {
        html.raw("<th scope=\"col\" class=\"n\">").raw(head).raw("</th>");
    }
    html.raw("</tr></thead><tbody>");
    let mut models: Vec<_> = report.tokens.models.iter().collect();
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
