//! What may be spent, asked and used: spend alerts and limits, rate limits,
//! permissions for models and tools, service tiers, data retention.

use serde_json::{Value, json};

use super::identity::counted;
use super::place::Place;
use super::projects::within;
use super::query::Query;
use super::refusal::Refusal;
use super::route::{Answer, Key, Listing, Order, Route, Row, Style, limit};
use super::world::World;

pub(super) const ROUTES: &[Route] = &[
    Route {
        table: "organization_spend_alerts",
        path: "/organization/spend_alerts",
        key: Key::Admin,
        params: &["before"],
        fullest: "",
        answer: Answer::List(Listing {
            rows: |world, _, _| Ok(counted(4, |at| organization_alert_id(world, at))),
            record: organization_alert,
            style: Style::LastId,
            limit: limit(0, 20, 100),
            order: Order::Ascending,
        }),
    },
    Route {
        table: "project_spend_alerts",
        path: "/organization/projects/{projects.id}/spend_alerts",
        key: Key::Admin,
        params: &["before"],
        fullest: "",
        answer: Answer::List(Listing {
            rows: project_alerts,
            record: project_alert,
            style: Style::LastId,
            limit: limit(0, 20, 100),
            order: Order::Ascending,
        }),
    },
    Route {
        table: "project_rate_limits",
        path: "/organization/projects/{projects.id}/rate_limits",
        key: Key::Admin,
        params: &["before"],
        fullest: "",
        answer: Answer::List(Listing {
            rows: rate_limits,
            record: rate_limit,
            style: Style::LastId,
            limit: limit(1, 100, 100),
            order: Order::Fixed,
        }),
    },
    one("organization_data_retention_settings", "/organization/data_retention", |_, _| {
        Some(json!({
            "object": "organization.data_retention", "type": "modified_abuse_monitoring",
        }))
    }),
    one("project_data_retention_settings", "/organization/projects/{projects.id}/data_retention", |_, place| {
        let kind = RETENTION[place.project % RETENTION.len()];
        Some(json!({"object": "project.data_retention", "type": kind}))
    }),
    one("organization_spend_limits", "/organization/spend_limit", |_, _| {
        Some(spend_limit("organization.spend_limit", 5_000_000, true))
    }),
    one("project_spend_limits", "/organization/projects/{projects.id}/spend_limit", |_, place| {
        // Not every project has one.
        let cents = 10_000 * (place.project as i64 + 1);
        let limited = place.project % 3 != 1;
        limited.then(|| spend_limit("project.spend_limit", cents, place.project % 2 == 0))
    }),
    one("project_model_permissions", "/organization/projects/{projects.id}/model_permissions", model_permissions),
    one(
        "project_hosted_tool_permissions",
        "/organization/projects/{projects.id}/hosted_tool_permissions",
        tool_permissions,
    ),
    one("project_service_tier_settings", "/organization/projects/{projects.id}/service_tier_settings", service_tiers),
];

const RETENTION: [&str; 6] = [
    "organization_default",
    "none",
    "zero_data_retention",
    "modified_abuse_monitoring",
    "enhanced_zero_data_retention",
    "enhanced_modified_abuse_monitoring",
];

/// (model, requests a minute, tokens a minute)
const LIMITED_MODELS: [(&str, i64, i64); 8] = [
    ("gpt-5.2", 10_000, 4_000_000),
    ("gpt-5-mini", 30_000, 180_000_000),
    ("gpt-4.1", 10_000, 2_000_000),
    ("gpt-4.1-mini", 30_000, 10_000_000),
    ("text-embedding-3-large", 10_000, 10_000_000),
    ("gpt-image-1", 250, 8_000_000),
    ("gpt-4o-transcribe", 10_000, 8_000_000),
    ("omni-moderation-latest", 5_000, 500_000),
];

const fn one(table: &'static str, path: &'static str, record: fn(&World, &Place) -> Option<Value>) -> Route {
    Route { table, path, key: Key::Admin, params: &[], fullest: "", answer: Answer::One(record) }
}

fn organization_alert_id(world: &World, at: usize) -> String {
    world.chance.of("spend alert").at(at as u64).id("alert_", 16)
}

fn organization_alert(world: &World, _: &Place, at: usize) -> Value {
    let id = organization_alert_id(world, at);
    alert(&id, "organization.spend_alert", at, at.is_multiple_of(2))
}

fn project_alert_id(world: &World, project: usize, at: usize) -> String {
    within(world, project, "spend alert").at(at as u64).id("alert_", 16)
}

fn project_alerts(world: &World, place: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    let project = place.project;
    let count = if project == 0 { 102 } else { project % 3 };
    Ok(counted(count, |at| project_alert_id(world, project, at)))
}

fn project_alert(world: &World, place: &Place, at: usize) -> Value {
    let id = project_alert_id(world, place.project, at);
    alert(&id, "project.spend_alert", at, at % 2 == 1)
}

/// The threshold is in cents.
fn alert(id: &str, object: &str, at: usize, prefixed: bool) -> Value {
    json!({
        "id": id,
        "object": object,
        "threshold_amount": 50_000 * (at as i64 + 1),
        "currency": "USD",
        "interval": "month",
        "notification_channel": {
            "type": "email",
            "recipients": ["finance@example.com", format!("team{at}@example.com")],
            "subject_prefix": prefixed.then_some("Spend alert"),
        },
    })
}

fn rate_limits(_: &World, _: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    // The same ids in every project.
    Ok(counted(LIMITED_MODELS.len(), |at| format!("rl-{}", LIMITED_MODELS[at].0)))
}

fn rate_limit(_: &World, place: &Place, at: usize) -> Value {
    let (model, requests, tokens) = LIMITED_MODELS[at];
    let share = if place.project.is_multiple_of(2) { 1 } else { 2 };
    let mut record = json!({
        "object": "project.rate_limit",
        "id": format!("rl-{model}"),
        "model": model,
        "max_requests_per_1_minute": requests / share,
        "max_tokens_per_1_minute": tokens / share,
    });
    let optional = match at {
        5 => [("max_images_per_1_minute", 250), ("max_requests_per_1_day", 5_000)].as_slice(),
        6 => [("max_audio_megabytes_per_1_minute", 100)].as_slice(),
        0..=3 => [("batch_1_day_max_input_tokens", 15_000_000_000)].as_slice(),
        _ => &[],
    };
    if let Some(members) = record.as_object_mut() {
        for &(name, value) in optional {
            members.insert(name.to_owned(), Value::from(value / share));
        }
    }
    record
}

fn spend_limit(object: &str, cents: i64, enforcing: bool) -> Value {
    json!({
        "object": object,
        "threshold_amount": cents,
        "currency": "USD",
        "interval": "month",
        "enforcement": {"status": if enforcing { "enforcing" } else { "inactive" }},
    })
}

fn model_permissions(_: &World, place: &Place) -> Option<Value> {
    let (mode, models): (&str, &[&str]) = match place.project % 4 {
        0 => ("allow_list", &["gpt-5.2", "gpt-5-mini"]),
        1 => ("deny_list", &["gpt-image-1"]),
        2 => ("deny_list", &[]),
        _ => return None,
    };
    Some(json!({"object": "project.model_permissions", "mode": mode, "model_ids": models}))
}

fn tool_permissions(world: &World, place: &Place) -> Option<Value> {
    let tools = ["file_search", "web_search", "image_generation", "mcp", "code_interpreter"];
    let chance = within(world, place.project, "tools");
    let allowed = tools.map(|tool| {
        let enabled = !chance.of(tool).once_in(3);
        (tool.to_owned(), json!({"enabled": enabled}))
    });
    Some(Value::Object(allowed.into_iter().collect()))
}

fn service_tiers(_: &World, place: &Place) -> Option<Value> {
    let enabled = match place.project % 3 {
        0 => json!("all"),
        1 => json!(["flex", "fast"]),
        _ => json!([]),
    };
    Some(json!({
        "object": "project.service_tier_settings",
        "default": (["standard", "fast", "scale"][place.project % 3]),
        "enabled_tiers": enabled,
    }))
}
