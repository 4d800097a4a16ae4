//! The audit log: every documented type of event, newest first.
//!
//! What an event carries comes from `audit_events.json`, where each type has its
//! payload as a template: a text such as `{user}` or `{id:cert_}` is filled in.

use std::ops::Range;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::identity;
use super::place::Place;
use super::projects;
use super::query::Query;
use super::random::Chance;
use super::refusal::Refusal;
use super::roles;
use super::route::{Answer, Key, Listing, Order, Route, Row, Style, limit};
use super::world::{DAY, ORGANIZATION, World};

pub(super) const ROUTES: &[Route] = &[Route {
    table: "audit_logs",
    path: "/organization/audit_logs",
    key: Key::Admin,
    params: &[
        "effective_at",
        "project_ids",
        "event_types",
        "actor_ids",
        "actor_emails",
        "resource_ids",
        "tenant_only",
        "before",
    ],
    fullest: "",
    answer: Answer::List(Listing {
        rows,
        record: |world, _, at| record(world, &world.events[at]),
        style: Style::LastId,
        limit: limit(1, 20, 100),
        order: Order::Fixed,
    }),
}];

/// One type of event.
#[derive(Deserialize)]
struct Kind {
    r#type: String,
    /// The member that holds the payload, where it is not named like the type.
    member: Option<String>,
    payload: Option<Value>,
}

/// One event; what it says is worked out when it is asked for.
pub(super) struct Event {
    pub(super) id: String,
    pub(super) effective_at: i64,
    number: u64,
    kind: usize,
    /// Brought by `mutate`: there at once.
    sudden: bool,
}

/// So many events in one second: more than a page holds.
const BURST: u64 = 120;
/// Seconds before the start at which the latest events happened.
const RECENT: i64 = 300;
const COMMON: [&str; 4] = ["login.succeeded", "logout.succeeded", "api_key.created", "user.updated"];

fn kinds() -> &'static [Kind] {
    static KINDS: OnceLock<Vec<Kind>> = OnceLock::new();
    KINDS.get_or_init(|| serde_json::from_str(include_str!("audit_events.json")).unwrap_or_default())
}

fn kind_number(name: &str) -> usize {
    let found = kinds().iter().position(|kind| kind.r#type == name);
    found.unwrap_or(0)
}

/// These are told only when they are asked for.
fn is_tenant_scoped(name: &str) -> bool {
    name.starts_with("tenant.") || name == "role.bound_to_resource" || name == "role.unbound_from_resource"
}

/// The events from the start of the history to the end of the day; later ones are not told yet.
pub(super) fn history(world: &World) -> Vec<Event> {
    let types = kinds().len();
    let count = world.options.audit_events.max(2 * types) as u64;
    let start = world.history_start();
    let span = world.today + DAY - start;
    let common = COMMON.map(kind_number);
    let chance = world.chance.of("audit times");
    let mut events: Vec<Event> = (0..count)
        .map(|number| {
            let kind = match number % 2 {
                0 => usize::try_from(number / 2).unwrap_or(0) % types.max(1),
                _ => common[chance.at(number).of("common").index(common.len())],
            };
            event(world, number, kind, moment(chance, start, span, number, count), false)
        })
        .collect();
    let burst = world.today - 2 * DAY + 9 * 3_600;
    let added = kind_number("user.added");
    events.extend((count..count + BURST).map(|number| event(world, number, added, burst, false)));
    // Something happened just before the start: late events can fall into the same second.
    let recent = world.now() - RECENT;
    events.extend((0..2).map(|number| event(world, count + BURST + number, added, recent, true)));
    sort(&mut events);
    events
}

/// Spread over the history; in one group of four out of three all share a second.
fn moment(chance: Chance, start: i64, span: i64, number: u64, count: u64) -> i64 {
    let group = number / 4;
    let step = span * 4 / count.cast_signed().max(1);
    let base = start + step * group.cast_signed();
    if chance.at(group).of("together").once_in(3) {
        return base;
    }
    base + chance.at(number).below(step.unsigned_abs()).cast_signed()
}

fn event(world: &World, number: u64, kind: usize, effective_at: i64, sudden: bool) -> Event {
    Event { id: world.chance.of("audit event").at(number).id("audit_log-", 24), effective_at, number, kind, sudden }
}

fn sort(events: &mut [Event]) {
    events.sort_by_key(|event| (event.effective_at, event.number));
}

/// Adds events that nobody could see before.
pub(super) fn append(world: &mut World, news: &[(&str, i64)]) {
    let next = world.events.iter().map(|event| event.number + 1).max();
    for (offset, &(name, effective_at)) in news.iter().enumerate() {
        let number = next.unwrap_or(0) + offset as u64;
        let added = event(world, number, kind_number(name), effective_at, true);
        world.events.push(added);
    }
    sort(&mut world.events);
}

/// The latest second of a span in which something visible happened.
pub(super) fn busy_second(world: &World, span: Range<i64>) -> Option<i64> {
    let visible = world.events.iter().rev().filter(|event| is_told(world, event));
    let mut earlier = visible.map(|event| event.effective_at);
    earlier.find(|effective_at| span.contains(effective_at))
}

fn is_told(world: &World, event: &Event) -> bool {
    event.sudden || event.effective_at < world.metered_until()
}

/// All that a complete reading of both passes gives.
pub(super) fn everything(world: &World) -> impl Iterator<Item = Value> + '_ {
    let told = world.events.iter().filter(|event| is_told(world, event));
    told.map(|event| record(world, event))
}

fn rows(world: &World, _: &Place, query: &Query) -> Result<Vec<Row>, Refusal> {
    let (from, until) = query.range("effective_at")?;
    let tenant = query.boolean("tenant_only")?.unwrap_or(false);
    let types = known_types(query, tenant)?;
    let first = world.events.partition_point(|event| event.effective_at < from);
    let last = world.events.partition_point(|event| event.effective_at < until);
    let rows = (first..last.max(first))
        .rev()
        .filter(|&at| {
            let event = &world.events[at];
            let name = kinds()[event.kind].r#type.as_str();
            is_told(world, event)
                && is_tenant_scoped(name) == tenant
                && (types.is_empty() || types.contains(&name))
                && concerns(world, event, query)
        })
        .map(|at| Row { id: world.events[at].id.clone(), at });
    Ok(rows.collect())
}

fn known_types(query: &Query, tenant: bool) -> Result<Vec<&str>, Refusal> {
    let types = query.all("event_types");
    for name in &types {
        let reason = if !kinds().iter().any(|kind| kind.r#type == *name) {
            "is no type of event"
        } else if tenant && !is_tenant_scoped(name) {
            "is not tenant-scoped"
        } else {
            continue;
        };
        let message = format!("Invalid value: '{name}' {reason}.");
        return Err(Refusal::invalid("event_types", message));
    }
    Ok(types)
}

/// The filters that look into an event.
fn concerns(world: &World, event: &Event, query: &Query) -> bool {
    const WHERE: [(&str, &[&str]); 4] = [
        ("project_ids", &["/project/id"]),
        (
            "actor_ids",
            &[
                "/actor/session/user/id",
                "/actor/api_key/id",
                "/actor/api_key/user/id",
                "/actor/api_key/service_account/id",
            ],
        ),
        ("actor_emails", &["/actor/session/user/email", "/actor/api_key/user/email"]),
        ("resource_ids", &["/details/id"]),
    ];
    let mut record_text = None;
    WHERE.iter().all(|(param, pointers)| {
        let wanted = query.all(param);
        if wanted.is_empty() {
            return true;
        }
        let record = record_text.get_or_insert_with(|| record(world, event));
        let name = kinds()[event.kind].r#type.as_str();
        let of_payload = record.get(name).and_then(|payload| payload.get("id"));
        let resource = of_payload.filter(|_| *param == "resource_ids");
        let told = pointers.iter().filter_map(|pointer| record.pointer(pointer));
        told.chain(resource).filter_map(Value::as_str).any(|id| wanted.contains(&id))
    })
}

fn record(world: &World, event: &Event) -> Value {
    let kind = &kinds()[event.kind];
    let chance = world.chance.of("audit details").at(event.number);
    let mut members = Map::new();
    members.insert("object".into(), "organization.audit_log".into());
    members.insert("id".into(), event.id.as_str().into());
    members.insert("type".into(), kind.r#type.as_str().into());
    members.insert("effective_at".into(), event.effective_at.into());
    if !is_tenant_scoped(&kind.r#type) && event.number % 5 != 4 {
        let project = &world.projects[chance.of("project").index(world.projects.len())];
        let named = json!({"id": project.id, "name": project.name});
        members.insert("project".into(), named);
    }
    match event.number % 11 {
        9 => {}
        10 => {
            members.insert("actor".into(), Value::Null);
        }
        _ => {
            members.insert("actor".into(), actor(world, chance));
        }
    }
    if let Some(payload) = &kind.payload {
        let name = kind.member.as_ref().unwrap_or(&kind.r#type);
        members.insert(name.clone(), filled(world, chance, payload));
    }
    Value::Object(members)
}

/// A person in a browser, a person's key or a service account's key.
fn actor(world: &World, chance: Chance) -> Value {
    let user = &world.users[chance.of("actor").index(world.users.len())];
    let person = json!({"id": user.id, "email": user.email});
    let key = projects::key_id(world, 0, chance.of("actor key").index(6));
    match chance.of("actor type").below(4) {
        0 => json!({"type": "api_key", "api_key": {"id": key, "type": "user", "user": person}}),
        1 => json!({"type": "api_key", "api_key": {
            "id": key, "type": "service_account",
            "service_account": {"id": projects::service_account_id(world, 0, 0)},
        }}),
        _ => json!({"type": "session", "session": {
            "user": person,
            "ip_address": format!("203.0.113.{}", chance.of("address").below(256)),
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
            "ja3": "a497151ce4338a12c4418c44d375173e",
            "ja4": "q13d0313h3_55b375c5d22e_c7319ce65786",
            "ip_address_details": {
                "country": "US", "city": "San Francisco", "region": "California",
                "region_code": "CA", "asn": "1234",
                "latitude": "37.77490", "longitude": "-122.41940",
            },
        }}),
    }
}

fn filled(world: &World, chance: Chance, template: &Value) -> Value {
    match template {
        Value::String(text) => match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            Some(name) => blank(world, chance, name).into(),
            None => template.clone(),
        },
        Value::Array(items) => {
            let items = items.iter().map(|item| filled(world, chance, item));
            Value::Array(items.collect())
        }
        Value::Object(members) => {
            let members = members.iter();
            let filled = members.map(|(name, value)| (name.clone(), filled(world, chance, value)));
            Value::Object(filled.collect())
        }
        other => other.clone(),
    }
}

/// What stands in a template for something of the organization.
fn blank(world: &World, chance: Chance, name: &str) -> String {
    let user = &world.users[chance.of("user").index(world.users.len())];
    let group = chance.of("group").index(identity::group_count(world));
    match name {
        "user" => user.id.clone(),
        "email" => user.email.clone(),
        "project" => {
            let project = chance.of("payload project").index(world.projects.len());
            world.project_id(project).to_owned()
        }
        "key" => projects::key_id(world, 0, chance.of("key").index(6)),
        "service_account" => projects::service_account_id(world, 0, 0),
        "group" => identity::group_id(world, group),
        "group_name" => identity::group_name(group),
        "role" => roles::custom_role_id(world, chance.of("role").index(4)),
        "organization" => ORGANIZATION.to_owned(),
        other => chance.of(other).id(other.trim_start_matches("id:"), 16),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_type_has_a_template() {
        assert_eq!(kinds().len(), 149);
        assert_eq!(kinds().iter().filter(|kind| is_tenant_scoped(&kind.r#type)).count(), 90);
    }
}
