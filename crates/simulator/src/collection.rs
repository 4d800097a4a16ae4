//! Lists whose records are written as data (see `sample`): which records there are below
//! a parent, and what became of them since the start.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::chatgpt;
use super::place::Place;
use super::query::Query;
use super::random::Chance;
use super::refusal::Refusal;
use super::route::{Limit, Order, Row, Style};
use super::sample::{self, Blanks};
use super::world::{DAY, World};

/// A list of a table, as its route describes it.
pub(super) struct Collection {
    /// The variants, each of which comes at least once below the first parent of all.
    pub(super) samples: &'static str,
    /// Of the ids.
    pub(super) prefix: &'static str,
    /// Records below the first parent, and below any other.
    pub(super) count: [usize; 2],
    pub(super) style: Style,
    pub(super) limit: Limit,
    pub(super) order: Order,
    /// The `OpenAI-Beta` header without which the path is a 400.
    pub(super) beta: Option<&'static str>,
    /// Listed by POST, with the paging in the body.
    pub(super) posted: bool,
}

/// Instead of a prefix: the records are the people of the workspace, by their ids; of other
/// parents than the first one in `count[1]` of them.
const MEMBERS: &str = "members";
/// Instead of a prefix: the one record is that of the parent; every `count[1]`th has none.
const PARENT: &str = "parent";
/// Parameters that say how to answer and not which records.
const NO_FILTERS: [&str; 6] = ["before", "order_by", "file_format", "since_timestamp", "query", "include_summary"];
/// Time between two records of a list.
const STEP: i64 = 3 * 3_600;
const OLDEST: i64 = 45 * DAY;
/// No record is of tomorrow.
const STEPS: usize = 350;

/// The variants in a file of samples: parsed once, and kept.
pub(super) fn parsed(samples: &'static str) -> &'static [Value] {
    static ALL: Mutex<BTreeMap<usize, &'static [Value]>> = Mutex::new(BTreeMap::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.entry(samples.as_ptr().addr()).or_insert_with(|| {
        let variants: Vec<Value> = serde_json::from_str(samples).unwrap_or_default();
        variants.leak()
    })
}

/// The name of a list: its table and all it is below of.
pub(super) fn scope(table: &str, place: &Place) -> String {
    let below: Vec<&str> = place.values.iter().map(|(_, value)| value.as_str()).collect();
    format!("{table}/{}/{}", place.project, below.join("/"))
}

fn chance(world: &World, table: &str, place: &Place) -> Chance {
    world.chance.of("collection").of(&scope(table, place))
}

/// The records at the start; those that came since are numbered behind them.
fn initial(collection: &Collection, place: &Place) -> usize {
    let first = place.project == 0 && place.workspace == 0 && place.numbers.iter().all(|&number| number == 0);
    match first {
        true => collection.count[0].max(parsed(collection.samples).len()),
        false => collection.count[1],
    }
}

/// All records, oldest first.
pub(super) fn everything(world: &World, table: &str, collection: &Collection, place: &Place) -> Vec<Row> {
    let chance = chance(world, table, place);
    match collection.prefix {
        MEMBERS => return members(world, collection, place, chance),
        PARENT => return of_parent(collection, place),
        _ => {}
    }
    let grown = world.changes.grown.get(&scope(table, place)).map_or(0, Vec::len);
    let rows = (0..initial(collection, place) + grown).map(|at| Row { id: id(chance, collection, at), at });
    rows.filter(|row| !world.changes.gone.contains(&row.id)).collect()
}

/// The people of the workspace, or one in so many of them.
fn members(world: &World, collection: &Collection, place: &Place, chance: Chance) -> Vec<Row> {
    let one_in = collection.count[1] as u64;
    let members = chatgpt::members(world, place.workspace).into_iter();
    let some = members.filter(|&user| chance.at(user as u64).once_in(one_in));
    some.map(|at| Row { id: world.user_id(at).to_owned(), at }).collect()
}

/// The one record of a parent; every so manieth has none.
fn of_parent(collection: &Collection, place: &Place) -> Vec<Row> {
    let at = place.numbers.last().copied().unwrap_or(0);
    let every = collection.count[1];
    let parent = place.values.last().filter(|_| every == 0 || at % every != every - 1);
    parent.map(|(_, id)| Row { id: id.clone(), at }).into_iter().collect()
}

fn id(chance: Chance, collection: &Collection, at: usize) -> String {
    match collection.prefix {
        "uuid" => sample::uuid(chance.at(at as u64)),
        prefix => chance.at(at as u64).id(prefix, 24),
    }
}

/// The records that a query asks for. A parameter that is a member of the records filters them.
pub(super) fn rows(
    world: &World,
    table: &str,
    collection: &Collection,
    place: &Place,
    filters: &[&str],
    query: &Query,
) -> Result<Vec<Row>, Refusal> {
    if query.text("after").is_some() && query.text("since_timestamp").is_some() && table == "chatgpt_automations" {
        let message = "'since_timestamp' cannot be set when 'after' is.";
        return Err(Refusal::invalid("since_timestamp", message));
    }
    let mut rows = everything(world, table, collection, place);
    for filter in filters.iter().filter(|filter| !NO_FILTERS.contains(filter)) {
        let wanted = query.all(filter);
        if !wanted.is_empty() {
            rows.retain(|row| {
                let record = record(world, table, collection, place, row.at);
                // Files of a vector store are filtered by their status under another name.
                let member = if *filter == "filter" { "status" } else { *filter };
                record.get(member).and_then(Value::as_str).is_some_and(|value| wanted.contains(&value))
            });
        }
    }
    Ok(rows)
}

/// A record with addresses of its files, each of them another at every request.
pub(super) fn with_addresses(world: &World, mut record: Value) -> Value {
    match &mut record {
        Value::Array(items) => items.iter_mut().for_each(|item| *item = with_addresses(world, item.take())),
        Value::Object(members) => {
            for value in members.values_mut() {
                *value = with_addresses(world, value.take());
            }
            let tag = members.get("object").and_then(Value::as_str);
            if let Some(tag) = tag.and_then(|tag| tag.strip_suffix("_info")) {
                let tag = tag.to_owned();
                let address = format!("https://files.example.com/{}?expires={}", members.len(), world.now() + 3_600);
                members.insert("object".into(), tag.into());
                members.insert("created_at".into(), world.today.into());
                members.insert("download_url".into(), address.into());
            }
        }
        _ => {}
    }
    record
}

pub(super) fn record(world: &World, table: &str, collection: &Collection, place: &Place, at: usize) -> Value {
    let variants = parsed(collection.samples);
    let chance = chance(world, table, place);
    let id = match collection.prefix {
        MEMBERS => world.user_id(at).to_owned(),
        PARENT => place.values.last().map(|(_, id)| id.clone()).unwrap_or_default(),
        _ => id(chance, collection, at),
    };
    let person = if collection.prefix == MEMBERS { Some(at) } else { place.person };
    let place = &Place { person, ..place.clone() };
    let blanks = Blanks {
        world,
        place,
        chance: chance.at(at as u64).of("blanks"),
        id: &id,
        number: at,
        moment: made(world, table, collection, place, at),
        filled: Cell::new(0),
    };
    let Some(template) = variants.get(at % variants.len().max(1)) else {
        return Value::Null;
    };
    let mut record = sample::fill(template, &blanks);
    for (pointer, value) in world.changes.patched.get(&id).into_iter().flatten() {
        match record.pointer_mut(pointer) {
            Some(member) => *member = value.clone(),
            None => record[pointer.trim_start_matches('/')] = value.clone(),
        }
    }
    record
}

fn made(world: &World, table: &str, collection: &Collection, place: &Place, at: usize) -> i64 {
    let initial = initial(collection, place);
    let grown = world.changes.grown.get(&scope(table, place));
    let since = at.checked_sub(initial).and_then(|number| grown?.get(number).copied());
    since.unwrap_or(world.today - OLDEST + (at % STEPS) as i64 * STEP)
}
