//! The bytes of files that are attached to messages: there for two days, behind a redirect.

use serde_json::Value;

use super::api::Answered;
use super::logs;
use super::place::Place;
use super::refusal::Refusal;
use super::route::{Answer, Key, Route};
use super::world::World;

/// How long a file can be fetched.
const KEPT: i64 = 48 * 3_600;

pub(super) const ROUTES: &[Route] = &[Route {
    table: "chatgpt_file_contents",
    path: "/compliance/workspaces/{key.workspace}/users/{chatgpt_users.id}/files/{chatgpt_files.id}",
    key: Key::Compliance,
    params: &["conversation_id"],
    fullest: "",
    answer: Answer::Own(|world, place, _| redirect(world, place)),
}];

fn redirect(world: &World, place: &Place) -> Result<Answered, Refusal> {
    let id = place.value("chatgpt_files.id").unwrap_or("");
    match attached(world, id) {
        Some(at) if at > world.now() - KEPT => {
            Ok(logs::elsewhere(world, &format!("/signed/{}/{id}", world.workspace_id(place.workspace))))
        }
        Some(_) => Err(Refusal::gone("The file has expired.")),
        None => Err(Refusal::not_found("The file was not found.")),
    }
}

/// When a file was attached last.
fn attached(world: &World, id: &str) -> Option<i64> {
    let mut last = None;
    logs::truth(world, "chatgpt_files", |_, _, event, file| {
        if file["id"] == id {
            last = last.max(event.and_then(time));
        }
    });
    last
}

fn time(event: &Value) -> Option<i64> {
    let text = event["timestamp"].as_str()?;
    Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp())
}

/// What is in a file.
pub(super) fn bytes(world: &World, id: &str) -> Option<String> {
    attached(world, id).map(|at| format!("{id} was attached at {at}\n"))
}
