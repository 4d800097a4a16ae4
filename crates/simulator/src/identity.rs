//! People and what opens the door: users, invites, groups, admin API keys.

use serde_json::{Value, json};

use super::place::Place;
use super::projects;
use super::query::Query;
use super::refusal::Refusal;
use super::route::{Answer, Key, Listing, Order, Route, Row, Style, limit};
use super::world::{DAY, World};

pub(super) const ROUTES: &[Route] = &[
    Route {
        table: "users",
        path: "/organization/users",
        key: Key::Admin,
        params: &["emails"],
        fullest: "",
        answer: Answer::List(Listing {
            rows: users,
            record: user,
            style: Style::LastId,
            limit: limit(1, 20, 100),
            order: Order::Fixed,
        }),
    },
    Route {
        table: "invites",
        path: "/organization/invites",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: invites,
            record: invite,
            style: Style::LastId,
            limit: limit(1, 20, 100),
            order: Order::Fixed,
        }),
    },
    Route {
        table: "groups",
        path: "/organization/groups",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: groups,
            record: group,
            style: Style::Next,
            limit: limit(0, 100, 1_000),
            order: Order::Ascending,
        }),
    },
    Route {
        table: "group_users",
        path: "/organization/groups/{groups.id}/users",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: group_users,
            record: group_user,
            style: Style::Next,
            limit: limit(0, 100, 1_000),
            order: Order::Descending,
        }),
    },
    Route {
        table: "admin_api_keys",
        path: "/organization/admin_api_keys",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: admin_keys,
            record: admin_key,
            style: Style::LastId,
            limit: limit(1, 20, 100),
            order: Order::Ascending,
        }),
    },
];

/// The rows of a list whose records are simply numbered.
pub(super) fn counted(count: usize, id: impl Fn(usize) -> String) -> Vec<Row> {
    let rows = (0..count).map(|at| Row { id: id(at), at });
    rows.collect()
}

/// The rows of a list of users.
pub(super) fn people(world: &World, users: impl IntoIterator<Item = usize>) -> Vec<Row> {
    let rows = users.into_iter().map(|at| Row { id: world.user_id(at).to_owned(), at });
    rows.collect()
}

fn users(world: &World, _: &Place, query: &Query) -> Result<Vec<Row>, Refusal> {
    let emails = query.all("emails");
    let wanted = |&user: &usize| emails.is_empty() || emails.contains(&world.users[user].email.as_str());
    Ok(people(world, world.present().filter(wanted)))
}

fn user(world: &World, _: &Place, at: usize) -> Value {
    let user = &world.users[at];
    let chance = world.chance.of("user details").at(at as u64);
    let banned = at % 23 == 6;
    let mut record = json!({
        "object": "organization.user",
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "role": if at == 0 { "owner" } else { "reader" },
        "added_at": user.added_at,
        "is_default": at == 0,
        "created": user.added_at - 7 * DAY,
        "user": {
            "object": "user",
            "id": user.id,
            "email": user.email,
            "name": user.name,
            "picture": at.is_multiple_of(3).then(|| format!("https://example.com/pictures/{at}.png")),
            "enabled": !banned,
            "banned": banned,
            "banned_at": banned.then(|| world.today - 3 * DAY),
        },
        "is_service_account": at % 19 == 18,
        "is_scale_tier_authorized_purchaser": (at % 4 != 3).then_some(at.is_multiple_of(4)),
        "is_scim_managed": at.is_multiple_of(5),
        "api_key_last_used_at": (at % 3 != 2).then(|| world.today - chance.between(60, 20 * DAY)),
        "technical_level": at.is_multiple_of(2).then(|| chance.of("level").pick(&["beginner", "advanced"])),
        "developer_persona": (at % 4 == 1).then_some("data_scientist"),
        "projects": projects_of(world, at),
    });
    // The documents' own example has only the required members: so have a few of these.
    if at % 11 == 10
        && let Some(members) = record.as_object_mut()
    {
        for optional in ["user", "projects", "technical_level", "created"] {
            members.remove(optional);
        }
    }
    record
}

/// `projects` is documented as "if included": it is, for some users.
fn projects_of(world: &World, user: usize) -> Value {
    if !user.is_multiple_of(5) {
        return Value::Null;
    }
    let mine: Vec<Value> = world
        .active_projects()
        .take(50)
        .filter(|&project| projects::members(world, project).contains(&user))
        .map(|project| {
            json!({
                "id": world.project_id(project),
                "name": world.projects[project].name,
                "role": projects::member_role(world, project, user),
            })
        })
        .collect();
    json!({"object": "list", "data": mine})
}

fn invite_count(world: &World) -> usize {
    world.users.len() / 4 + 5
}

fn invite_id(world: &World, at: usize) -> String {
    world.chance.of("invite").at(at as u64).id("invite-", 24)
}

/// The first invite that nobody has answered yet.
pub(super) fn pending_invite(world: &World) -> Option<(usize, String)> {
    let open = |&at: &usize| at % 3 == 0 && !world.changes.accepted.contains_key(&at);
    let found = (0..invite_count(world)).find(open)?;
    Some((found, invite_id(world, found)))
}

fn invites(world: &World, _: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    Ok(counted(invite_count(world), |at| invite_id(world, at)))
}

fn invite(world: &World, _: &Place, at: usize) -> Value {
    let chance = world.chance.of("invite details").at(at as u64);
    let created_at = world.today - chance.between(DAY, 20 * DAY);
    let accepted = world.changes.accepted.get(&at).copied();
    let accepted = accepted.or((at % 3 == 1).then_some(created_at + 3_600));
    let status = match (accepted, at % 3) {
        (Some(_), _) => "accepted",
        (None, 0) => "pending",
        _ => "expired",
    };
    let projects: Vec<Value> = world
        .active_projects()
        .skip(at % 3)
        .take(at % 3)
        .map(|project| json!({"id": world.project_id(project), "role": "member"}))
        .collect();
    json!({
        "object": "organization.invite",
        "id": invite_id(world, at),
        "email": format!("newcomer{at}@example.com"),
        "role": if at % 7 == 6 { "owner" } else { "reader" },
        "status": status,
        "created_at": created_at,
        "expires_at": (at % 9 != 8).then_some(created_at + 7 * DAY),
        "accepted_at": accepted,
        "projects": projects,
    })
}

pub(super) fn group_count(world: &World) -> usize {
    world.users.len() / 8 + 3
}

pub(super) fn group_id(world: &World, at: usize) -> String {
    world.chance.of("group").at(at as u64).id("group_", 26)
}

pub(super) fn group_number(world: &World, id: &str) -> Option<usize> {
    (0..group_count(world)).find(|&at| group_id(world, at) == id)
}

pub(super) fn group_name(at: usize) -> String {
    const NAMES: [&str; 5] = ["Support", "Engineering", "Finance", "Research", "Security"];
    format!("{} team {}", NAMES[at % NAMES.len()], at / NAMES.len() + 1)
}

pub(super) fn group_type(at: usize) -> &'static str {
    if at % 4 == 3 { "tenant_group" } else { "group" }
}

fn groups(world: &World, _: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    Ok(counted(group_count(world), |at| group_id(world, at)))
}

fn group(world: &World, _: &Place, at: usize) -> Value {
    let chance = world.chance.of("group details").at(at as u64);
    json!({
        "object": "group",
        "id": group_id(world, at),
        "name": group_name(at),
        "created_at": world.today - chance.between(40 * DAY, 400 * DAY),
        "is_scim_managed": at % 3 == 1,
        "group_type": group_type(at),
    })
}

/// The first group is large; the others hold a few people each.
pub(super) fn group_members(world: &World, group: usize) -> Vec<usize> {
    let (size, stride) = if group == 0 { (120, 1) } else { (2 + group % 5, 3) };
    let mut members = Vec::new();
    for number in 0..size.min(world.users.len()) {
        let user = (group * 7 + number * stride) % world.users.len();
        if world.is_here(user) && !members.contains(&user) {
            members.push(user);
        }
    }
    members
}

fn group_users(world: &World, place: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    Ok(people(world, group_members(world, place.group)))
}

fn group_user(world: &World, _: &Place, at: usize) -> Value {
    let user = &world.users[at];
    let email = (at % 13 != 12).then_some(&user.email);
    json!({"id": user.id, "name": user.name, "email": email})
}

fn admin_key_id(world: &World, at: usize) -> String {
    world.chance.of("admin key").at(at as u64).id("key_", 16)
}

fn admin_keys(world: &World, _: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    Ok(counted(7, |at| admin_key_id(world, at)))
}

fn admin_key(world: &World, _: &Place, at: usize) -> Value {
    let created_at = world.today - (200 - at as i64) * DAY;
    let owner = if at.is_multiple_of(2) {
        let user = &world.users[at % world.users.len()];
        json!({
            "type": "user", "object": "organization.user", "id": user.id, "name": user.name,
            "created_at": user.added_at, "role": "owner",
        })
    } else {
        json!({
            "type": "service_account", "object": "organization.service_account",
            "id": world.chance.of("admin account").at(at as u64).id("sa_", 16),
            "name": "Nightly job", "created_at": created_at, "role": "member",
        })
    };
    json!({
        "object": "organization.admin_api_key",
        "id": admin_key_id(world, at),
        "name": (at != 5).then(|| format!("Admin key {}", at + 1)),
        "redacted_value": format!("sk-admin-***{at:03}"),
        "created_at": created_at,
        "expires_at": (at % 3 == 1).then_some(created_at + 365 * DAY),
        "last_used_at": (at != 6).then_some(world.today - at as i64 * 60),
        "owner": owner,
    })
}
