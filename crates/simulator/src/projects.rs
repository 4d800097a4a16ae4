//! Projects and who works in them: members, groups, service accounts, API keys.
//! The first project is a large one, so that its lists need several pages.

use serde_json::{Value, json};

use super::identity::{self, counted, people};
use super::place::Place;
use super::query::Query;
use super::random::Chance;
use super::refusal::Refusal;
use super::route::{Answer, Key, Listing, Order, Route, Row, Style, limit};
use super::world::{DAY, World};

pub(super) const ROUTES: &[Route] = &[
    Route {
        table: "projects",
        path: "/organization/projects",
        key: Key::Admin,
        params: &["include_archived"],
        fullest: "include_archived=true",
        answer: Answer::List(Listing {
            rows: projects,
            record: |world, _, at| project(world, at),
            style: Style::LastId,
            limit: limit(1, 20, 100),
            order: Order::Fixed,
        }),
    },
    Route {
        table: "project_users",
        path: "/organization/projects/{projects.id}/users",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: |world, place, _| Ok(people(world, members(world, place.project))),
            record: project_user,
            style: Style::LastId,
            limit: limit(1, 20, 100),
            order: Order::Fixed,
        }),
    },
    Route {
        table: "project_groups",
        path: "/organization/projects/{projects.id}/groups",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: project_groups,
            record: project_group,
            style: Style::Next,
            limit: limit(0, 20, 100),
            order: Order::Ascending,
        }),
    },
    Route {
        table: "project_service_accounts",
        path: "/organization/projects/{projects.id}/service_accounts",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: service_accounts,
            record: |world, place, at| service_account(world, place.project, at),
            style: Style::LastId,
            limit: limit(1, 20, 100),
            order: Order::Fixed,
        }),
    },
    Route {
        table: "project_api_keys",
        path: "/organization/projects/{projects.id}/api_keys",
        key: Key::Admin,
        params: &["owner_project_access"],
        fullest: "owner_project_access=any",
        answer: Answer::List(Listing {
            rows: api_keys,
            record: |world, place, at| api_key(world, place.project, at),
            style: Style::LastId,
            limit: limit(1, 20, 100),
            order: Order::Fixed,
        }),
    },
];

const RESIDENCIES: [&str; 15] = [
    "GLOBAL",
    "US_STORAGE_PROCESSING",
    "EU_STORAGE_PROCESSING",
    "JP_STORAGE",
    "KR_STORAGE",
    "CA_STORAGE",
    "SG_STORAGE",
    "IN_STORAGE",
    "AU_STORAGE",
    "GB_STORAGE",
    "AE_STORAGE",
    "AE_STORAGE_PROCESSING",
    "AU_STORAGE_PROCESSING",
    "IN_STORAGE_PROCESSING",
    "JP_STORAGE_PROCESSING",
];

/// The branch of everything that belongs to a project.
pub(super) fn within(world: &World, project: usize, what: &str) -> Chance {
    world.chance.of("in project").at(project as u64).of(what)
}

fn projects(world: &World, _: &Place, query: &Query) -> Result<Vec<Row>, Refusal> {
    let all = query.boolean("include_archived")?.unwrap_or(false);
    let shown = (0..world.projects.len()).filter(|&at| all || world.is_active(at));
    let rows = shown.map(|at| Row { id: world.project_id(at).to_owned(), at });
    Ok(rows.collect())
}

fn project(world: &World, at: usize) -> Value {
    let project = &world.projects[at];
    let archived_at = world.archived_at(at);
    let mut record = json!({
        "id": project.id,
        "object": "organization.project",
        "name": (at % 29 != 28).then_some(&project.name),
        "created_at": project.created_at,
        "archived_at": archived_at,
        "status": if archived_at.is_some() { "archived" } else { "active" },
        "external_key_id": (at % 6 == 2).then(|| world.chance.of("external key").at(0).id("ek_", 16)),
    });
    if at % 4 != 3
        && let Some(members) = record.as_object_mut()
    {
        let residency = RESIDENCIES[at % RESIDENCIES.len()];
        members.insert("residency".to_owned(), residency.into());
    }
    record
}

/// The users of a project that are still in the organization.
pub(super) fn members(world: &World, project: usize) -> Vec<usize> {
    let mut members = members_ever(world, project);
    members.retain(|&user| world.is_here(user));
    members
}

/// Also those who left since the start: what they did stays theirs. The first one is the owner.
fn members_ever(world: &World, project: usize) -> Vec<usize> {
    let all = world.users.len();
    let chance = within(world, project, "members");
    let (size, stride) =
        if project == 0 { (130.min(all), 1) } else { (2 + chance.index(7), 1 + chance.of("stride").index(all - 1)) };
    let first = if project == 0 { 0 } else { chance.of("first").index(all) };
    let mut members = Vec::with_capacity(size);
    for number in 0..size {
        let user = (first + number * stride) % all;
        if !members.contains(&user) {
            members.push(user);
        }
    }
    members
}

pub(super) fn member_role(world: &World, project: usize, user: usize) -> &'static str {
    match members_ever(world, project).first() {
        Some(&first) if first == user => "owner",
        _ => "member",
    }
}

fn project_user(world: &World, place: &Place, at: usize) -> Value {
    let user = &world.users[at];
    json!({
        "object": "organization.project.user",
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "role": member_role(world, place.project, at),
        "added_at": user.added_at.max(world.projects[place.project].created_at),
    })
}

/// The groups that have access to a project.
pub(super) fn groups_of(world: &World, project: usize) -> Vec<usize> {
    let all = identity::group_count(world);
    if project == 0 {
        return (0..all).collect();
    }
    let first = within(world, project, "groups").index(all);
    let count = (1 + project % 3).min(all);
    (0..count).map(|number| (first + number) % all).collect()
}

fn project_groups(world: &World, place: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    let groups = groups_of(world, place.project).into_iter();
    let rows = groups.map(|at| Row { id: identity::group_id(world, at), at });
    Ok(rows.collect())
}

fn project_group(world: &World, place: &Place, at: usize) -> Value {
    json!({
        "object": "project.group",
        "project_id": world.project_id(place.project),
        "group_id": identity::group_id(world, at),
        "group_name": identity::group_name(at),
        "group_type": identity::group_type(at),
        "created_at": world.today - (10 + (at as i64) % 50) * DAY,
    })
}

fn service_account_count(project: usize) -> usize {
    if project == 0 { 105 } else { 1 + project % 3 }
}

pub(super) fn service_account_id(world: &World, project: usize, at: usize) -> String {
    within(world, project, "service account").at(at as u64).id("svc_acct_", 20)
}

fn service_accounts(world: &World, place: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    Ok(counted(service_account_count(place.project), |at| service_account_id(world, place.project, at)))
}

fn service_account(world: &World, project: usize, at: usize) -> Value {
    let chance = within(world, project, "service account details").at(at as u64);
    json!({
        "object": "organization.project.service_account",
        "id": service_account_id(world, project, at),
        "name": format!("Service account {}", at + 1),
        "role": (["member", "owner", "none"][at % 3]),
        "created_at": world.today - chance.between(10 * DAY, 60 * DAY),
    })
}

pub(super) fn key_count(world: &World, project: usize) -> usize {
    if project == 0 {
        return 130;
    }
    3 + within(world, project, "keys").index(5)
}

pub(super) fn key_id(world: &World, project: usize, key: usize) -> String {
    within(world, project, "key").at(key as u64).id("key_", 16)
}

/// The keys of a project that nobody has deleted.
pub(super) fn keys(world: &World, project: usize) -> impl Iterator<Item = usize> + '_ {
    let gone = &world.changes.gone_keys;
    (0..key_count(world, project)).filter(move |&key| !gone.contains(&(project, key)))
}

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Owner {
    User(usize),
    ServiceAccount(usize),
    /// Somebody who left long ago; the key works on.
    Former,
}

pub(super) fn key_owner(world: &World, project: usize, key: usize) -> Owner {
    if key % 3 == 2 {
        return Owner::ServiceAccount(key % service_account_count(project));
    }
    if key % 7 == 1 {
        return Owner::Former;
    }
    let members = members_ever(world, project);
    match members.get(key % members.len().max(1)) {
        Some(&user) => Owner::User(user),
        None => Owner::Former,
    }
}

pub(super) fn former_member(world: &World, project: usize) -> String {
    within(world, project, "former member").id("user-", 24)
}

fn is_open(world: &World, project: usize, key: usize) -> bool {
    match key_owner(world, project, key) {
        Owner::User(user) => world.is_here(user),
        Owner::ServiceAccount(_) => true,
        Owner::Former => false,
    }
}

/// Without `owner_project_access`, keys whose owner has no access are held back.
fn api_keys(world: &World, place: &Place, query: &Query) -> Result<Vec<Row>, Refusal> {
    let project = place.project;
    let access = query.one_of("owner_project_access", &["active", "inactive", "any"])?;
    let rows = keys(world, project)
        .filter(|&key| match access {
            Some("any") => true,
            Some("inactive") => !is_open(world, project, key),
            _ => is_open(world, project, key),
        })
        .map(|at| Row { id: key_id(world, project, at), at });
    Ok(rows.collect())
}

fn api_key(world: &World, project: usize, at: usize) -> Value {
    let chance = within(world, project, "key details").at(at as u64);
    let created_at = world.today - chance.between(20 * DAY, 50 * DAY);
    let open = is_open(world, project, at);
    json!({
        "object": "organization.project.api_key",
        "redacted_value": format!("sk-proj-***{at:03}"),
        "name": format!("Key {}", at + 1),
        "created_at": created_at,
        "last_used_at": (at % 4 != 3).then(|| world.today - chance.of("used").between(0, 10 * DAY)),
        "expires_at": at.is_multiple_of(5).then_some(created_at + 180 * DAY),
        "id": key_id(world, project, at),
        "owner_project_access": if open { "active" } else { "inactive" },
        "owner": owner(world, project, key_owner(world, project, at)),
    })
}

fn owner(world: &World, project: usize, owner: Owner) -> Value {
    match owner {
        Owner::ServiceAccount(at) => {
            let account = service_account(world, project, at);
            json!({"type": "service_account", "service_account": {
                "id": account["id"], "name": account["name"],
                "created_at": account["created_at"], "role": account["role"],
            }})
        }
        Owner::User(at) => {
            let user = &world.users[at];
            json!({"type": "user", "user": {
                "id": user.id, "email": user.email, "name": user.name,
                "created_at": user.added_at, "role": member_role(world, project, at),
            }})
        }
        Owner::Former => json!({"type": "user", "user": {
            "id": former_member(world, project),
            "email": "former.member@example.com", "name": "Former Member",
            "created_at": world.today - 700 * DAY, "role": "member",
        }}),
    }
}
