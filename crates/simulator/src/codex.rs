//! Usage analytics of the ChatGPT workspaces: what Codex did per user and day, code reviews,
//! and the newer endpoint for all usage. All of it is worked out from the day.

use serde_json::{Map, Value, json};

use super::api::Answered;
use super::chatgpt;
use super::codex_rows::{self, Product};
use super::pages::{seal, unseal};
use super::place::Place;
use super::query::Query;
use super::random::Chance;
use super::refusal::Refusal;
use super::route::{Answer, Key, Route};
use super::world::{DAY, World};

pub(super) const ROUTES: &[Route] = &[
    Route {
        table: "codex_usage",
        path: "/analytics/codex/workspaces/{key.workspace}/usage",
        key: Key::Codex,
        params: &["start_time", "end_time", "limit", "page", "group"],
        fullest: "",
        answer: Answer::Own(|world, place, query| page(world, place, query, "codex_usage")),
    },
    Route {
        table: "codex_code_reviews",
        path: "/analytics/codex/workspaces/{key.workspace}/code_reviews",
        key: Key::Codex,
        params: &["start_time", "end_time", "limit", "page"],
        fullest: "",
        answer: Answer::Own(|world, place, query| page(world, place, query, "codex_code_reviews")),
    },
    Route {
        table: "codex_code_review_responses",
        path: "/analytics/codex/workspaces/{key.workspace}/code_review_responses",
        key: Key::Codex,
        params: &["start_time", "end_time", "limit", "page"],
        fullest: "",
        answer: Answer::Own(|world, place, query| page(world, place, query, "codex_code_review_responses")),
    },
    Route {
        table: "chatgpt_usage",
        path: "/analytics/workspaces/{key.workspace}/usage",
        key: Key::Usage,
        params: &["start_time", "end_time", "limit", "page", "group"],
        fullest: "",
        answer: Answer::Own(|world, place, query| page(world, place, query, "chatgpt_usage")),
    },
];

/// The tables that are read from these paths; some are parts of others' rows.
pub(super) const TABLES: [&str; 10] = [
    "codex_usage",
    "codex_usage_clients",
    "codex_usage_models",
    "codex_usage_workspace",
    "codex_code_reviews",
    "codex_code_review_responses",
    "chatgpt_usage",
    "chatgpt_usage_clients",
    "chatgpt_usage_models",
    "chatgpt_usage_workspace",
];

/// Requests may not reach back further.
pub(super) const LOOKBACK_DAYS: i64 = 90;
const DEFAULT_DAYS: i64 = 30;
const MOST_ROWS: i64 = 30_000;

fn page(world: &World, place: &Place, query: &Query, table: &str) -> Result<Answered, Refusal> {
    let table = match query.text("group") {
        None => table.to_owned(),
        Some("workspace") => format!("{table}_workspace"),
        Some(other) => return Err(wrong("group", format!("Unsupported group: '{other}'."))),
    };
    let (from, until) = window(world, query)?;
    let limit = number(query, "limit")?.unwrap_or(1_000);
    if !(1..=MOST_ROWS).contains(&limit) {
        let message = format!("Input should be greater than or equal to 1 and less than or equal to {MOST_ROWS}");
        return Err(wrong("limit", message));
    }
    let start = turned_to(query)?;
    let limit = usize::try_from(limit).unwrap_or(0);
    let mut rows = days(from, until).flat_map(|day| rows(world, place.workspace, &table, day)).skip(start);
    let shown: Vec<Value> = rows.by_ref().take(limit).collect();
    let has_more = rows.next().is_some();
    let mut page = json!({"object": "page", "has_more": has_more});
    if has_more {
        page["next_page"] = seal(&format!("{}/{}", start + shown.len(), fingerprint(query))).into();
    } else if start % 2 == 0 {
        // At the end the member is null or left out.
        page["next_page"] = Value::Null;
    }
    page["data"] = shown.into();
    Ok(Answered::new(200, page.to_string()))
}

fn wrong(name: &str, message: impl Into<String>) -> Refusal {
    Refusal::unprocessable("query", name, message)
}

fn number(query: &Query, name: &str) -> Result<Option<i64>, Refusal> {
    let whole = "Input should be a valid integer, unable to parse string as an integer";
    query.integer(name).map_err(|_| wrong(name, whole))
}

/// The days asked for: from, inclusive, until, exclusive.
fn window(world: &World, query: &Query) -> Result<(i64, i64), Refusal> {
    let midnight = world.now() - world.now().rem_euclid(DAY);
    let until = number(query, "end_time")?.unwrap_or(midnight + DAY);
    let from = number(query, "start_time")?.unwrap_or(until.min(midnight + DAY) - DEFAULT_DAYS * DAY);
    if from >= until {
        return Err(wrong("end_time", "end_time must be after start_time"));
    }
    if from < midnight - LOOKBACK_DAYS * DAY {
        return Err(wrong("start_time", format!("start_time cannot be more than {LOOKBACK_DAYS} days ago")));
    }
    Ok((from, until.min(world.now() + 1)))
}

/// The midnights in a span.
fn days(from: i64, until: i64) -> impl Iterator<Item = i64> {
    let first = from + (-from).rem_euclid(DAY);
    (0..).map(move |number| first + number * DAY).take_while(move |&day| day < until)
}

fn turned_to(query: &Query) -> Result<usize, Refusal> {
    let Some(token) = query.text("page") else {
        return Ok(0);
    };
    let opened = unseal(token).unwrap_or_default();
    match opened.split_once('/') {
        Some((start, mark)) if mark == fingerprint(query) => Ok(start.parse().unwrap_or(0)),
        _ => Err(wrong("page", "Invalid page token for this query")),
    }
}

fn fingerprint(query: &Query) -> String {
    Chance::new(0).of(&query.without("page")).id("", 8)
}

/// The rows of one day.
fn rows(world: &World, workspace: usize, table: &str, day: i64) -> Vec<Value> {
    let per_user = |product| -> Vec<Value> {
        let users = chatgpt::population(world, workspace);
        users.filter_map(|user| codex_rows::of_user(world, workspace, product, user, day)).collect()
    };
    let together = |product, rows: Vec<Value>| codex_rows::together(product, day, &rows).into_iter().collect();
    match table {
        "codex_usage" => per_user(Product::Codex),
        "chatgpt_usage" => per_user(Product::Everything),
        "codex_usage_workspace" => together(Product::Codex, per_user(Product::Codex)),
        "chatgpt_usage_workspace" => together(Product::Everything, per_user(Product::Everything)),
        "codex_code_reviews" => codex_rows::reviews(world, workspace, day).into_iter().collect(),
        _ => codex_rows::responses(world, workspace, day).into_iter().collect(),
    }
}

/// Calls `tell` with (workspace, enclosing row, record) for everything a table holds.
pub(super) fn truth(world: &World, table: &str, mut tell: impl FnMut(&str, Option<&Value>, &Value)) {
    let (whole, part) = match table.rsplit_once('_') {
        Some((whole, part @ ("clients" | "models"))) => (whole, Some(part)),
        _ => (table, None),
    };
    let midnight = world.now() - world.now().rem_euclid(DAY);
    for (number, workspace) in world.workspaces.iter().enumerate() {
        for day in days(midnight - LOOKBACK_DAYS * DAY, world.now() + 1) {
            for row in rows(world, number, whole, day) {
                let Some(part) = part else {
                    tell(workspace, None, &row);
                    continue;
                };
                let around = without_parts(&row);
                for record in row.get(part).and_then(Value::as_array).into_iter().flatten() {
                    tell(workspace, Some(&around), record);
                }
            }
        }
    }
}

fn without_parts(row: &Value) -> Value {
    let members = row.as_object().cloned().unwrap_or_default();
    let kept = members.into_iter().filter(|(name, _)| name != "clients" && name != "models");
    Value::Object(kept.collect::<Map<_, _>>())
}
