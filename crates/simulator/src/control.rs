//! What tests may ask the simulation itself, next to the API and without a key:
//! the truth, the log of requests, faults, a day that passes.

use serde_json::{Value, json};

use super::api::Answered;
use super::faults::Fault;
use super::logs;
use super::mutate;
use super::server::{Shared, lock};
use super::truth;
use super::world::World;

pub(super) fn answer(shared: &Shared, method: &str, path: &str, body: &[u8]) -> Answered {
    let below = path.trim_start_matches("/_sim").trim_matches('/');
    match (method, below) {
        ("GET", "truth") => ok(&json!({"tables": truth::tables()})),
        ("GET", "requests") => Answered::new(200, lock(&shared.traffic).log()),
        ("DELETE", "requests") => {
            lock(&shared.traffic).forget();
            ok(&json!({}))
        }
        ("GET", "stats") => ok(&stats(shared)),
        ("POST", "mutate") => ok(&json!(mutate::day(&mut shared.world_mut()))),
        ("POST", "faults") => match serde_json::from_slice::<Vec<Fault>>(body) {
            Ok(faults) => {
                lock(&shared.faults).order(faults);
                ok(&json!({}))
            }
            Err(error) => refused(&error.to_string()),
        },
        ("DELETE", "faults") => {
            lock(&shared.faults).clear();
            ok(&json!({}))
        }
        ("POST", "behavior") => match serde_json::from_slice(body) {
            Ok(behavior) => {
                shared.world_mut().behavior = behavior;
                ok(&json!({}))
            }
            Err(error) => refused(&error.to_string()),
        },
        ("GET", _) => {
            let table = below.strip_prefix("truth/").unwrap_or("");
            match truth::lines(&shared.world(), table) {
                Some(lines) => Answered::new(200, lines),
                None => Answered::new(404, json!({"error": "no such table"}).to_string()),
            }
        }
        _ => Answered::new(404, json!({"error": "no such control"}).to_string()),
    }
}

/// Counts, and what a test needs to know to aim at something.
fn stats(shared: &Shared) -> Value {
    let mut stats = lock(&shared.traffic).stats();
    let world = shared.world();
    stats["now"] = world.now().into();
    stats["last_active_project"] = last_active(&world).into();
    stats["workspaces"] = json!(world.workspaces);
    stats["expired_log_file"] = logs::expired(&world).into();
    stats
}

fn last_active(world: &World) -> Option<&str> {
    let last = world.active_projects().last()?;
    Some(world.project_id(last))
}

fn ok(value: &Value) -> Answered {
    Answered::new(200, value.to_string())
}

fn refused(message: &str) -> Answered {
    Answered::new(400, json!({"error": message}).to_string())
}
