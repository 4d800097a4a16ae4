//! What a project has made, as its own key lists it: files, batches, evals, stored completions, …
//!
//! The records are data (`samples/`); every variant of every union that the documents name is there.

use serde_json::{Value, json};

use super::collection::Collection;
use super::place::Place;
use super::query::Query;
use super::refusal::Refusal;
use super::route::{Answer, Key, Listing, Order, Route, Row, Style, limit};
use super::world::{DAY, World};

const ASSISTANTS: &str = "assistants=v2";
const CHATKIT: &str = "chatkit_beta=v1";

pub(super) const ROUTES: &[Route] = &[
    Route {
        table: "files",
        path: "/files",
        key: Key::Project,
        params: &["purpose"],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 10_000, 10_000),
            ..list(include_str!("samples/files.json"), "file-", [30, 4])
        }),
    },
    Route {
        table: "batches",
        path: "/batches",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::NewestFirst,
            ..list(include_str!("samples/batches.json"), "batch_", [24, 3])
        }),
    },
    Route {
        table: "vector_stores",
        path: "/vector_stores",
        key: Key::Project,
        params: &["before"],
        fullest: "",
        answer: Answer::Collection(Collection {
            beta: Some(ASSISTANTS),
            ..list(include_str!("samples/vector_stores.json"), "vs_", [8, 2])
        }),
    },
    Route {
        table: "vector_store_files",
        path: "/vector_stores/{vector_stores.id}/files",
        key: Key::Project,
        params: &["before", "filter"],
        fullest: "",
        answer: Answer::Collection(Collection {
            beta: Some(ASSISTANTS),
            ..list(include_str!("samples/vector_store_files.json"), "file-", [25, 3])
        }),
    },
    Route {
        table: "containers",
        path: "/containers",
        key: Key::Project,
        params: &["name"],
        fullest: "",
        answer: Answer::Collection(list(include_str!("samples/containers.json"), "cntr_", [8, 2])),
    },
    Route {
        table: "container_files",
        path: "/containers/{containers.id}/files",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(list(include_str!("samples/container_files.json"), "cfile_", [22, 2])),
    },
    Route {
        table: "skills",
        path: "/skills",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(0, 20, 100),
            ..list(include_str!("samples/skills.json"), "skill_", [6, 2])
        }),
    },
    Route {
        table: "skill_versions",
        path: "/skills/{skills.id}/versions",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(0, 20, 100),
            ..list(include_str!("samples/skill_versions.json"), "skillver_", [21, 2])
        }),
    },
    Route {
        table: "videos",
        path: "/videos",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(0, 20, 100),
            ..list(include_str!("samples/videos.json"), "video_", [23, 2])
        }),
    },
    Route {
        table: "voice_consents",
        path: "/audio/voice_consents",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::Fixed,
            ..list(include_str!("samples/voice_consents.json"), "cons_", [21, 1])
        }),
    },
    Route {
        table: "webhook_endpoints",
        path: "/webhook_endpoints",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::Fixed,
            style: Style::LastItem,
            ..list(include_str!("samples/webhook_endpoints.json"), "we_", [6, 1])
        }),
    },
    Route {
        table: "fine_tuning_job_events",
        path: "/fine_tuning/jobs/{fine_tuning_jobs.id}/events",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::Fixed,
            style: Style::LastItem,
            ..list(include_str!("samples/fine_tuning_job_events.json"), "ftevent-", [30, 5])
        }),
    },
    Route {
        table: "evals",
        path: "/evals",
        key: Key::Project,
        params: &["order_by"],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::Ascending,
            ..list(include_str!("samples/evals.json"), "eval_", [12, 2])
        }),
    },
    Route {
        table: "eval_runs",
        path: "/evals/{evals.id}/runs",
        key: Key::Project,
        params: &["status"],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::Ascending,
            ..list(include_str!("samples/eval_runs.json"), "evalrun_", [29, 2])
        }),
    },
    Route {
        table: "eval_run_output_items",
        path: "/evals/{evals.id}/runs/{eval_runs.id}/output_items",
        key: Key::Project,
        params: &["status"],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::Ascending,
            ..list(include_str!("samples/eval_run_output_items.json"), "outputitem_", [23, 1])
        }),
    },
    Route {
        table: "chat_completions",
        path: "/chat/completions",
        key: Key::Project,
        params: &["model"],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::Ascending,
            ..list(include_str!("samples/chat_completions.json"), "chatcmpl-", [22, 2])
        }),
    },
    Route {
        table: "chat_completion_messages",
        path: "/chat/completions/{chat_completions.id}/messages",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::Ascending,
            ..list(include_str!("samples/chat_completion_messages.json"), "chatcmpl-msg-", [21, 2])
        }),
    },
    Route {
        table: "chatkit_threads",
        path: "/chatkit/threads",
        key: Key::Project,
        params: &["before", "user"],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(0, 20, 100),
            beta: Some(CHATKIT),
            ..list(include_str!("samples/chatkit_threads.json"), "cthr_", [9, 1])
        }),
    },
    Route {
        table: "chatkit_thread_items",
        path: "/chatkit/threads/{chatkit_threads.id}/items",
        key: Key::Project,
        params: &["before"],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(0, 20, 100),
            beta: Some(CHATKIT),
            ..list(include_str!("samples/chatkit_thread_items.json"), "cthi_", [22, 2])
        }),
    },
    Route {
        table: "models",
        path: "/models",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing { rows: models, record: model, ..WHOLE }),
    },
    Route {
        table: "webhook_event_types",
        path: "/webhook_event_types",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing { rows: event_types, record: event_type, ..WHOLE }),
    },
    Route {
        table: "assistants",
        path: "/assistants",
        key: Key::Project,
        params: &["before"],
        fullest: "",
        answer: Answer::Retired("The Assistants API was shut down. Use the Responses API instead."),
    },
];

/// A list that comes at once.
const WHOLE: Listing =
    Listing { rows: models, record: model, style: Style::Whole, limit: limit(0, 0, 0), order: Order::Fixed };

/// A list of a project, in the most usual way.
pub(super) const fn list(samples: &'static str, prefix: &'static str, count: [usize; 2]) -> Collection {
    Collection {
        samples,
        prefix,
        count,
        style: Style::LastId,
        limit: limit(1, 20, 100),
        order: Order::Descending,
        beta: None,
        posted: false,
    }
}

/// The models, and the days on which some shut down.
const MODELS: [(&str, &str, Option<&str>); 6] = [
    ("gpt-5.1", "system", None),
    ("gpt-5.1-codex", "system", None),
    ("gpt-4.1-mini-2025-04-14", "system", Some("2027-03-31")),
    ("text-embedding-3-small", "system", None),
    ("sora-2", "system", Some("2027-06-30")),
    ("ft:gpt-4.1-mini-2025-04-14:simulated::p0j0", "org-simulated", None),
];

fn models(_: &World, _: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    let rows = MODELS.iter().enumerate().map(|(at, model)| Row { id: model.0.to_owned(), at });
    Ok(rows.collect())
}

fn model(world: &World, _: &Place, at: usize) -> Value {
    let (id, owner, shutdown) = MODELS[at];
    let created = world.today - (400 - 30 * at as i64) * DAY;
    let mut model = json!({"id": id, "object": "model", "created": created, "owned_by": owner});
    // The date is told, null or left out.
    if at % 3 != 1 {
        model["shutdown_date"] = shutdown.into();
    }
    model
}

const EVENT_TYPES: [&str; 12] = [
    "batch.cancelled",
    "batch.completed",
    "batch.expired",
    "batch.failed",
    "eval.run.canceled",
    "eval.run.failed",
    "eval.run.succeeded",
    "fine_tuning.job.failed",
    "fine_tuning.job.succeeded",
    "realtime.call.incoming",
    "response.completed",
    "response.failed",
];

fn event_types(_: &World, _: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    let rows = EVENT_TYPES.iter().enumerate().map(|(at, name)| Row { id: (*name).to_owned(), at });
    Ok(rows.collect())
}

/// The items of this list are texts.
fn event_type(_: &World, _: &Place, at: usize) -> Value {
    EVENT_TYPES[at].into()
}
