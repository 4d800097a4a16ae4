//! The organization itself: who is in it, what was changed since the start, what time it is.
//!
//! Only users and projects are kept in memory; whatever belongs to one of them is
//! worked out from the seed when it is asked for, so that an organization of any
//! size is there at once and a listing costs as much as it is long.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use serde_json::Value;

use super::audit::{self, Event};
use super::log_files::File;
use super::options::{Behavior, Options};
use super::random::Chance;
use super::sample;

pub(super) const DAY: i64 = 86_400;
pub(super) const ORGANIZATION: &str = "org-simulated";
/// So many projects have a key of their own.
pub(super) const KEYED: usize = 3;

const FIRST_NAMES: [&str; 20] = [
    "Ada",
    "Alan",
    "Barbara",
    "Claude",
    "Donald",
    "Edsger",
    "Frances",
    "Grace",
    "Hedy",
    "Ivan",
    "Jean",
    "Katherine",
    "Leslie",
    "Margaret",
    "Niklaus",
    "Olga",
    "Peter",
    "Radia",
    "Sophie",
    "Tim",
];
const LAST_NAMES: [&str; 20] = [
    "Lovelace",
    "Turing",
    "Liskov",
    "Shannon",
    "Knuth",
    "Dijkstra",
    "Allen",
    "Hopper",
    "Lamarr",
    "Sutherland",
    "Bartik",
    "Johnson",
    "Lamport",
    "Hamilton",
    "Wirth",
    "Ladyzhenskaya",
    "Naur",
    "Perlman",
    "Wilson",
    "Berners",
];
const PROJECT_NAMES: [&str; 12] = [
    "Support assistant",
    "Search",
    "Billing",
    "Research",
    "Translation",
    "Data labelling",
    "Internal tools",
    "Voice",
    "Document intake",
    "Evaluation",
    "Sandbox",
    "Recommendations",
];

/// A person of the organization, or one that left it.
pub(super) struct User {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) added_at: i64,
}

pub(super) struct Project {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created_at: i64,
    /// Archived before the start.
    archived: bool,
}

/// What days brought since the start (see `mutate`).
#[derive(Default)]
pub(super) struct Changes {
    pub(super) days: u64,
    pub(super) gone_users: HashSet<usize>,
    /// (project, key)
    pub(super) gone_keys: HashSet<(usize, usize)>,
    pub(super) archived: HashMap<usize, i64>,
    pub(super) accepted: HashMap<usize, i64>,
    pub(super) renamed: HashMap<String, String>,
    /// How often the numbers of a day, given by its midnight, were restated.
    pub(super) restated: HashMap<i64, u64>,
    /// Ids of records of collections that were deleted.
    pub(super) gone: HashSet<String>,
    /// When records were added to a collection, given by its scope.
    pub(super) grown: HashMap<String, Vec<i64>>,
    /// Log files that were written.
    pub(super) log_files: Vec<File>,
    /// Members of a record, given by its id, that have another value now.
    pub(super) patched: HashMap<String, Vec<(&'static str, Value)>>,
}

pub(super) struct World {
    pub(super) options: Options,
    pub(super) behavior: Behavior,
    pub(super) chance: Chance,
    /// Midnight of the day on which the simulation started: the anchor of all moments.
    pub(super) today: i64,
    pub(super) users: Vec<User>,
    pub(super) projects: Vec<Project>,
    /// Oldest first.
    pub(super) events: Vec<Event>,
    pub(super) changes: Changes,
    /// The ChatGPT workspaces.
    pub(super) workspaces: [String; 2],
    /// Where log files are fetched: scheme, host and port.
    pub(super) downloads: String,
    user_numbers: HashMap<String, usize>,
    project_numbers: HashMap<String, usize>,
    started: Instant,
}

impl World {
    pub(super) fn new(options: Options) -> World {
        let chance = Chance::new(options.seed);
        let now = options.now.timestamp();
        let today = now - now.rem_euclid(DAY);
        let users: Vec<User> = (0..options.users.max(4)).map(|number| user(chance, number, today)).collect();
        let projects: Vec<Project> =
            (0..options.projects.max(3)).map(|number| project(chance, number, today)).collect();
        let mut world = World {
            behavior: options.behavior.clone(),
            user_numbers: numbered(users.iter().map(|user| &user.id)),
            project_numbers: numbered(projects.iter().map(|project| &project.id)),
            options,
            chance,
            today,
            users,
            projects,
            events: Vec::new(),
            changes: Changes::default(),
            downloads: String::new(),
            workspaces: [0, 1].map(|number| sample::uuid(chance.of("workspace").at(number))),
            started: Instant::now(),
        };
        world.events = audit::history(&world);
        world
    }

    /// Unix seconds.
    pub(super) fn now(&self) -> i64 {
        let elapsed = i64::try_from(self.started.elapsed().as_secs()).unwrap_or(0);
        self.options.now.timestamp() + elapsed
    }

    /// What is metered and logged by itself ends with the last full hour before the
    /// start, so that two readings agree whenever they are made. What happens after
    /// that is brought by `mutate`, and shows up at once.
    pub(super) fn metered_until(&self) -> i64 {
        let start = self.options.now.timestamp();
        start - start.rem_euclid(3_600)
    }

    /// The first moment of which there is usage.
    pub(super) fn history_start(&self) -> i64 {
        self.today - i64::from(self.options.history_days) * DAY
    }

    pub(super) fn user_number(&self, id: &str) -> Option<usize> {
        let number = self.user_numbers.get(id).copied();
        number.filter(|&number| self.is_here(number))
    }

    pub(super) fn is_here(&self, user: usize) -> bool {
        !self.changes.gone_users.contains(&user)
    }

    /// The numbers of all users that have not left.
    pub(super) fn present(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.users.len()).filter(|&user| self.is_here(user))
    }

    pub(super) fn project_number(&self, id: &str) -> Option<usize> {
        self.project_numbers.get(id).copied()
    }

    pub(super) fn archived_at(&self, project: usize) -> Option<i64> {
        if let Some(&at) = self.changes.archived.get(&project) {
            return Some(at);
        }
        let archived = self.projects.get(project)?.archived;
        archived.then(|| self.today - (5 + (project as i64 % 40)) * DAY)
    }

    pub(super) fn is_active(&self, project: usize) -> bool {
        self.archived_at(project).is_none()
    }

    pub(super) fn active_projects(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.projects.len()).filter(|&project| self.is_active(project))
    }

    pub(super) fn project_id(&self, project: usize) -> &str {
        self.projects.get(project).map_or("", |project| project.id.as_str())
    }

    pub(super) fn workspace_id(&self, workspace: usize) -> &str {
        self.workspaces.get(workspace).map_or("", String::as_str)
    }

    pub(super) fn workspace_number(&self, id: &str) -> Option<usize> {
        self.workspaces.iter().position(|workspace| workspace == id)
    }

    /// The projects with a key: active ones, which are never archived.
    pub(super) fn keyed_projects(&self) -> impl Iterator<Item = usize> + '_ {
        self.active_projects().take(KEYED)
    }

    pub(super) fn user_id(&self, user: usize) -> &str {
        self.users.get(user).map_or("", |user| user.id.as_str())
    }
}

fn numbered<'a>(ids: impl Iterator<Item = &'a String>) -> HashMap<String, usize> {
    ids.enumerate().map(|(number, id)| (id.clone(), number)).collect()
}

fn user(chance: Chance, number: usize, today: i64) -> User {
    let chance = chance.of("user").at(number as u64);
    let first = FIRST_NAMES[number % FIRST_NAMES.len()];
    let last = LAST_NAMES[(number + number / FIRST_NAMES.len()) % LAST_NAMES.len()];
    let round = number / (FIRST_NAMES.len() * LAST_NAMES.len());
    let suffix = if round == 0 { String::new() } else { format!(".{round}") };
    User {
        id: chance.id("user-", 24),
        name: format!("{first} {last}"),
        email: format!("{}.{}{suffix}@example.com", first.to_lowercase(), last.to_lowercase()),
        added_at: today - chance.of("added").between(30 * DAY, 900 * DAY),
    }
}

fn project(chance: Chance, number: usize, today: i64) -> Project {
    let chance = chance.of("project").at(number as u64);
    let name = PROJECT_NAMES[number % PROJECT_NAMES.len()];
    let round = number / PROJECT_NAMES.len();
    Project {
        id: chance.id("proj_", 24),
        name: if round == 0 { name.to_owned() } else { format!("{name} {}", round + 1) },
        created_at: today - chance.of("created").between(60 * DAY, 800 * DAY),
        archived: number % 8 == 5,
    }
}
