//! The simulation's own promises: pages give each record once, groupings agree,
//! the same seed gives the same bytes.

use std::collections::BTreeSet;

use chrono::DateTime;
use serde_json::Value;

use super::Options;
use super::collection;
use super::mutate;
use super::pages::{self, Shape};
use super::place::{self, Place};
use super::query::Query;
use super::report;
use super::route::{self, Answer, Style};
use super::truth;
use super::world::{DAY, World};

const NOON: i64 = 1_763_726_400;

fn options() -> Options {
    Options { now: DateTime::from_timestamp(NOON, 0).unwrap_or_default(), ..Options::default() }
}

fn world() -> World {
    World::new(options())
}

/// Places for the first parents of a path.
fn first_place(world: &World, path: &'static str) -> Place {
    let mut place = Place::default();
    for parent in route::placeholders(path) {
        let ids = place::candidates(world, &place, parent);
        place.enter(world, parent, &ids[0]).unwrap();
    }
    place
}

/// Reads a list to its end by the rules of its style.
fn drain(style: Style, size: usize, page: impl Fn(&Query) -> String) -> Vec<Value> {
    let mut all = Vec::new();
    let mut turn = String::new();
    loop {
        let page: Value = serde_json::from_str(&page(&Query::parse(&format!("limit={size}{turn}")))).unwrap();
        let data = page["data"].as_array().unwrap();
        all.extend(data.iter().cloned());
        let last = data.last().map(|item| item["id"].clone());
        let cursor = match style {
            Style::Next | Style::Page => page["next"].clone(),
            Style::Cursor => page["cursor"].clone(),
            Style::LastId | Style::ShortPages | Style::CursorIsLastId if page["last_id"].is_string() => {
                page["last_id"].clone()
            }
            _ => last.unwrap_or_default(),
        };
        let more = page["has_more"].as_bool().unwrap_or(!data.is_empty() && style != Style::Whole);
        match cursor.as_str() {
            Some(cursor) if more => turn = format!("&{}={cursor}", style.parameter()),
            _ => return all,
        }
    }
}

#[test]
fn paging_gives_each_record_once() {
    let world = world();
    for route in route::all() {
        if !matches!(route.answer, Answer::List(_) | Answer::Collection(_)) {
            continue;
        }
        let place = first_place(&world, route.path);
        let (whole, style) = match &route.answer {
            Answer::List(list) => ((list.rows)(&world, &place, &Query::default()).unwrap(), list.style),
            Answer::Collection(list) => (collection::everything(&world, route.table, list, &place), list.style),
            _ => continue,
        };
        if style == Style::Single {
            assert_eq!(whole.len(), 1, "{}", route.table);
            continue;
        }
        let size = match &route.answer {
            Answer::Collection(list) if list.limit.least == list.limit.most => {
                usize::try_from(list.limit.most).unwrap()
            }
            _ => (whole.len() / 7).clamp(3, 30),
        };
        let read = drain(style, size, |query| match &route.answer {
            Answer::List(list) => pages::page(&world, list, &place, query, true).unwrap(),
            Answer::Collection(list) => {
                let shape = Shape { style, limit: list.limit, order: list.order };
                let rows = collection::everything(&world, route.table, list, &place);
                let record = |at| collection::record(&world, route.table, list, &place, at);
                pages::cut(shape, rows, record, query, true).unwrap()
            }
            _ => String::new(),
        });
        let distinct: BTreeSet<String> = read.iter().map(Value::to_string).collect();
        assert_eq!(read.len(), whole.len(), "{}", route.table);
        assert_eq!(distinct.len(), whole.len(), "{}", route.table);
    }
}

#[test]
fn a_short_page_is_not_the_end_and_an_opaque_cursor_is_no_id() {
    let world = world();
    let Some(Answer::Collection(list)) = route::named("chatgpt_gpts").map(|route| &route.answer) else {
        panic!("no such list");
    };
    let place = first_place(&world, "/{key.workspace}");
    let page = |style, query: &str| {
        let shape = Shape { style, limit: list.limit, order: list.order };
        let rows = collection::everything(&world, "chatgpt_gpts", list, &place);
        pages::cut(shape, rows, Value::from, &Query::parse(query), false)
    };
    let short: Value = serde_json::from_str(&page(Style::ShortPages, "limit=5").unwrap()).unwrap();
    assert_eq!(short["data"].as_array().unwrap().len(), 4);
    assert_eq!(short["has_more"], true);
    let first: Value = serde_json::from_str(&page(Style::Cursor, "limit=5").unwrap()).unwrap();
    assert_ne!(first["cursor"], first["last_id"]);
    assert!(page(Style::Cursor, &format!("cursor={}", first["last_id"].as_str().unwrap())).is_err());
    let all: Value = serde_json::from_str(&page(Style::Cursor, "limit=100").unwrap()).unwrap();
    assert_eq!((&all["cursor"], &all["has_more"]), (&Value::Null, &Value::Bool(false)));
    let own: Value = serde_json::from_str(&page(Style::CursorIsLastId, "limit=5").unwrap()).unwrap();
    assert!(page(Style::CursorIsLastId, &format!("cursor={}", own["last_id"].as_str().unwrap())).is_ok());
    assert!(own.get("cursor").is_none());
}

fn results(world: &World, table: &str, grouping: &str) -> Vec<Vec<Value>> {
    let Some(Answer::Report(report)) = route::named(table).map(|route| &route.answer) else {
        panic!("{table} is no report");
    };
    let start = NOON - NOON.rem_euclid(DAY) - 6 * DAY;
    let query = Query::parse(&format!("start_time={start}{grouping}"));
    let page: Value = serde_json::from_str(&report::page(world, report, &query).unwrap()).unwrap();
    let buckets = page["data"].as_array().unwrap();
    let results = buckets.iter().map(|bucket| bucket["results"].as_array().unwrap().clone());
    results.collect()
}

fn sums(world: &World, table: &str, grouping: &str, member: &str) -> Vec<i64> {
    let of_bucket = |results: Vec<Value>| results.iter().map(|row| row[member].as_i64().unwrap()).sum();
    results(world, table, grouping).into_iter().map(of_bucket).collect()
}

#[test]
fn groupings_agree() {
    let world = world();
    let full = "&group_by=project_id&group_by=user_id&group_by=api_key_id&group_by=model\
                &group_by=batch&group_by=service_tier&group_by=api_source";
    for member in ["input_tokens", "num_model_requests", "output_audio_tokens"] {
        let total = sums(&world, "usage_completions", "", member);
        assert!(total.iter().all(|&sum| sum > 0));
        assert_eq!(sums(&world, "usage_completions", full, member), total);
        assert_eq!(sums(&world, "usage_completions", "&group_by=model", member), total);
    }
}

#[test]
fn buckets_of_hours_agree_with_days() {
    let world = world();
    let days: i64 = sums(&world, "usage_completions", "", "input_tokens").iter().sum();
    let hours = "&bucket_width=1h&limit=168";
    let hours: i64 = sums(&world, "usage_completions", hours, "input_tokens").iter().sum();
    assert_eq!(days, hours);
}

fn everything(world: &World) -> Vec<String> {
    let tables = truth::tables().into_iter();
    tables.map(|table| truth::lines(world, table).unwrap()).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let (one, other) = (everything(&world()), everything(&world()));
    assert!(one == other);
    assert!(one.iter().all(|lines| !lines.is_empty()));
    let seeded = World::new(Options { seed: 2, ..options() });
    assert!(everything(&seeded) != one);
}

#[test]
fn within_a_day_only_what_happens_in_it_differs() {
    let later = options().now + chrono::TimeDelta::hours(3);
    let (noon, later) = (world(), World::new(Options { now: later, ..options() }));
    for route in route::all() {
        let settled = matches!(route.answer, Answer::List(_) | Answer::One(_));
        if settled && route.table != "audit_logs" {
            let lines = |world| truth::lines(world, route.table).unwrap();
            assert_eq!(lines(&noon), lines(&later), "{}", route.table);
        }
    }
}

#[test]
fn a_day_restates_the_last_days_only() {
    let mut world = world();
    let full = "&group_by=project_id&group_by=user_id&group_by=api_key_id&group_by=line_item";
    let before = results(&world, "costs", full);
    assert!(!mutate::day(&mut world).is_empty());
    let after = results(&world, "costs", full);
    assert_eq!(before[..4], after[..4]);
    for day in 4..7 {
        assert_ne!(before[day], after[day]);
        assert_eq!(before[day].len(), after[day].len());
    }
}

#[test]
fn an_organization_can_lose_almost_everything() {
    let mut world = world();
    for _ in 0..60 {
        mutate::day(&mut world);
    }
    assert!(world.active_projects().count() >= 3);
    assert!(everything(&world).iter().all(|lines| !lines.is_empty()));
}

#[test]
fn a_large_organization_is_there_at_once() {
    let options = Options::sized("large").unwrap();
    let world = World::new(Options { now: self::options().now, ..options });
    assert_eq!(world.projects.len(), 10_000);
    assert!(world.active_projects().count() < 9_000);
}
