//! The section about Codex: how many use it, how much, and whether its reviews are taken up.

use chrono::NaiveDate;

use crate::html_report::aggregates::codex::{Reviews, Week};
use crate::html_report::chart::{Columns, Series};
use crate::html_report::document::{labels, nothing, open, present};
use crate::html_report::html::Html;
use crate::html_report::period::Step;
use crate::html_report::{HtmlReport, number};

pub(in crate::html_report) fn tile(html: &mut Html, report: &HtmlReport) {
    let columns = report.period.columns(Step::Week);
    let labels = labels(Step::Week, &columns, report.period, report.codex.read);
    let mut whole = columns.iter().zip(labels).filter(|(_, label)| !label.is_partial);
    let Some((start, week)) = whole.next_back().and_then(|(start, _)| Some((start, report.codex.weeks.get(start)?)))
    else {
        return;
    };
    let note = format!("{}, {} turns", Step::Week.long(*start), number::short(week.turns));
    crate::html_report::document::tile(
        html,
        "People on Codex",
        week.users.len(),
        &number::whole(week.users.len() as i128),
        &note,
    );
}

pub(in crate::html_report) fn section(html: &mut Html, report: &HtmlReport) {
    open(html, "codex", "Codex");
    if present(html, report, &["codex_usage"]) && report.codex.weeks.is_empty() {
        nothing(html, "Nobody used Codex in these days.");
    }
    let columns = report.period.columns(Step::Week);
    if !report.codex.weeks.is_empty() {
        html.raw("<div class=\"pair\">");
        let users = |week: &Week| week.users.len() as i128;
        usage(
            html,
            report,
            &columns,
            "codex-users",
            "People by week",
            "How many people used Codex in each week.",
            users,
        );
        usage(html, report, &columns, "codex-turns", "Turns by week", "Turns of all people in each week.", |w| w.turns);
        html.raw("</div>");
        weeks(html, report, &columns);
    }
    html.raw("<h3>Code reviews</h3>");
    if present(html, report, &["codex_code_reviews", "codex_code_review_responses"]) && report.codex.reviews.is_empty()
    {
        nothing(html, "Codex reviewed no pull request in these days.");
    }
    if !report.codex.reviews.is_empty() {
        reviews(html, report, &columns);
    }
    html.raw("</section>");
}

fn usage(
    html: &mut Html,
    report: &HtmlReport,
    columns: &[NaiveDate],
    id: &'static str,
    title: &'static str,
    about: &'static str,
    value: impl Fn(&Week) -> i128,
) {
    let of = |start: &NaiveDate| report.codex.weeks.get(start).map(&value).unwrap_or_default();
    let chart = Columns {
        id,
        title,
        about,
        column_word: "week",
        labels: labels(Step::Week, columns, report.period, report.codex.read),
        series: vec![Series { name: title.to_string(), values: columns.iter().map(of).collect() }],
        has_rest: false,
        shown: &number::whole,
        tick: &number::short,
        exact: &|number| number.to_string(),
        least: 1,
    };
    chart.write(html);
}

fn heads(html: &mut Html, id: &'static str, names: &[&'static str]) {
    html.raw("<div class=\"wide\"><table").attribute("id", id).raw("><thead><tr><th scope=\"col\">week of</th>");
    for name in names {
        html.raw("<th scope=\"col\" class=\"n\">").raw(name).raw("</th>");
    }
    html.raw("</tr></thead><tbody>");
}

fn week_head(html: &mut Html, start: NaiveDate) {
    html.raw("<tr><th scope=\"row\" class=\"when\">").text(start.format("%-d %b %Y")).raw("</th>");
}

fn weeks(html: &mut Html, report: &HtmlReport, columns: &[NaiveDate]) {
    html.raw("<details><summary>People, threads and turns of each week</summary>");
    heads(html, "codex-weeks", &["people", "threads", "turns", "turns a person"]);
    for start in columns.iter().rev() {
        let Some(week) = report.codex.weeks.get(start) else { continue };
        let people = week.users.len() as i128;
        week_head(html, *start);
        for value in [people, week.threads, week.turns] {
            html.raw("<td class=\"n\">").data(value, number::whole(value)).raw("</td>");
        }
        html.raw("<td class=\"n\">").text(number::whole(week.turns / people.max(1))).raw("</td></tr>");
    }
    html.raw("</tbody></table></div></details>");
}

fn reviews(html: &mut Html, report: &HtmlReport, columns: &[NaiveDate]) {
    html.raw("<p class=\"note\">Reviews and comments are of the week; answers are on pull requests merged in it.</p>");
    heads(html, "codex-reviews", &["reviews", "comments", "answered", "thumbs up", "thumbs down"]);
    for start in columns.iter().rev() {
        if let Some(week) = report.codex.reviews.get(start) {
            week_head(html, *start);
            review(html, week);
        }
    }
    html.raw("</tbody><tfoot><tr><th scope=\"row\">all</th>");
    review(html, &report.codex.reviews.values().fold(Reviews::default(), add));
    html.raw("</tfoot></table></div>");
}

fn add(sum: Reviews, week: &Reviews) -> Reviews {
    Reviews {
        reviews: sum.reviews + week.reviews,
        comments: sum.comments + week.comments,
        answerable: sum.answerable + week.answerable,
        engaged: sum.engaged + week.engaged,
        upvotes: sum.upvotes + week.upvotes,
        downvotes: sum.downvotes + week.downvotes,
    }
}

fn review(html: &mut Html, week: &Reviews) {
    for value in [week.reviews, week.comments] {
        html.raw("<td class=\"n\">").data(value, number::whole(value)).raw("</td>");
    }
    html.raw("<td class=\"n\">").data(week.engaged, number::share(week.engaged, week.answerable)).raw("</td>");
    for value in [week.upvotes, week.downvotes] {
        html.raw("<td class=\"n\">").data(value, number::whole(value)).raw("</td>");
    }
    html.raw("</tr>");
}
