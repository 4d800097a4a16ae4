//! What a day brings to the projects' own things and to the ChatGPT workspaces.

use serde_json::{Value, json};

use super::collection;
use super::log_files::{self, KINDS, Principal};
use super::place::Place;
use super::route::{self, Answer};
use super::world::World;

/// Lists to which a record is added, and what it is called.
const ADDED: [(&str, &str); 5] = [
    ("files", "File"),
    ("batches", "Batch"),
    ("chat_completions", "Stored completion"),
    ("chatgpt_skills", "Skill"),
    ("codex_tasks", "Codex task"),
];
/// Lists from which one goes.
const DELETED: [(&str, &str); 5] = [
    ("files", "File"),
    ("vector_stores", "Vector store"),
    ("chatgpt_gpts", "GPT"),
    ("chatgpt_projects", "ChatGPT project"),
    ("codex_environments", "Codex environment"),
];
/// A list keeps at least so many.
const FEWEST: usize = 3;
/// Logs of which a file is written.
const WRITTEN: [(&str, Principal); 5] = [
    ("AUDIT_LOG", Principal::Workspace(0)),
    ("AUTH_LOG", Principal::Workspace(0)),
    ("CONVERSATION_MESSAGE", Principal::Workspace(1)),
    ("CODEX_LOG", Principal::Workspace(0)),
    ("COSTS", Principal::Organization),
];

pub(super) fn day(world: &mut World) -> Vec<String> {
    let mut told = Vec::new();
    for (table, noun) in ADDED {
        told.extend(add(world, table, noun));
    }
    for (table, noun) in DELETED {
        told.extend(delete(world, table, noun));
    }
    told.extend(complete(world));
    told.extend(rename(world));
    told.extend(write(world));
    told
}

/// Where the list is: in the first project or workspace.
fn place(world: &World, table: &str) -> Option<Place> {
    let mut place = Place::default();
    if route::named(table)?.path.contains("{key.workspace}") {
        let workspace = world.workspace_id(0).to_owned();
        place.enter(world, "key.workspace", &workspace).ok()?;
    }
    Some(place)
}

fn records(world: &World, table: &str) -> Vec<(String, Value)> {
    let found = route::named(table).zip(place(world, table));
    let Some((Answer::Collection(list), place)) = found.map(|(route, place)| (&route.answer, place)) else {
        return Vec::new();
    };
    let rows = collection::everything(world, table, list, &place).into_iter();
    rows.map(|row| (row.id, collection::record(world, table, list, &place, row.at))).collect()
}

fn add(world: &mut World, table: &str, noun: &str) -> Option<String> {
    let scope = collection::scope(table, &place(world, table)?);
    let now = world.now();
    world.changes.grown.entry(scope).or_default().push(now);
    let (id, _) = records(world, table).pop()?;
    Some(format!("{noun} {id} was made."))
}

fn delete(world: &mut World, table: &str, noun: &str) -> Option<String> {
    let records = records(world, table);
    if records.len() <= FEWEST {
        return None;
    }
    let chance = world.chance.of("deleted").of(table).at(world.changes.days);
    // Never the first, which has the most below it.
    let (id, _) = records.into_iter().nth(1 + chance.index(FEWEST - 1))?;
    let told = format!("{noun} {id} was deleted.");
    world.changes.gone.insert(id);
    Some(told)
}

/// A batch that was at work is done.
fn complete(world: &mut World) -> Option<String> {
    let mut records = records(world, "batches").into_iter();
    let (id, _) = records.find(|(_, batch)| batch["status"] == "in_progress")?;
    let done = vec![
        ("/status", json!("completed")),
        ("/completed_at", json!(world.now())),
        ("/output_file_id", json!("file-simulatedoutput")),
    ];
    world.changes.patched.insert(id.clone(), done);
    Some(format!("Batch {id} was completed."))
}

fn rename(world: &mut World) -> Option<String> {
    let chance = world.chance.of("renamed").at(world.changes.days);
    let gpts = records(world, "chatgpt_gpts");
    let (id, _) = gpts.get(chance.index(gpts.len()))?;
    let name = format!("Renamed builder {}", world.changes.days);
    world.changes.patched.insert(id.clone(), vec![("/builder_name", name.clone().into())]);
    Some(format!("The builder of GPT {id} is now called '{name}'."))
}

fn write(world: &mut World) -> Vec<String> {
    let mut told = Vec::new();
    for (name, principal) in WRITTEN {
        if let Some(kind) = KINDS.iter().position(|kind| kind.name == name) {
            let file = log_files::sudden(world, principal, kind);
            let id = file.id(world);
            world.changes.log_files.push(file);
            told.push(format!("Log file {id} of type {name} was written, with a late event and a repeated one."));
        }
    }
    told
}
