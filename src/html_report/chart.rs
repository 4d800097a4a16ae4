//! Charts as inline SVG: stacked columns over time, and bars in the rows of a table.
//!
//! The SVG holds shapes only and stretches to its box; labels are HTML beside it, so
//! that they are as large on a phone as on a desk. No library: these two forms are
//! all the page needs, and a library would bring its script. Each chart has a title,
//! a description and its numbers as a table; a series is told by its place in the
//! stack and in the legend, not by colour alone.

use super::html::Html;

/// One kind of value, a number for each column.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) values: Vec<i128>,
}

/// What a column is called: in tables and tips, on the axis, and whether the axis shows it.
pub(super) struct Label {
    pub(super) long: String,
    pub(super) short: String,
    pub(super) is_shown: bool,
    /// Cut short by the period, or not over when its table was read.
    pub(super) is_partial: bool,
}

pub(super) struct Columns<'a> {
    /// Once in a page.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) about: &'a str,
    pub(super) column_word: &'static str,
    pub(super) labels: Vec<Label>,
    /// The first lies at the bottom.
    pub(super) series: Vec<Series>,
    /// The last series is what is left over.
    pub(super) has_rest: bool,
    /// A number as a person reads it, on an axis, and for machines.
    pub(super) shown: &'a dyn Fn(i128) -> String,
    pub(super) tick: &'a dyn Fn(i128) -> String,
    pub(super) exact: &'a dyn Fn(i128) -> String,
    /// Numbers below it mean nothing: a cent, one request.
    pub(super) least: i128,
}

/// Units of the drawing: a column is 10 wide, the plot 1000 high.
const WIDTH: usize = 10;
const HEIGHT: f64 = 1000.0;
/// Columns that have room for their numbers.
const SPOKEN: usize = 14;

impl Columns<'_> {
    pub(super) fn write(&self, html: &mut Html) {
        html.raw("<figure class=\"chart\"").attribute("id", self.id);
        html.raw("><figcaption>").text(self.title);
        if self.labels.iter().any(|label| label.is_partial) {
            html.raw(" <small>· pale: ").text(self.column_word).raw(" told in part</small>");
        }
        html.raw("</figcaption>");
        self.legend(html);
        let top = self.ticks().last().copied().unwrap_or(1);
        html.raw("<div class=\"plot\"><div class=\"y\" aria-hidden=\"true\">");
        for tick in self.ticks() {
            html.raw("<span").attribute("style", format_args!("bottom:{:.2}%", percent(tick, top))).raw(">");
            html.text((self.tick)(tick)).raw("</span>");
        }
        html.raw("</div>");
        self.svg(html, top);
        self.values(html, top);
        self.axis(html);
        html.raw("</div>");
        self.table(html);
        html.raw("</figure>");
    }

    fn total(&self, column: usize) -> i128 {
        self.series.iter().filter_map(|s| s.values.get(column)).sum()
    }

    /// Round numbers from 0 to at least the highest column.
    fn ticks(&self) -> Vec<i128> {
        let highest = (0..self.labels.len()).map(|column| self.total(column)).max().unwrap_or(0).max(self.least);
        ticks(highest, self.least)
    }

    fn legend(&self, html: &mut Html) {
        if self.series.len() < 2 {
            return;
        }
        html.raw("<ul class=\"legend\"><li>From the bottom:</li>");
        for (place, series) in self.series.iter().enumerate() {
            html.raw("<li><i class=\"").raw(self.class(place)).raw("\"></i>").name(&series.name);
            html.raw(" <b>").text((self.tick)(series.values.iter().sum())).raw("</b></li>");
        }
        html.raw("</ul>");
    }

    fn class(&self, place: usize) -> &'static str {
        match self.has_rest && place + 1 == self.series.len() {
            true => "rest",
            false => class(place),
        }
    }

    fn svg(&self, html: &mut Html, top: i128) {
        let (id, width) = (self.id, self.labels.len() * WIDTH);
        html.raw("<svg role=\"img\" preserveAspectRatio=\"none\"");
        html.attribute("viewBox", format_args!("0 0 {width} {HEIGHT}"));
        html.attribute("aria-labelledby", format_args!("{id}-t {id}-d"));
        html.attribute("data-top", (self.exact)(top)).raw("><title");
        html.attribute("id", format_args!("{id}-t")).raw(">").text(self.title).raw("</title><desc");
        html.attribute("id", format_args!("{id}-d")).raw(">").text(self.about).raw("</desc>");
        for tick in self.ticks() {
            let y = HEIGHT - percent(tick, top) * HEIGHT / 100.0;
            html.raw("<line x1=\"0\"").attribute("x2", width).attribute("y1", format_args!("{y:.1}"));
            html.attribute("y2", format_args!("{y:.1}")).raw("/>");
        }
        for column in 0..self.labels.len() {
            self.column(html, column, top);
        }
        html.raw("</svg>");
    }

    fn column(&self, html: &mut Html, column: usize, top: i128) {
        html.raw(if self.labels[column].is_partial { "<g class=\"partial\"><title>" } else { "<g><title>" });
        html.text(&self.labels[column].long).raw(": ").text((self.shown)(self.total(column)));
        for series in self.series.iter().filter(|_| self.series.len() > 1).rev() {
            html.raw("\n").text(&series.name).raw(" ").text((self.shown)(series.values[column]));
        }
        html.raw("</title>");
        let x = column * WIDTH;
        html.raw("<rect class=\"hit\" y=\"0\"").attribute("x", x).attribute("width", WIDTH);
        html.attribute("height", HEIGHT).raw("/>");
        let mut y = HEIGHT;
        for (place, series) in self.series.iter().enumerate() {
            let value = series.values[column];
            // What was given back cannot be stacked; the table tells it.
            if value <= 0 {
                continue;
            }
            let height = percent(value, top) * HEIGHT / 100.0;
            y -= height;
            html.raw("<rect class=\"").raw(self.class(place)).raw("\"");
            html.attribute("x", x as f64 + 1.0).attribute("width", WIDTH - 2);
            html.attribute("y", format_args!("{y:.2}")).attribute("height", format_args!("{height:.2}"));
            html.attribute("data-value", (self.exact)(value)).raw("/>");
        }
        html.raw("</g>");
    }

    /// Few columns of one series say their number themselves.
    fn values(&self, html: &mut Html, top: i128) {
        if self.series.len() != 1 || self.labels.len() > SPOKEN {
            return;
        }
        html.raw("<div class=\"over\" aria-hidden=\"true\">");
        for column in 0..self.labels.len() {
            let (left, value) = (self.middle(column), self.total(column));
            html.raw(if column % 2 == 1 { "<span class=\"minor\"" } else { "<span" });
            html.attribute("style", format_args!("left:{left:.2}%;bottom:{:.2}%", percent(value.max(0), top)));
            html.raw(">").text((self.tick)(value)).raw("</span>");
        }
        html.raw("</div>");
    }

    /// Where a column stands, in percent of the width.
    fn middle(&self, column: usize) -> f64 {
        (column as f64 + 0.5) * 100.0 / self.labels.len() as f64
    }

    fn axis(&self, html: &mut Html) {
        html.raw("<div class=\"x\" aria-hidden=\"true\">");
        let shown = self.labels.iter().enumerate().filter(|(_, label)| label.is_shown);
        for (turn, (column, label)) in shown.enumerate() {
            let left = self.middle(column);
            // Every second one gives way on a phone.
            html.raw(if turn % 2 == 1 { "<span class=\"minor\"" } else { "<span" });
            html.attribute("style", format_args!("left:{left:.2}%")).raw(">").text(&label.short).raw("</span>");
        }
        html.raw("</div>");
    }

    /// The same numbers for those who do not see the chart, or want to copy them.
    fn table(&self, html: &mut Html) {
        html.raw("<details><summary>The numbers</summary><div class=\"wide\"><table><thead><tr><th scope=\"col\">");
        html.text(self.column_word).raw("</th>");
        for series in &self.series {
            html.raw("<th scope=\"col\" class=\"n\">").name(&series.name).raw("</th>");
        }
        if self.series.len() > 1 {
            html.raw("<th scope=\"col\" class=\"n\">total</th>");
        }
        html.raw("</tr></thead><tbody>");
        for (column, label) in self.labels.iter().enumerate() {
            html.raw("<tr><th scope=\"row\">").text(&label.long);
            html.raw(if label.is_partial { " (in part)</th>" } else { "</th>" });
            let values = self.series.iter().map(|s| s.values[column]);
            for value in values.chain((self.series.len() > 1).then(|| self.total(column))) {
                html.raw("<td class=\"n\">").data((self.exact)(value), (self.shown)(value)).raw("</td>");
            }
            html.raw("</tr>");
        }
        html.raw("</tbody></table></div></details>");
    }
}

/// The colour of a series by its place; grey for those behind the fifth.
pub(super) fn class(place: usize) -> &'static str {
    ["s1", "s2", "s3", "s4", "s5"].get(place).copied().unwrap_or("rest")
}

/// A bar whose length is a part of the largest.
pub(super) fn bar(html: &mut Html, value: i128, largest: i128, class: &'static str) {
    html.raw("<svg class=\"bar\" aria-hidden=\"true\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\">");
    html.raw("<rect class=\"track\" width=\"100\" height=\"10\"/><rect height=\"10\"");
    html.attribute("class", class);
    html.attribute("width", format_args!("{:.2}", percent(value.max(0), largest))).raw("/></svg>");
}

/// For lengths only: what is read is text, and exact.
fn percent(value: i128, of: i128) -> f64 {
    if of <= 0 { 0.0 } else { value as f64 * 100.0 / of as f64 }
}

/// 0, and steps of 1, 2 or 5 times a power of ten up to or beyond the highest: at most five.
fn ticks(highest: i128, least: i128) -> Vec<i128> {
    let mut step = least.max(1);
    for (times, parts) in [(2, 1), (5, 2), (2, 1)].into_iter().cycle() {
        if step.saturating_mul(4) >= highest {
            break;
        }
        step = step.saturating_mul(times) / parts;
    }
    let last = highest.div_euclid(step) + i128::from(highest.rem_euclid(step) != 0);
    (0..=last.max(1)).map(|turn| turn.saturating_mul(step)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(37, 1), [0, 10, 20, 30, 40]);
        assert_eq!(ticks(5, 1), [0, 2, 4, 6]);
        assert_eq!(ticks(1, 1), [0, 1]);
        assert_eq!(ticks(1_000, 1), [0, 500, 1_000]);
    }

    proptest! {
        #[test]
        fn few_ticks_and_none_too_low(highest in 1_i128..10_i128.pow(30), least in 1_i128..1000) {
            let all = ticks(highest, least);
            prop_assert!(all.len() <= 5 && all[all.len() - 1] >= highest);
        }
    }
}
