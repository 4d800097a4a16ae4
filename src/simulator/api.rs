//! The API below `/v1`: who asks, what for, how often; then the answer's text.

use super::pages;
use super::place::Place;
use super::query::{Query, decode};
use super::refusal::Refusal;
use super::report;
use super::route::{self, Answer, Key, Listing, Order, Route};
use super::server::{Shared, lock};
use super::world::World;

pub(super) const ADMIN_KEY: &str = "sk-admin-simulated";
/// An admin key that may read everything but the audit log.
pub(super) const ADMIN_KEY_WITHOUT_AUDIT: &str = "sk-admin-simulated-noaudit";
pub(super) const PROJECT_KEY_PREFIX: &str = "sk-proj-simulated-";

/// An answer before it becomes HTTP.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Answered {
    pub(super) fn new(status: u16, body: String) -> Answered {
        Answered { status, body, headers: Vec::new() }
    }

    fn refused(refusal: &Refusal) -> Answered {
        Answered::new(refusal.status, refusal.body())
    }
}

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Caller {
    Admin { audit: bool },
    Project(usize),
}

pub(super) fn answer(shared: &Shared, method: &str, path: &str, query: &str, token: Option<&str>) -> Answered {
    let world = shared.world();
    let mut headers = Vec::new();
    if let (Some(limit), Some(key)) = (world.behavior.rate_limit, token) {
        let allowance = lock(&shared.traffic).take(key, limit);
        headers.push(("x-ratelimit-limit-requests", limit.to_string()));
        headers.push(("x-ratelimit-remaining-requests", allowance.remaining.to_string()));
        headers.push(("x-ratelimit-reset-requests", format!("{}ms", allowance.reset_ms)));
        if !allowance.granted {
            if allowance.tells_retry_after {
                headers.push(("retry-after", allowance.reset_ms.div_ceil(1_000).to_string()));
            }
            let mut refused = Answered::refused(&Refusal::too_fast(limit));
            refused.headers = headers;
            return refused;
        }
    }
    let mut answered = match respond(&world, method, path, query, token) {
        Ok(body) => Answered::new(200, body),
        Err(refusal) => Answered::refused(&refusal),
    };
    answered.headers = headers;
    answered
}

fn respond(world: &World, method: &str, path: &str, query: &str, token: Option<&str>) -> Result<String, Refusal> {
    let caller = caller(world, token)?;
    let unknown = || Refusal::unknown_path(method, path);
    let below = path.strip_prefix("/v1/").ok_or_else(unknown)?;
    let segments: Vec<String> = below.split('/').map(decode_segment).collect();
    let (route, bound) = route::find(&segments).ok_or_else(unknown)?;
    if method != "GET" {
        return Err(Refusal::wrong_method(method));
    }
    authorize(route, caller)?;
    let query = Query::parse(query);
    if !world.behavior.lenient {
        query.only(&parameters(route))?;
    }
    let mut place = Place::default();
    if let Caller::Project(project) = caller {
        place.project = project;
    }
    for (parent, id) in bound {
        place.enter(world, parent, &id)?;
    }
    match &route.answer {
        Answer::Report(report) => report::page(world, report, &query),
        Answer::List(listing) => {
            let nullable = pages::may_hide_last_id(&world.behavior, route.table);
            pages::page(world, listing, &place, &query, nullable)
        }
        Answer::One(record) => match record(world, &place) {
            Some(record) => Ok(record.to_string()),
            None => Err(Refusal::not_found(format!("There is no {} here.", route.table))),
        },
    }
}

/// A plus sign is itself in a path.
fn decode_segment(segment: &str) -> String {
    decode(&segment.replace('+', "%2B"))
}

fn caller(world: &World, token: Option<&str>) -> Result<Caller, Refusal> {
    let token = token.ok_or_else(Refusal::unauthenticated)?;
    match token {
        ADMIN_KEY => return Ok(Caller::Admin { audit: true }),
        ADMIN_KEY_WITHOUT_AUDIT => return Ok(Caller::Admin { audit: false }),
        _ => {}
    }
    let project = token.strip_prefix(PROJECT_KEY_PREFIX);
    let project = project.and_then(|id| world.project_number(id));
    match project {
        Some(project) if world.is_active(project) => Ok(Caller::Project(project)),
        _ => Err(Refusal::wrong_key(token)),
    }
}

fn authorize(route: &Route, caller: Caller) -> Result<(), Refusal> {
    match (route.key, caller) {
        (Key::Admin, Caller::Project(_)) => Err(Refusal::missing_scope("api.management.read")),
        (Key::Admin, Caller::Admin { audit: false }) if route.table == "audit_logs" => {
            Err(Refusal::missing_scope("api.audit_logs.read"))
        }
        (Key::Project, Caller::Admin { .. }) => {
            Err(Refusal::forbidden("Admin API keys cannot be used for non-administration endpoints."))
        }
        _ => Ok(()),
    }
}

/// All parameters that the documents name for a path.
fn parameters(route: &Route) -> Vec<&'static str> {
    let paging: &[&str] = match &route.answer {
        Answer::Report(report) => return report.known_parameters(),
        Answer::One(_) => &[],
        Answer::List(Listing { order: Order::Fixed, .. }) => &["after", "limit"],
        Answer::List(_) => &["after", "limit", "order"],
    };
    let own = route.params.iter();
    own.chain(paging).copied().collect()
}
