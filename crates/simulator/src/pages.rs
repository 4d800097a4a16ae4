//! Cutting a list into pages, in the ways in which the documents do it.

use std::fmt::Write as _;

use serde_json::Value;

use super::options::Behavior;
use super::place::Place;
use super::query::Query;
use super::random::Chance;
use super::refusal::Refusal;
use super::route::{Limit, Listing, Order, Row, Style};
use super::world::World;

/// One page of a list, in its envelope.
pub(super) fn page(
    world: &World,
    listing: &Listing,
    place: &Place,
    query: &Query,
    nullable: bool,
) -> Result<String, Refusal> {
    let shape = Shape { style: listing.style, limit: listing.limit, order: listing.order };
    let rows = (listing.rows)(world, place, query)?;
    cut(shape, rows, |at| (listing.record)(world, place, at), query, nullable)
}

/// How a list is cut.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) style: Style,
    pub(super) limit: Limit,
    pub(super) order: Order,
}

/// One page of rows that are there, oldest first.
pub(super) fn cut(
    shape: Shape,
    mut rows: Vec<Row>,
    record: impl Fn(usize) -> Value,
    query: &Query,
    nullable: bool,
) -> Result<String, Refusal> {
    let size = match shape.style {
        Style::Whole | Style::Single => rows.len(),
        _ => page_size(shape.limit, query)?,
    };
    if descending(shape.order, query)? {
        rows.reverse();
    }
    if let Some(before) = query.text("before") {
        rows.truncate(position(&rows, "before", before, Some(before))?);
        rows.drain(..rows.len().saturating_sub(size));
    }
    let start = start(shape.style, &rows, query)?;
    // Some lists hold back a record of a page although there are more.
    let held_back = usize::from(shape.style == Style::ShortPages && size > 2 && start % 2 == 0);
    let shown = &rows[start..rows.len().min(start + size - held_back)];
    if shape.style == Style::Single {
        let single = rows.first().map(|row| record(row.at).to_string());
        return single.ok_or_else(|| Refusal::not_found("There is none."));
    }
    let mut text = String::from("{\"object\":\"list\",\"data\":[");
    for (position, row) in shown.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        let _ = write!(text, "{}", record(row.at));
    }
    let has_more = start + shown.len() < rows.len();
    let full = shown.len() == size && has_more;
    let hidden = nullable && full && hides_last_id(shown);
    close(&mut text, shape.style, shown, has_more, hidden);
    Ok(text)
}

/// Whether the list may say null where a full page has a last id.
pub(super) fn may_hide_last_id(behavior: &Behavior, table: &str) -> bool {
    // The official client pages this list by the last item's id, so it never notices.
    behavior.null_last_id || table == "admin_api_keys"
}

fn hides_last_id(shown: &[Row]) -> bool {
    let last = shown.last().map_or("", |row| row.id.as_str());
    Chance::new(0).of(last).once_in(2)
}

fn page_size(limit: Limit, query: &Query) -> Result<usize, Refusal> {
    let asked = query.integer("limit")?.unwrap_or(limit.default);
    check_limit(asked, limit.least, limit.most)
}

/// A limit that is out of bounds is refused, never clamped.
pub(super) fn check_limit(asked: i64, least: i64, most: i64) -> Result<usize, Refusal> {
    let bound = if asked > most {
        format!("less than or equal to {most}")
    } else if asked < least {
        format!("greater than or equal to {least}")
    } else {
        return Ok(usize::try_from(asked).unwrap_or(0));
    };
    let message = format!("Invalid limit provided: {asked}. Limit must be {bound}.");
    Err(Refusal::invalid("limit", message))
}

fn descending(order: Order, query: &Query) -> Result<bool, Refusal> {
    let words = order.words();
    Ok(match query.one_of("order", &words)? {
        Some(word) => word == words[1],
        None => matches!(order, Order::NewestFirst | Order::Descending | Order::DescendingInWords),
    })
}

/// The position behind the cursor.
fn start(style: Style, rows: &[Row], query: &Query) -> Result<usize, Refusal> {
    let name = style.parameter();
    let Some(after) = query.text(name) else {
        return Ok(0);
    };
    let id = match style {
        Style::Next | Style::Page | Style::Cursor => unseal(after),
        _ => Some(after.to_owned()),
    };
    Ok(position(rows, name, after, id.as_deref())? + 1)
}

fn position(rows: &[Row], name: &str, given: &str, id: Option<&str>) -> Result<usize, Refusal> {
    let found = rows.iter().position(|row| Some(row.id.as_str()) == id);
    found.ok_or_else(|| {
        let message = format!("Invalid '{name}' cursor: nothing found for '{given}'.");
        Refusal::invalid(name, message)
    })
}

/// The members behind `data`.
fn close(text: &mut String, style: Style, shown: &[Row], has_more: bool, hidden: bool) {
    let first = shown.first().map(|row| row.id.clone());
    let last = shown.last().map(|row| row.id.clone());
    let rest = match style {
        Style::LastId | Style::ShortPages | Style::CursorIsLastId => format!(
            ",\"first_id\":{},\"last_id\":{},\"has_more\":{has_more}",
            Value::from(first),
            Value::from(last.filter(|_| !hidden)),
        ),
        Style::LastItem => format!(",\"has_more\":{has_more}"),
        Style::UntilEmpty | Style::Whole | Style::Single => String::new(),
        Style::Next | Style::Page => {
            format!(",\"has_more\":{has_more},\"next\":{}", Value::from(last.filter(|_| has_more).map(|id| seal(&id))),)
        }
        Style::Cursor => {
            let cursor = last.clone().filter(|_| has_more).map(|id| seal(&id));
            format!(",\"last_id\":{},\"cursor\":{},\"has_more\":{has_more}", Value::from(last), Value::from(cursor))
        }
    };
    text.push(']');
    text.push_str(&rest);
    text.push('}');
}

/// An opaque cursor: whoever sends an item's id instead is found out.
pub(super) fn seal(text: &str) -> String {
    let mut sealed = String::from("cur_");
    for byte in text.bytes().rev() {
        let _ = write!(sealed, "{:02x}", byte ^ 0x5A);
    }
    sealed
}

pub(super) fn unseal(sealed: &str) -> Option<String> {
    let hex = sealed.strip_prefix("cur_")?.as_bytes();
    let mut bytes = Vec::with_capacity(hex.len() / 2);
    for pair in hex.chunks(2) {
        let pair = std::str::from_utf8(pair).ok()?;
        bytes.push(u8::from_str_radix(pair, 16).ok()? ^ 0x5A);
    }
    bytes.reverse();
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_cursor_opens_again() {
        assert_eq!(unseal(&seal("group_1")).as_deref(), Some("group_1"));
        assert_eq!(unseal("group_1"), None);
        assert_eq!(unseal("cur_xyz"), None);
    }
}
