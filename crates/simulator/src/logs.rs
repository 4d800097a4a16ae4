//! The Compliance Logs Platform: lists of files, and the way to a file, which is a redirect
//! to a signed address on another port.

use chrono::DateTime;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::api::Answered;
use super::contents;
use super::log_files::{self, File, KINDS, Principal};
use super::pages;
use super::place::Place;
use super::query::Query;
use super::random::Chance;
use super::refusal::Refusal;
use super::route::{Answer, Key, Route};
use super::world::World;

const LIST: &[&str] = &["event_type", "after", "before", "limit"];

pub(super) const ROUTES: &[Route] = &[
    Route {
        table: "log_files",
        path: "/compliance/workspaces/{key.workspace}/logs",
        key: Key::Compliance,
        params: LIST,
        fullest: "",
        answer: Answer::Own(|world, place, query| list(world, Principal::Workspace(place.workspace), query)),
    },
    Route {
        table: "log_file",
        path: "/compliance/workspaces/{key.workspace}/logs/{log_files.id}",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Own(|world, place, _| redirect(world, Principal::Workspace(place.workspace), place)),
    },
    Route {
        table: "organization_log_files",
        path: "/compliance/organizations/{key.organization}/logs",
        key: Key::Compliance,
        params: LIST,
        fullest: "",
        answer: Answer::Own(|world, _, query| list(world, Principal::Organization, query)),
    },
    Route {
        table: "organization_log_file",
        path: "/compliance/organizations/{key.organization}/logs/{log_files.id}",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Own(|world, place, _| redirect(world, Principal::Organization, place)),
    },
];

/// The tables of events, and those that are parts of events.
pub(super) const TABLES: [&str; 15] = [
    "log_audit",
    "log_conversation_messages",
    "log_auth",
    "log_apps",
    "log_organization_apps",
    "log_app_auth",
    "log_organization_app_auth",
    "log_codex",
    "log_codex_security",
    "log_spreadsheet_plugin",
    "log_custom_agents",
    "log_other",
    "log_costs",
    "log_cost_billing",
    "chatgpt_files",
];

/// Calls `tell` with (parent, its value, enclosing event, record) for everything a table holds.
pub(super) fn truth(world: &World, table: &str, mut tell: impl FnMut(&str, &str, Option<&Value>, &Value)) {
    let (events, part) = match table {
        "log_cost_billing" => ("log_costs", Some("/payload/measures/billing")),
        "chatgpt_files" => ("log_conversation_messages", Some("/message/files")),
        _ => (table, None),
    };
    log_files::every_event(world, events, |parent, value, members| {
        let event = Value::Object(members.clone());
        let Some(part) = part else {
            tell(parent, value, None, &event);
            return;
        };
        for record in event.pointer(part).and_then(Value::as_array).into_iter().flatten() {
            tell(parent, value, Some(&event), record);
        }
    });
}

/// A key for one type of log may list and download that one.
pub(super) fn authorize_audit_only(world: &World, table: &str, place: &Place, query: &Query) -> Result<(), Refusal> {
    let audit = KINDS[0].name;
    let allowed = match table {
        "log_files" | "organization_log_files" => types(query).iter().all(|name| *name == audit),
        "log_file" => {
            let id = place.value("log_files.id").unwrap_or("");
            let found = find(world, Principal::Workspace(place.workspace), id);
            found.is_none_or(|(file, _)| KINDS[file.kind].name == audit)
        }
        _ => false,
    };
    match allowed {
        true => Ok(()),
        false if table.contains("log_file") => {
            Err(Refusal::missing_scope("chatgpt.enterprise.compliance_logs_platform.read"))
        }
        false => Err(Refusal::missing_scope("chatgpt.enterprise.compliance_export.read")),
    }
}

fn types(query: &Query) -> Vec<&str> {
    query.all("event_type").into_iter().flat_map(|given| given.split(',')).collect()
}

fn wrong(name: &str, message: impl Into<String>) -> Refusal {
    Refusal::unprocessable("query", name, message)
}

pub(super) fn kinds(principal: Principal, query: &Query) -> Result<Vec<usize>, Refusal> {
    let names = types(query);
    if names.is_empty() {
        return Err(wrong("event_type", "Field required"));
    }
    let kinds = names.into_iter().map(|name| {
        let kind = KINDS.iter().position(|kind| kind.name == name);
        let unknown = || Refusal::invalid("event_type", format!("Unknown event type: {name}."));
        let kind = kind.ok_or_else(unknown)?;
        match (principal.table(kind), principal) {
            (Some(_), _) => Ok(kind),
            (None, Principal::Organization) => Err(Refusal::invalid(
                "event_type",
                format!(
                    "{name} is a workspace-scoped event type. Use /v1/compliance/workspaces/{{workspace_id}}/logs."
                ),
            )),
            (None, Principal::Workspace(_)) => Err(Refusal::invalid(
                "event_type",
                format!(
                    "{name} is an organization-scoped event type. \
                     Use /v1/compliance/organizations/{{organization_id}}/logs."
                ),
            )),
        }
    });
    kinds.collect()
}

/// Microseconds of a moment that must be whole: date, time and zone.
fn moment(query: &Query, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(text) = query.text(name) else {
        return Ok(None);
    };
    let invalid = |_| Refusal::invalid(name, format!("'{name}' must be an ISO 8601 timestamp with a time zone."));
    let moment = DateTime::parse_from_rfc3339(text).map_err(invalid)?;
    Ok(Some(moment.timestamp_micros()))
}

fn list(world: &World, principal: Principal, query: &Query) -> Result<Answered, Refusal> {
    let kinds = kinds(principal, query)?;
    let after = moment(query, "after")?.ok_or_else(|| wrong("after", "Field required"))?;
    let before = moment(query, "before")?.unwrap_or(i64::MAX);
    let size = pages::check_limit(query.integer("limit")?.unwrap_or(100), 1, 100)?;
    let mut found: Vec<(File, Option<File>)> = Vec::new();
    for kind in kinds {
        let files = log_files::files(world, principal, kind);
        for (number, file) in files.iter().enumerate() {
            // The file at the boundary comes again at times.
            let again = file.end == after && size > 1 && Chance::new(0).at(file.end.unsigned_abs()).once_in(3);
            if (file.end > after || again) && file.end < before && file.is_kept(world) {
                found.push((file.clone(), number.checked_sub(1).and_then(|number| files.get(number).cloned())));
            }
        }
    }
    found.sort_by_key(|(file, _)| file.end);
    let has_more = found.len() > size;
    found.truncate(size);
    let last = found.last().map(|(file, _)| file.end_time());
    let data: Vec<Value> =
        found.iter().map(|(file, predecessor)| described(world, file, predecessor.as_ref())).collect();
    let page = json!({"object": "list", "data": data, "has_more": has_more, "last_end_time": last});
    Ok(Answered::new(200, page.to_string()))
}

fn described(world: &World, file: &File, before: Option<&File>) -> Value {
    let text = log_files::text(world, file, before);
    let (name, end_time) = (KINDS[file.kind].name, file.end_time());
    json!({
        "id": file.id(world),
        "event_type": name,
        "end_time": end_time,
        "file_name": format!("{name}_{}.jsonl", end_time.replace('Z', "+00:00")),
        "file_size": text.len(),
        "file_sha256": hex(&Sha256::digest(text.as_bytes())),
    })
}

/// A file that is kept, and the one before it.
fn find(world: &World, principal: Principal, id: &str) -> Option<(File, Option<File>)> {
    (0..KINDS.len()).find_map(|kind| {
        let files = log_files::files(world, principal, kind);
        let number = files.iter().position(|file| file.is_kept(world) && file.id(world) == id)?;
        let before = number.checked_sub(1).and_then(|number| files.get(number).cloned());
        Some((files.get(number)?.clone(), before))
    })
}

/// A file that was there once: the id of one that is not kept any more.
pub(super) fn expired(world: &World) -> Option<String> {
    let files = log_files::files(world, Principal::Workspace(0), 0);
    let expired = files.iter().find(|file| !file.is_kept(world));
    expired.map(|file| file.id(world))
}

/// Where a file can be fetched for a while, without a key.
fn redirect(world: &World, principal: Principal, place: &Place) -> Result<Answered, Refusal> {
    let id = place.value("log_files.id").unwrap_or("");
    if find(world, principal, id).is_none() {
        return Err(Refusal::not_found("The log file was not found or is no longer available."));
    }
    Ok(elsewhere(world, &format!("/signed/{}/{id}", principal.id(world))))
}

/// A redirect to a signed address, good for a while.
pub(super) fn elsewhere(world: &World, path: &str) -> Answered {
    let use_by = world.now() + world.behavior.signed_url_seconds.unwrap_or(300);
    let address = format!("{}{path}?use_by={use_by}&signature={}", world.downloads, signature(path, use_by));
    let mut answered = Answered::new(307, String::new());
    answered.headers.push(("location", address));
    answered
}

fn signature(path: &str, use_by: i64) -> String {
    Chance::new(0).of(path).at(use_by.unsigned_abs()).id("", 32)
}

/// The other port: a file for a signed address, and for nothing else.
pub(super) fn download(world: &World, path: &str, query: &str, has_authorization: bool) -> Answered {
    let refused = |status, message: &str| Answered::new(status, json!({"error": message}).to_string());
    if has_authorization {
        return refused(
            400,
            "Only one authentication mechanism is allowed: the signature or the Authorization header.",
        );
    }
    let query = Query::parse(query);
    let use_by = query.integer("use_by").ok().flatten().unwrap_or(0);
    if query.text("signature") != Some(signature(path, use_by).as_str()) {
        return refused(403, "The signature does not match.");
    }
    if world.now() > use_by {
        return refused(403, "The signature has expired.");
    }
    let mut segments = path.trim_start_matches("/signed/").split('/');
    let (owner, id) = (segments.next().unwrap_or(""), segments.next().unwrap_or(""));
    let principal = Principal::all().into_iter().find(|principal| principal.id(world) == owner);
    match principal.and_then(|principal| find(world, principal, id)) {
        Some((file, before)) => {
            let mut answered = Answered::new(200, log_files::text(world, &file, before.as_ref()));
            answered.headers.push(("content-type", "application/jsonl".to_owned()));
            answered
        }
        None => contents::bytes(world, id)
            .map_or_else(|| refused(410, "The file is gone."), |text| Answered::new(200, text)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
