//! What belongs to one user of a workspace (canvases, automations, recordings, remote control,
//! library, pets), and the workspace's groups and usage limits.

use serde_json::{Value, json};

use super::api::Answered;
use super::chatgpt::listed;
use super::collection::{self, Collection};
use super::pages;
use super::place::Place;
use super::query::Query;
use super::refusal::Refusal;
use super::route::{Answer, Key, Order, Route, Style, limit};
use super::world::World;

pub(super) const ROUTES: &[Route] = &[
    Route {
        table: "chatgpt_canvases",
        path: "/compliance/workspaces/{key.workspace}/users/{chatgpt_users.id}/canvases",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 30, 30),
            ..listed(include_str!("samples/chatgpt_canvases.json"), "textdoc_", [33, 1])
        }),
    },
    Route {
        table: "chatgpt_automations",
        path: "/compliance/workspaces/{key.workspace}/users/{chatgpt_users.id}/automations",
        key: Key::Compliance,
        params: &["since_timestamp"],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 100, 100),
            style: Style::LastItem,
            ..listed(include_str!("samples/chatgpt_automations.json"), "auto_", [103, 1])
        }),
    },
    Route {
        table: "chatgpt_recordings",
        path: "/compliance/workspaces/{key.workspace}/users/{chatgpt_users.id}/recordings",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 10, 20),
            style: Style::Cursor,
            ..listed(include_str!("samples/chatgpt_recordings.json"), "rec_", [23, 1])
        }),
    },
    Route {
        table: "chatgpt_recording_transcripts",
        path: "/compliance/workspaces/{key.workspace}/users/{chatgpt_users.id}/recordings/{chatgpt_recordings.id}/transcript",
        key: Key::Compliance,
        params: &["include_summary"],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::Single,
            ..listed(include_str!("samples/chatgpt_recording_transcripts.json"), "parent", [0, 0])
        }),
    },
    Route {
        table: "codex_remote_control_clients",
        path: "/compliance/workspaces/{key.workspace}/users/{chatgpt_users.id}/remote_control/clients",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 20, 50),
            style: Style::CursorIsLastId,
            ..listed(include_str!("samples/codex_remote_control_clients.json"), "rcc_", [53, 1])
        }),
    },
    Route {
        table: "codex_remote_control_environments",
        path: "/compliance/workspaces/{key.workspace}/users/{chatgpt_users.id}/remote_control/environments",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 20, 50),
            style: Style::CursorIsLastId,
            ..listed(include_str!("samples/codex_remote_control_environments.json"), "rce_", [4, 1])
        }),
    },
    Route {
        table: "codex_remote_control_threads",
        path: "/compliance/workspaces/{key.workspace}/users/{chatgpt_users.id}/remote_control/environments/{codex_remote_control_environments.id}/threads",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 20, 50),
            style: Style::CursorIsLastId,
            ..listed(include_str!("samples/codex_remote_control_threads.json"), "rct_", [52, 1])
        }),
    },
    Route {
        table: "chatgpt_library_files",
        path: "/compliance/workspaces/{key.workspace}/users/{chatgpt_users.id}/library_files",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 200, 200),
            style: Style::Cursor,
            ..listed(include_str!("samples/chatgpt_library_files.json"), "library_file_", [203, 1])
        }),
    },
    Route {
        table: "chatgpt_pets",
        path: "/compliance/workspaces/{key.workspace}/users/{chatgpt_users.id}/pets",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 100, 100),
            style: Style::Cursor,
            ..listed(include_str!("samples/chatgpt_pets.json"), "pet_", [103, 0])
        }),
    },
    Route {
        table: "chatgpt_shared_pets",
        path: "/compliance/workspaces/{key.workspace}/users/{chatgpt_users.id}/shared_pets",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 100, 100),
            style: Style::Cursor,
            ..listed(include_str!("samples/chatgpt_shared_pets.json"), "shared_pet_", [3, 0])
        }),
    },
    Route {
        table: "chatgpt_groups",
        path: "/manage/workspaces/{key.workspace}/groups",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::Ascending,
            style: Style::Cursor,
            ..listed(include_str!("samples/chatgpt_groups.json"), "uuid", [23, 2])
        }),
    },
    Route {
        table: "chatgpt_group_users",
        path: "/manage/workspaces/{key.workspace}/groups/{chatgpt_groups.id}/users",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::Ascending,
            style: Style::Cursor,
            ..listed(include_str!("samples/chatgpt_group_users.json"), "members", [1, 4])
        }),
    },
    Route {
        table: "chatgpt_usage_limits_workspace",
        path: "/manage/workspaces/{key.workspace}/usage_limits/workspace",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::Single,
            ..listed(include_str!("samples/chatgpt_usage_limits_workspace.json"), "parent", [0, 0])
        }),
    },
    Route {
        table: "chatgpt_usage_limits_groups",
        path: "/manage/workspaces/{key.workspace}/usage_limits/groups",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 50, 100),
            style: Style::Cursor,
            ..listed(include_str!("samples/chatgpt_usage_limits_groups.json"), "uuid", [6, 2])
        }),
    },
    Route {
        table: "chatgpt_usage_limits_users",
        path: "/manage/workspaces/{key.workspace}/usage_limits/users",
        key: Key::Compliance,
        params: &["query"],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 50, 100),
            style: Style::Cursor,
            ..listed(include_str!("samples/chatgpt_usage_limits_users.json"), "members", [1, 1])
        }),
    },
    Route {
        table: "chatgpt_usage_limits_requests",
        path: "/manage/workspaces/{key.workspace}/usage_limits/requests",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 50, 100),
            style: Style::Cursor,
            ..listed(include_str!("samples/chatgpt_usage_limits_requests.json"), "uuid", [6, 1])
        }),
    },
    Route {
        table: VERSIONS_TABLE,
        path: "/compliance/workspaces/{key.workspace}/users/{chatgpt_users.id}/canvas/{chatgpt_canvases.id}",
        key: Key::Compliance,
        params: &["after", "limit"],
        fullest: "",
        answer: Answer::Own(canvas),
    },
];

pub(super) const VERSIONS_TABLE: &str = "chatgpt_canvas_versions";
const VERSIONS: Collection = listed(include_str!("samples/chatgpt_canvas_versions.json"), "version_", [33, 2]);

/// A canvas with a page of its versions; the cursor is the number of a version.
fn canvas(world: &World, place: &Place, query: &Query) -> Result<Answered, Refusal> {
    let size = pages::check_limit(query.integer("limit")?.unwrap_or(30), 1, 30)?;
    let after = query.integer("after")?.unwrap_or(0);
    let mut versions = versions(world, place);
    versions.retain(|version| version["version"].as_i64() > Some(after));
    let has_more = versions.len() > size;
    versions.truncate(size);
    let mut canvas = around(place);
    let last = versions.last().map_or(Value::Null, |version| version["version"].clone());
    canvas["version_contents"] =
        json!({"object": "list", "data": versions, "last_version": last, "has_more": has_more});
    Ok(Answered::new(200, canvas.to_string()))
}

/// What encloses the versions of a canvas.
pub(super) fn around(place: &Place) -> Value {
    json!({"textdoc_id": place.value("chatgpt_canvases.id"), "textdoc_type": "document"})
}

pub(super) fn versions(world: &World, place: &Place) -> Vec<Value> {
    let rows = collection::everything(world, VERSIONS_TABLE, &VERSIONS, place);
    rows.into_iter().map(|row| collection::record(world, VERSIONS_TABLE, &VERSIONS, place, row.at)).collect()
}
