//! The log files of the compliance API: which there are, and what is in them.
//!
//! A file holds the events of its window; some came late, some were in the file before
//! already, some stand two on a line, and not every file ends in a line break.

use std::cell::Cell;

use serde_json::{Map, Value, json};

use super::chatgpt;
use super::collection;
use super::place::Place;
use super::random::Chance;
use super::sample::{self, Blanks};
use super::world::{DAY, ORGANIZATION, World};

/// Files are kept so long.
pub(super) const KEPT: i64 = 30 * DAY;
/// Older files were there, and are no longer told.
const OLDEST_DAYS: i64 = 33;
const MICROS: i64 = 1_000_000;
/// On that day, counted back from today, the audit log was written every ten minutes.
const BUSY_DAY: i64 = 2;
const COSTS_LATENCY: i64 = 4 * 3_600;

/// One type of log.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The table of its events on the workspaces' route, and on the organization's.
    pub(super) tables: [Option<&'static str>; 2],
    samples: &'static str,
    files_a_day: i64,
}

const fn kind(
    name: &'static str,
    workspace: Option<&'static str>,
    organization: Option<&'static str>,
    samples: &'static str,
    files_a_day: i64,
) -> Kind {
    Kind { name, tables: [workspace, organization], samples, files_a_day }
}

pub(super) const KINDS: [Kind; 11] = [
    kind("AUDIT_LOG", Some("log_audit"), None, include_str!("samples/log_audit.json"), 4),
    kind(
        "CONVERSATION_MESSAGE",
        Some("log_conversation_messages"),
        None,
        include_str!("samples/log_conversation_messages.json"),
        2,
    ),
    kind("AUTH_LOG", Some("log_auth"), None, include_str!("samples/log_auth.json"), 1),
    kind("APP_LOG", Some("log_apps"), Some("log_organization_apps"), include_str!("samples/log_apps.json"), 1),
    kind(
        "APP_AUTH_LOG",
        Some("log_app_auth"),
        Some("log_organization_app_auth"),
        include_str!("samples/log_app_auth.json"),
        1,
    ),
    kind("CODEX_LOG", Some("log_codex"), None, include_str!("samples/log_codex.json"), 1),
    kind("CODEX_SECURITY_LOG", Some("log_codex_security"), None, include_str!("samples/log_codex_security.json"), 1),
    kind(
        "CHATGPT_PLUGIN_SPREADSHEET",
        Some("log_spreadsheet_plugin"),
        None,
        include_str!("samples/log_spreadsheet_plugin.json"),
        1,
    ),
    kind("CUSTOM_AGENTS_LOG", Some("log_custom_agents"), None, include_str!("samples/log_custom_agents.json"), 1),
    kind("CODEX_TURN", Some("log_other"), None, include_str!("samples/log_codex_turns.json"), 1),
    kind("COSTS", None, Some("log_costs"), include_str!("samples/log_costs.json"), 2),
];

/// Whose logs: a workspace's or the organization's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Principal {
    Workspace(usize),
    Organization,
}

impl Principal {
    pub(super) fn all() -> [Principal; 3] {
        [Principal::Workspace(0), Principal::Workspace(1), Principal::Organization]
    }

    pub(super) fn id(self, world: &World) -> &str {
        match self {
            Principal::Workspace(workspace) => world.workspace_id(workspace),
            Principal::Organization => ORGANIZATION,
        }
    }

    pub(super) fn table(self, kind: usize) -> Option<&'static str> {
        KINDS.get(kind)?.tables[usize::from(self == Principal::Organization)]
    }

    fn parent(self) -> &'static str {
        match self {
            Principal::Workspace(_) => "key.workspace",
            Principal::Organization => "key.organization",
        }
    }
}

/// One file; what is in it is worked out when it is asked for.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) principal: Principal,
    pub(super) kind: usize,
    /// When its window opened, and when it was written: microseconds.
    from: i64,
    pub(super) end: i64,
    /// Brought by `mutate`.
    sudden: bool,
}

impl File {
    fn chance(&self, world: &World) -> Chance {
        let chance = world.chance.of("log file").of(self.principal.id(world));
        chance.at(self.kind as u64).at(self.end.unsigned_abs())
    }

    pub(super) fn id(&self, world: &World) -> String {
        self.chance(world).id("eclf_", 24)
    }

    pub(super) fn end_time(&self) -> String {
        let micros = u32::try_from(self.end.rem_euclid(MICROS)).unwrap_or(0);
        sample::iso(self.end.div_euclid(MICROS), micros)
    }

    pub(super) fn is_kept(&self, world: &World) -> bool {
        self.end > (world.now() - KEPT) * MICROS
    }
}

/// A file that is written at this moment, with events since an hour ago.
pub(super) fn sudden(world: &World, principal: Principal, kind: usize) -> File {
    let end = world.now() * MICROS + world.changes.days.cast_signed();
    File { principal, kind, from: end - 3_600 * MICROS, end, sudden: true }
}

/// The files of a type, oldest first, also those that are not kept any more.
pub(super) fn files(world: &World, principal: Principal, kind: usize) -> Vec<File> {
    let Some(a_day) = principal.table(kind).and_then(|_| KINDS.get(kind)).map(|kind| kind.files_a_day) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for back in (0..=OLDEST_DAYS).rev() {
        let a_day = match principal {
            Principal::Workspace(0) if kind == 0 && back == BUSY_DAY => 144,
            // The other workspace is quiet.
            Principal::Workspace(1) if back % 3 != 0 => 0,
            Principal::Workspace(1) => 1,
            _ => a_day,
        };
        let midnight = world.today - back * DAY;
        files.extend((0..a_day).map(|number| {
            let width = DAY / a_day;
            let from = midnight + number * width;
            let chance = world.chance.of("written").of(principal.id(world)).at(kind as u64).at(from.unsigned_abs());
            let end = (from + width) * MICROS - chance.between(1, 300 * MICROS);
            File { principal, kind, from: from * MICROS, end, sudden: false }
        }));
    }
    let told = world.metered_until() * MICROS;
    files.retain(|file| file.end <= told);
    let sudden = world.changes.log_files.iter();
    files.extend(sudden.filter(|file| file.principal == principal && file.kind == kind).cloned());
    files.sort_by_key(|file| file.end);
    files
}

/// The events of a file, with those that the file before had too.
pub(super) fn events(world: &World, file: &File, before: Option<&File>) -> Vec<Value> {
    let mut events = own_events(world, file);
    let repeats = file.sudden || file.chance(world).of("repeats").once_in(3);
    if let Some(again) = before.filter(|_| repeats).and_then(|before| own_events(world, before).pop()) {
        events.insert(0, again);
    }
    events
}

fn own_events(world: &World, file: &File) -> Vec<Value> {
    let chance = file.chance(world);
    let window = (file.end - file.from).max(MICROS);
    let busy = window < 3_600 * MICROS;
    let count = if busy { 2 } else { 4 + chance.of("count").below(8) };
    let events = (0..count).map(|number| {
        let chance = chance.of("event").at(number);
        let mut at = file.end - chance.of("before").between(0, window - 1);
        if chance.of("late").once_in(10) || (file.sudden && number == 1) {
            at -= chance.of("how late").between(MICROS, 2 * 3_600 * MICROS);
        }
        if KINDS[file.kind].name == "COSTS" {
            at -= COSTS_LATENCY * MICROS;
        }
        event(world, file, chance, number, at)
    });
    events.collect()
}

fn event(world: &World, file: &File, chance: Chance, number: u64, at: i64) -> Value {
    let kind = &KINDS[file.kind];
    let workspace = match file.principal {
        Principal::Workspace(workspace) => workspace,
        Principal::Organization => 0,
    };
    let people: Vec<usize> = chatgpt::population(world, workspace).collect();
    let person = people.get(chance.of("actor").index(people.len())).copied();
    let place = Place { workspace, person, ..Place::default() };
    let variants = collection::parsed(kind.samples);
    // Consecutive events are of consecutive variants, so that each comes often.
    let variant = file.end.div_euclid(MICROS * 600).unsigned_abs() * 5 + number;
    let variant = usize::try_from(variant).unwrap_or(0) % variants.len().max(1);
    let blanks = Blanks {
        world,
        place: &place,
        chance,
        id: "",
        number: variant,
        moment: at.div_euclid(MICROS),
        filled: Cell::new(0),
    };
    let filled = variants.get(variant).map(|template| sample::fill(template, &blanks));
    let mut members = filled.and_then(|value| value.as_object().cloned()).unwrap_or_default();
    let micros = u32::try_from(at.rem_euclid(MICROS)).unwrap_or(0);
    members.insert("event_id".into(), sample::uuid(chance.of("event id")).into());
    members.insert("type".into(), kind.name.into());
    members.insert("timestamp".into(), sample::iso(at.div_euclid(MICROS), micros).into());
    let principal_type = match file.principal {
        Principal::Workspace(_) => "CHATGPT_WORKSPACE",
        Principal::Organization => "API_PLATFORM_ORG",
    };
    members.insert("principal".into(), json!({"id": file.principal.id(world), "type": principal_type}));
    members.insert("actor".into(), actor(world, kind, chance, person));
    if chance.of("unknown").once_in(9) {
        members.insert("ingestion_hint".into(), json!({"shard": chance.below(16), "replayed": false}));
    }
    Value::Object(members)
}

fn actor(world: &World, kind: &Kind, chance: Chance, person: Option<usize>) -> Value {
    if kind.name == "COSTS" {
        return json!({"type": "SYSTEM", "id": "costs_compliance"});
    }
    let user = person.and_then(|person| world.users.get(person));
    let (id, email) = user.map_or(("", ""), |user| (user.id.as_str(), user.email.as_str()));
    let human = json!({"type": "ACCOUNT_USER", "user_id": id, "user_email": email});
    match chance.of("actor type").below(12) {
        0 => json!({"type": "API_KEY", "redacted_id": "sk-...ated"}),
        1 => json!({"type": "SYSTEM", "id": "retention"}),
        2 => json!({
            "type": "AGENT", "product_type": "COLLAB_AGENT", "id": chance.id("harness_", 12), "name": "Ledger agent",
            "product_id": chance.id("agt_", 12),
            "agent_runtime": {"id": chance.id("runtime_", 12), "delegator": human},
            "agent_task": {"id": chance.id("task_", 12)},
        }),
        3 => json!({"type": "EXTERNAL_COLLABORATION_USER", "provider": "slack", "provider_user_id": "U0SIMULATED"}),
        4 => {
            let mut human = human;
            human["credential_id"] = chance.id("cred_", 12).into();
            human
        }
        _ => human,
    }
}

/// The text of a file.
pub(super) fn text(world: &World, file: &File, before: Option<&File>) -> String {
    let chance = file.chance(world);
    let mut text = String::new();
    for (number, event) in events(world, file, before).into_iter().enumerate() {
        let joined = chance.of("joined").at(number as u64).once_in(8);
        if number > 0 && !joined {
            text.push('\n');
        }
        text.push_str(&event.to_string());
    }
    if !chance.of("no last newline").once_in(4) {
        text.push('\n');
    }
    text
}

/// Calls `tell` with (parent, its value, event) for each event of a table that is kept, once.
pub(super) fn every_event(world: &World, table: &str, mut tell: impl FnMut(&'static str, &str, &Map<String, Value>)) {
    for principal in Principal::all() {
        for kind in (0..KINDS.len()).filter(|&kind| principal.table(kind) == Some(table)) {
            let mut told = std::collections::HashSet::new();
            let files = files(world, principal, kind);
            for (number, file) in files.iter().enumerate().filter(|(_, file)| file.is_kept(world)) {
                let before = number.checked_sub(1).and_then(|number| files.get(number));
                for event in events(world, file, before) {
                    let Some(members) = event.as_object() else {
                        continue;
                    };
                    if told.insert(event["event_id"].to_string()) {
                        tell(principal.parent(), principal.id(world), members);
                    }
                }
            }
        }
    }
}
