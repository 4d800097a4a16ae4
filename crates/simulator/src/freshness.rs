//! How new the newest event of each type of log is.

use serde_json::{Map, Value, json};

use super::api::Answered;
use super::log_files::{self, KINDS, Principal};
use super::logs;
use super::place::Place;
use super::query::Query;
use super::refusal::Refusal;
use super::route::{Answer, Key, Route};
use super::world::World;

pub(super) const ROUTES: &[Route] = &[
    Route {
        table: "max_event_time",
        path: "/compliance/workspaces/{key.workspace}/max_event_time",
        key: Key::Compliance,
        params: &["event_type"],
        fullest: "",
        answer: Answer::Own(|world, place: &Place, query| tell(world, Principal::Workspace(place.workspace), query)),
    },
    Route {
        table: "organization_max_event_time",
        path: "/compliance/organizations/{key.organization}/max_event_time",
        key: Key::Compliance,
        params: &["event_type"],
        fullest: "",
        answer: Answer::Own(|world, _, query| tell(world, Principal::Organization, query)),
    },
];

fn tell(world: &World, principal: Principal, query: &Query) -> Result<Answered, Refusal> {
    let mut times = Map::new();
    for kind in logs::kinds(principal, query)? {
        let newest = log_files::files(world, principal, kind).iter().map(|file| file.end_time()).max();
        times.insert(KINDS[kind].name.to_string(), newest.map_or(Value::Null, Value::from));
    }
    Ok(Answered::new(200, json!({ "max_event_time": times }).to_string()))
}
