//! Roles and who has them: in the organization, and in each project.

use serde_json::{Value, json};

use super::identity::{self, counted};
use super::place::Place;
use super::projects;
use super::query::Query;
use super::refusal::Refusal;
use super::route::{Answer, Key, Limit, Listing, Order, Route, Row, Style, limit};
use super::world::{DAY, World};

/// The default of the assignment lists is not documented.
const ASSIGNMENTS: Limit = limit(0, 100, 1_000);

pub(super) const ROUTES: &[Route] = &[
    Route {
        table: "roles",
        path: "/organization/roles",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: organization_roles,
            record: |world, _, at| organization_role(world, at).record(world),
            style: Style::Next,
            limit: limit(0, 1_000, 1_000),
            order: Order::Ascending,
        }),
    },
    Route {
        table: "user_role_assignments",
        path: "/organization/users/{users.id}/roles",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: |world, place, _| Ok(rows(world, None, &of_user(place.user))),
            record: |world, place, at| {
                let holder = Holder::User(place.user);
                organization_role(world, at).assigned(world, at, holder)
            },
            style: Style::Next,
            limit: ASSIGNMENTS,
            order: Order::Ascending,
        }),
    },
    Route {
        table: "group_role_assignments",
        path: "/organization/groups/{groups.id}/roles",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: |world, place, _| Ok(rows(world, None, &of_group(place.group))),
            record: |world, place, at| {
                let holder = Holder::Group(place.group);
                organization_role(world, at).assigned(world, at, holder)
            },
            style: Style::Next,
            limit: ASSIGNMENTS,
            order: Order::Ascending,
        }),
    },
    Route {
        table: "project_roles",
        path: "/projects/{projects.id}/roles",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: project_roles,
            record: |world, place, at| project_role(world, place.project, at).record(world),
            style: Style::Next,
            limit: limit(0, 1_000, 1_000),
            order: Order::Ascending,
        }),
    },
    Route {
        table: "project_user_role_assignments",
        path: "/projects/{projects.id}/users/{project_users.id}/roles",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: project_user_roles,
            record: |world, place, at| {
                let holder = Holder::User(place.user);
                project_role(world, place.project, at).assigned(world, at, holder)
            },
            style: Style::Next,
            limit: ASSIGNMENTS,
            order: Order::Ascending,
        }),
    },
    Route {
        table: "project_group_role_assignments",
        path: "/projects/{projects.id}/groups/{project_groups.group_id}/roles",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: |world, place, _| {
                let held: &[usize] = if place.group % 2 == 0 { &[1] } else { &[1, 3] };
                Ok(rows(world, Some(place.project), held))
            },
            record: |world, place, at| {
                let holder = Holder::Group(place.group);
                project_role(world, place.project, at).assigned(world, at, holder)
            },
            style: Style::Next,
            limit: ASSIGNMENTS,
            order: Order::Ascending,
        }),
    },
];

/// Predefined roles: (id, name, permissions). The same ids in every organization and project.
type Predefined = (&'static str, &'static str, &'static [&'static str]);

const IN_ORGANIZATION: [Predefined; 2] = [
    ("role-api-organization-owner", "owner", &["api.management.read", "api.management.write"]),
    ("role-api-organization-reader", "reader", &["api.management.read"]),
];
const IN_PROJECT: [Predefined; 3] = [
    ("role-api-project-owner", "owner", &["api.project.read", "api.project.write", "api.model.request"]),
    ("role-api-project-member", "member", &["api.project.read", "api.model.request"]),
    ("role-api-project-viewer", "viewer", &["api.project.read"]),
];
const CUSTOM: [(&str, &[&str]); 4] = [
    ("Group manager", &["api.groups.read", "api.groups.write"]),
    ("Cost reader", &["api.usage.read"]),
    ("Key rotation", &["api.keys.read", "api.keys.write"]),
    ("Auditor", &["api.audit_logs.read"]),
];

struct Role {
    id: String,
    name: String,
    permissions: &'static [&'static str],
    resource_type: &'static str,
    predefined: bool,
}

/// Whose assignment is shown.
enum Holder {
    User(usize),
    Group(usize),
}

impl Role {
    fn named(&self, world: &World) -> String {
        let renamed = world.changes.renamed.get(&self.id);
        renamed.unwrap_or(&self.name).clone()
    }

    fn description(&self) -> Option<String> {
        (!self.predefined).then(|| format!("Allows {}", self.permissions.join(" and ")))
    }

    fn record(&self, world: &World) -> Value {
        json!({
            "object": "role",
            "id": self.id,
            "name": self.named(world),
            "description": self.description(),
            "permissions": self.permissions,
            "resource_type": self.resource_type,
            "predefined_role": self.predefined,
        })
    }

    /// The role as an assignment shows it. `assignment_sources` is required by the
    /// documents and missing in their example: so it is here for some.
    fn assigned(&self, world: &World, at: usize, holder: Holder) -> Value {
        let author = &world.users[0];
        let created_at = (!self.predefined).then(|| world.today - (90 + at as i64) * DAY);
        let mut record = json!({
            "id": self.id,
            "name": self.named(world),
            "permissions": self.permissions,
            "resource_type": self.resource_type,
            "predefined_role": self.predefined,
            "description": self.description(),
            "created_at": created_at,
            "updated_at": created_at.map(|at| at + DAY),
            "created_by": created_at.map(|_| &author.id),
            "created_by_user_obj": created_at.map(|_| json!({
                "id": author.id, "name": author.name, "email": author.email,
            })),
            "metadata": (!self.predefined).then(|| json!({"cost_center": "simulated"})),
            "assignment_sources": sources(world, at, &holder),
        });
        let number = match holder {
            Holder::User(number) | Holder::Group(number) => number,
        };
        if number % 5 == 4
            && let Some(members) = record.as_object_mut()
        {
            members.remove("assignment_sources");
        }
        record
    }
}

/// A role comes directly, or to a user through a group.
fn sources(world: &World, role: usize, holder: &Holder) -> Value {
    match *holder {
        Holder::User(user) if role == 3 => json!([
            {"principal_id": world.user_id(user), "principal_type": "user"},
            {"principal_id": identity::group_id(world, 0), "principal_type": "group"},
        ]),
        Holder::User(user) => {
            json!([{"principal_id": world.user_id(user), "principal_type": "user"}])
        }
        Holder::Group(group) if group % 5 == 2 => Value::Null,
        Holder::Group(group) => {
            json!([{"principal_id": identity::group_id(world, group), "principal_type": "group"}])
        }
    }
}

fn organization_role(world: &World, at: usize) -> Role {
    role(world, "organization role", at, &IN_ORGANIZATION, "api.organization")
}

fn project_role(world: &World, project: usize, at: usize) -> Role {
    let branch = format!("role of project {project}");
    role(world, &branch, at, &IN_PROJECT, "api.project")
}

fn role(world: &World, branch: &str, at: usize, predefined: &[Predefined], resource_type: &'static str) -> Role {
    if let Some(&(id, name, permissions)) = predefined.get(at) {
        return Role { id: id.to_owned(), name: name.to_owned(), permissions, resource_type, predefined: true };
    }
    let (name, permissions) = CUSTOM[at % CUSTOM.len()];
    Role {
        id: world.chance.of(branch).at(at as u64).id("role_", 26),
        name: format!("{name} {at}"),
        permissions,
        resource_type,
        predefined: false,
    }
}

pub(super) fn custom_role_id(world: &World, number: usize) -> String {
    organization_role(world, IN_ORGANIZATION.len() + number % CUSTOM.len()).id
}

pub(super) fn custom_role_name(world: &World, number: usize) -> String {
    organization_role(world, IN_ORGANIZATION.len() + number % CUSTOM.len()).named(world)
}

fn organization_roles(world: &World, _: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    let count = IN_ORGANIZATION.len() + CUSTOM.len();
    Ok(counted(count, |at| organization_role(world, at).id))
}

fn project_roles(world: &World, place: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    let count = IN_PROJECT.len() + 1 + place.project % 2;
    Ok(counted(count, |at| project_role(world, place.project, at).id))
}

fn of_user(user: usize) -> Vec<usize> {
    let mut held = vec![usize::from(user != 0)];
    held.extend(user.is_multiple_of(3).then_some(2));
    held.extend(user.is_multiple_of(4).then_some(3));
    held
}

fn of_group(group: usize) -> Vec<usize> {
    let mut held = vec![2 + group % CUSTOM.len()];
    held.extend(group.is_multiple_of(2).then_some(1));
    held.sort_unstable();
    held
}

fn project_user_roles(world: &World, place: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    let owner = projects::member_role(world, place.project, place.user) == "owner";
    let mut held = vec![usize::from(!owner)];
    held.extend((place.user % 3 == 1).then_some(3));
    Ok(rows(world, Some(place.project), &held))
}

fn rows(world: &World, project: Option<usize>, held: &[usize]) -> Vec<Row> {
    let id = |at| match project {
        Some(project) => project_role(world, project, at).id,
        None => organization_role(world, at).id,
    };
    let rows = held.iter().map(|&at| Row { id: id(at), at });
    rows.collect()
}
