//! What a complete extraction must hold now, read from the model and not through paging:
//! one JSON line for each record, with its parents and the bucket around it.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::audit;
use super::chatgpt_people;
use super::codex;
use super::collection;
use super::dimension::Dimension;
use super::logs;
use super::place::{self, Place};
use super::query::Query;
use super::report::{self, Report};
use super::reports;
use super::route::{self, Answer, Key, Route};
use super::world::{DAY, World};

/// All tables.
pub(super) fn tables() -> Vec<&'static str> {
    let listed = route::all().filter(|route| !matches!(route.answer, Answer::Own(_) | Answer::Retired(_)));
    let listed = listed.map(|route| route.table);
    let others = [chatgpt_people::VERSIONS_TABLE, reports::TOTALS_TABLE];
    listed.chain(codex::TABLES).chain(logs::TABLES).chain(others).collect()
}

/// All records of a table; nothing if there is no such table.
pub(super) fn lines(world: &World, table: &str) -> Option<String> {
    let mut text = String::new();
    if codex::TABLES.contains(&table) {
        codex::truth(world, table, |workspace, enclosing, record| {
            told(&mut text, "key.workspace", workspace, enclosing, record);
        });
        return Some(text);
    }
    if logs::TABLES.contains(&table) {
        logs::truth(world, table, |parent, value, enclosing, record| {
            told(&mut text, parent, value, enclosing, record);
        });
        return Some(text);
    }
    if table == reports::TOTALS_TABLE {
        buckets(world, &reports::COSTS, |_| Vec::new(), &mut text);
        return Some(text);
    }
    let route = route::named(table)?;
    match &route.answer {
        Answer::Report(report) => buckets(world, report, |midnight| report.finest(world, midnight), &mut text),
        _ if table == "audit_logs" => {
            for record in audit::everything(world) {
                line(&mut text, &Place::default(), None, None, &record.to_string());
            }
        }
        _ if route.key == Key::Project => {
            for project in world.keyed_projects() {
                let place = Place { project, ..Place::default() };
                let opened = world.project_id(project);
                below(world, route, &place, Some(opened), &mut text);
            }
        }
        _ => below(world, route, &Place::default(), None, &mut text),
    }
    Some(text)
}

/// Goes down through all parents that are not bound yet, then writes the records.
fn below(world: &World, route: &Route, place: &Place, key: Option<&str>, text: &mut String) {
    if let Some(parent) = route::placeholders(route.path).nth(place.values.len()) {
        for id in place::candidates(world, place, parent) {
            let mut inner = place.clone();
            if inner.enter(world, parent, &id).is_ok() {
                below(world, route, &inner, key, text);
            }
        }
        return;
    }
    match &route.answer {
        Answer::List(listing) => {
            let query = Query::parse(route.fullest);
            for row in (listing.rows)(world, place, &query).unwrap_or_default() {
                let record = (listing.record)(world, place, row.at).to_string();
                line(text, place, key, None, &record);
            }
        }
        Answer::One(record) => {
            if let Some(record) = record(world, place) {
                line(text, place, key, None, &record.to_string());
            }
        }
        Answer::Collection(list) => {
            for row in collection::everything(world, route.table, list, place) {
                let record = collection::record(world, route.table, list, place, row.at).to_string();
                line(text, place, key, None, &record);
            }
        }
        Answer::Own(_) if route.table == chatgpt_people::VERSIONS_TABLE => {
            let around = chatgpt_people::around(place).to_string();
            for record in chatgpt_people::versions(world, place) {
                line(text, place, key, Some(&around), &record.to_string());
            }
        }
        Answer::Report(_) | Answer::Own(_) | Answer::Retired(_) => {}
    }
}

fn told(text: &mut String, parent: &str, value: &str, enclosing: Option<&Value>, record: &Value) {
    let _ = write!(text, "{{\"parents\":{{\"{parent}\":\"{value}\"}}");
    if let Some(enclosing) = enclosing {
        let _ = write!(text, ",\"enclosing\":{enclosing}");
    }
    let _ = writeln!(text, ",\"record\":{record}}}");
}

fn buckets(world: &World, report: &Report, grouping: impl Fn(i64) -> Vec<Dimension>, text: &mut String) {
    let start = world.history_start();
    let mut midnight = report::earliest(world).map_or(start, |earliest| earliest.max(start));
    while midnight <= world.now() {
        let bucket = format!("{{\"object\":\"bucket\",\"start_time\":{midnight},\"end_time\":{}}}", midnight + DAY);
        for record in report::whole_day(world, report, midnight, grouping(midnight)) {
            line(text, &Place::default(), None, Some(&bucket), &record);
        }
        midnight += DAY;
    }
}

fn line(text: &mut String, place: &Place, key: Option<&str>, enclosing: Option<&str>, record: &str) {
    let parents: Map<String, Value> = place
        .values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
        .chain(key.map(|project| ("key.project".to_owned(), project.into())))
        .collect();
    let _ = write!(text, "{{\"parents\":{}", Value::Object(parents));
    if let Some(enclosing) = enclosing {
        let _ = write!(text, ",\"enclosing\":{enclosing}");
    }
    let _ = writeln!(text, ",\"record\":{record}}}");
}
