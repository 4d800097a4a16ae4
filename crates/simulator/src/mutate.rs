//! What a day brings: people leave, keys go, numbers are restated, late events turn up.
//! Which ones is again a function of the seed and of how many days have passed.

use super::audit;
use super::identity;
use super::mutate_surfaces;
use super::projects;
use super::roles;
use super::world::{DAY, KEYED, World};

/// Days whose numbers are still restated, today included.
const RESTATED_DAYS: i64 = 3;
/// An organization keeps at least so many active projects and users.
const FEWEST: usize = 3;

/// Lets one day happen; gives plain sentences of what changed.
pub(super) fn day(world: &mut World) -> Vec<String> {
    world.changes.days += 1;
    let told = [leave(world), delete_key(world), archive(world), accept(world), rename(world), Some(restate(world))];
    let mut told: Vec<String> = told.into_iter().flatten().collect();
    told.extend(log(world));
    told.extend(mutate_surfaces::day(world));
    told
}

/// Somebody of the first project, which everybody of a small organization is in.
fn leave(world: &mut World) -> Option<String> {
    let members = projects::members(world, 0);
    if members.len() <= FEWEST {
        return None;
    }
    let chance = world.chance.of("leaver").at(world.changes.days);
    let user = members[1 + chance.index(members.len() - 1)];
    world.changes.gone_users.insert(user);
    let id = world.user_id(user);
    Some(format!("User {id} left, and with them their project memberships, group memberships and role assignments."))
}

fn delete_key(world: &mut World) -> Option<String> {
    let active: Vec<usize> = world.active_projects().collect();
    let chance = world.chance.of("deleted key").at(world.changes.days);
    let project = *active.get(chance.index(active.len()))?;
    let key = projects::keys(world, project).next()?;
    world.changes.gone_keys.insert((project, key));
    let (key, project) = (projects::key_id(world, project, key), world.project_id(project));
    Some(format!("API key {key} of project {project} was deleted."))
}

/// Never one of those with a key, nor the last one.
fn archive(world: &mut World) -> Option<String> {
    let active: Vec<usize> = world.active_projects().collect();
    if active.len() <= FEWEST {
        return None;
    }
    let candidates = active.get(KEYED..active.len() - 1).unwrap_or_default();
    let chance = world.chance.of("archived").at(world.changes.days);
    let project = *candidates.get(chance.index(candidates.len()))?;
    let now = world.now();
    world.changes.archived.insert(project, now);
    Some(format!("Project {} was archived.", world.project_id(project)))
}

fn accept(world: &mut World) -> Option<String> {
    let (invite, id) = identity::pending_invite(world)?;
    let now = world.now();
    world.changes.accepted.insert(invite, now);
    Some(format!("Invite {id} was accepted."))
}

fn rename(world: &mut World) -> Option<String> {
    let number = usize::try_from(world.changes.days).unwrap_or(0);
    let id = roles::custom_role_id(world, number);
    let old = roles::custom_role_name(world, number);
    let new = format!("{old}, renamed");
    world.changes.renamed.insert(id.clone(), new.clone());
    Some(format!("Role {id} was renamed from '{old}' to '{new}'."))
}

fn restate(world: &mut World) -> String {
    let now = world.now();
    let midnight = now - now.rem_euclid(DAY);
    for back in 0..RESTATED_DAYS {
        *world.changes.restated.entry(midnight - back * DAY).or_default() += 1;
    }
    format!(
        "Usage and costs of the last {RESTATED_DAYS} days were restated: some values changed, \
         one row of each day disappeared, one appeared."
    )
}

/// Events at this moment, and some that only now become visible.
fn log(world: &mut World) -> Vec<String> {
    let now = world.now();
    let shared = audit::busy_second(world, now - 1_200..now - 180).unwrap_or(now - 300);
    let news = [
        ("user.deleted", now),
        ("api_key.deleted", now),
        ("project.archived", now),
        ("invite.accepted", now),
        ("role.updated", now),
        ("tenant.user.removed", now),
        ("login.succeeded", shared),
        ("login.failed", shared),
        ("tenant.user.looked_up", shared),
        ("api_key.created", now - 240),
        ("service_account.created", now - 240),
        ("group.updated", now - 1_800),
    ];
    audit::append(world, &news);
    vec![
        "6 audit events happened at this moment.".to_owned(),
        format!("3 late audit events turned up, all in the second {shared}."),
        "2 late audit events turned up from 4 minutes ago, and 1 from 30 minutes ago.".to_owned(),
    ]
}
