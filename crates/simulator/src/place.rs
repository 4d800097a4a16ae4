//! Where a request stands: the parents that its path names, checked and found.

use super::collection;
use super::fine_tuning;
use super::governance;
use super::identity;
use super::projects;
use super::query::Query;
use super::refusal::Refusal;
use super::route::{self, Answer};
use super::world::{ORGANIZATION, World};

/// The parents of a path. A number is only meaningful where the path names such a parent.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// As the path gave them: (`projects.id`, `proj_...`).
    pub(super) values: Vec<(&'static str, String)>,
    /// The position of each of these among its like.
    pub(super) numbers: Vec<usize>,
    pub(super) project: usize,
    pub(super) workspace: usize,
    /// Whose records these are, where they are somebody's.
    pub(super) person: Option<usize>,
    pub(super) user: usize,
    pub(super) group: usize,
    pub(super) provider: usize,
    /// A fine-tuning job of the project.
    pub(super) job: usize,
    /// A checkpoint of the job.
    pub(super) checkpoint: usize,
}

impl Place {
    /// Goes down to one more parent.
    pub(super) fn enter(&mut self, world: &World, parent: &'static str, id: &str) -> Result<(), Refusal> {
        let missing = || Refusal::not_found(format!("No {} found with id '{id}'.", noun(parent)));
        match parent {
            "projects.id" => self.project = open_project(world, id)?,
            "users.id" => self.user = world.user_number(id).ok_or_else(missing)?,
            "project_users.id" => {
                let user = world.user_number(id).ok_or_else(missing)?;
                if !projects::members(world, self.project).contains(&user) {
                    return Err(missing());
                }
                self.user = user;
            }
            "groups.id" => self.group = identity::group_number(world, id).ok_or_else(missing)?,
            "project_groups.group_id" => {
                let group = identity::group_number(world, id).ok_or_else(missing)?;
                if !projects::groups_of(world, self.project).contains(&group) {
                    return Err(missing());
                }
                self.group = group;
            }
            "workload_identity_providers.id" => {
                self.provider = governance::provider_number(world, id).ok_or_else(missing)?;
            }
            "fine_tuning_jobs.id" => {
                self.job = fine_tuning::job_number(world, self.project, id).ok_or_else(missing)?;
            }
            "fine_tuning_job_checkpoints.fine_tuned_model_checkpoint" => {
                let (project, job, checkpoint) = fine_tuning::find_checkpoint(world, id).ok_or_else(missing)?;
                (self.project, self.job, self.checkpoint) = (project, job, checkpoint);
            }
            "key.workspace" => self.workspace = world.workspace_number(id).ok_or_else(missing)?,
            "key.organization" if id == ORGANIZATION => {}
            // Looked up among the files of that moment when it is told.
            // What these are is looked up by the answer itself.
            "log_files.id" | "chatgpt_files.id" => {}
            _ => {
                let known = candidates(world, self, parent);
                let number = known.iter().position(|known| known == id).ok_or_else(missing)?;
                self.numbers.push(number);
                if parent == "chatgpt_users.id" {
                    self.person = world.user_number(id);
                }
                self.values.push((parent, id.to_owned()));
                return Ok(());
            }
        }
        self.numbers.push(match parent {
            "fine_tuning_jobs.id" => self.job,
            _ => 0,
        });
        self.values.push((parent, id.to_owned()));
        Ok(())
    }

    /// What a parent is bound to.
    pub(super) fn value(&self, parent: &str) -> Option<&str> {
        let found = self.values.iter().find(|(name, _)| *name == parent);
        found.map(|(_, value)| value.as_str())
    }
}

/// An archived project is there, but nothing below it can be read.
fn open_project(world: &World, id: &str) -> Result<usize, Refusal> {
    let missing = || Refusal::not_found(format!("Project with id '{id}' not found."));
    let project = world.project_number(id).ok_or_else(missing)?;
    match world.is_active(project) {
        true => Ok(project),
        false if project % 2 == 0 => Err(missing()),
        false => Err(Refusal::forbidden(format!("Project '{id}' is archived."))),
    }
}

fn noun(parent: &str) -> &str {
    parent.split('.').next().unwrap_or(parent).trim_end_matches('s')
}

/// All ids that a parent has at this place.
pub(super) fn candidates(world: &World, place: &Place, parent: &str) -> Vec<String> {
    let users = |users: Vec<usize>| -> Vec<String> {
        let ids = users.into_iter().map(|user| world.user_id(user).to_owned());
        ids.collect()
    };
    let groups = |groups: Vec<usize>| -> Vec<String> {
        let ids = groups.into_iter();
        ids.map(|group| identity::group_id(world, group)).collect()
    };
    match parent {
        "projects.id" => world.active_projects().map(|project| world.project_id(project).to_owned()).collect(),
        "users.id" => users(world.present().collect()),
        "project_users.id" => users(projects::members(world, place.project)),
        "groups.id" => groups((0..identity::group_count(world)).collect()),
        "project_groups.group_id" => groups(projects::groups_of(world, place.project)),
        "workload_identity_providers.id" => governance::provider_ids(world),
        "fine_tuning_jobs.id" => fine_tuning::job_ids(world, place.project),
        "fine_tuning_job_checkpoints.fine_tuned_model_checkpoint" => fine_tuning::all_checkpoints(world),
        "key.workspace" => world.workspaces.to_vec(),
        "key.organization" => vec![ORGANIZATION.to_owned()],
        _ => listed(world, place, parent),
    }
}

/// The ids of a table's list at this place.
fn listed(world: &World, place: &Place, parent: &str) -> Vec<String> {
    let table = parent.split('.').next().unwrap_or(parent);
    let rows = match route::named(table).map(|route| &route.answer) {
        Some(Answer::Collection(list)) => collection::everything(world, table, list, place),
        Some(Answer::List(list)) => (list.rows)(world, place, &Query::default()).unwrap_or_default(),
        _ => Vec::new(),
    };
    rows.into_iter().map(|row| row.id).collect()
}
