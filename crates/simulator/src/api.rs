//! The API below `/v1` and `/chatgpt/v1`: who asks, what for, how often; then the answer's text.

use super::collection;
use super::logs;
use super::pages::{self, Shape};
use super::place::Place;
use super::query::{Query, decode};
use super::refusal::Refusal;
use super::report;
use super::route::{self, Answer, Host, Key, Order, Route, Style};
use super::server::{Shared, lock};
use super::world::World;

pub(super) const ADMIN_KEY: &str = "sk-admin-simulated";
/// An admin key that may read everything but the audit log.
pub(super) const ADMIN_KEY_WITHOUT_AUDIT: &str = "sk-admin-simulated-noaudit";
pub(super) const CODEX_KEY: &str = "sk-codex-simulated";
/// A key that may read what Codex did, but not all usage of a workspace.
pub(super) const CODEX_KEY_WITHOUT_USAGE: &str = "sk-codex-simulated-codexonly";
pub(super) const COMPLIANCE_KEY: &str = "sk-compliance-simulated";
/// A key that may read the log files of one type and nothing else.
pub(super) const COMPLIANCE_KEY_AUDIT_ONLY: &str = "sk-compliance-simulated-auditonly";
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

/// A request, as far as the answer depends on it.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) beta: &'a str,
    pub(super) body: &'a [u8],
}

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Caller {
    Admin { audit: bool },
    Project(usize),
    Codex { all_usage: bool },
    Compliance { audit_only: bool },
}

pub(super) fn answer(shared: &Shared, asking: Asking) -> Answered {
    let world = shared.world();
    let mut headers: Vec<(&'static str, String)> = Vec::new();
    if let (Some(limit), Some(key)) = (world.behavior.rate_limit, asking.token) {
        let allowance = lock(&shared.traffic).take(key, limit);
        let tells = !world.behavior.untold_rate_limit;
        if tells {
            headers.push(("x-ratelimit-limit-requests", limit.to_string()));
            headers.push(("x-ratelimit-remaining-requests", allowance.remaining.to_string()));
            headers.push(("x-ratelimit-reset-requests", format!("{}ms", allowance.reset_ms)));
        }
        if !allowance.granted {
            if allowance.tells_retry_after || !tells {
                headers.push(("retry-after", allowance.next_ms.div_ceil(1_000).to_string()));
            }
            let mut refused = Answered::refused(&Refusal::too_fast(limit));
            refused.headers = headers;
            return refused;
        }
    }
    let mut answered = respond(&world, asking).unwrap_or_else(|refusal| Answered::refused(&refusal));
    answered.headers.append(&mut headers);
    answered
}

fn respond(world: &World, asking: Asking) -> Result<Answered, Refusal> {
    let unknown = || Refusal::unknown_path(asking.method, asking.path);
    let (host, below) = Host::of(asking.path).ok_or_else(unknown)?;
    let answered = caller(world, host, asking.token).and_then(|caller| {
        let segments: Vec<String> = below.split('/').map(decode_segment).collect();
        let (route, bound) = route::find(host, &segments).ok_or_else(unknown)?;
        let query = asked(route, asking)?;
        authorize(route, caller)?;
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
        if caller == (Caller::Compliance { audit_only: true }) {
            logs::authorize_audit_only(world, route.table, &place, &query)?;
        }
        let mut answered = tell(world, route, &place, &query)?;
        if let Caller::Project(project) = caller {
            answered.headers.push(("openai-project", world.project_id(project).to_owned()));
        }
        Ok(answered)
    });
    answered.map_err(|refusal| if host == Host::ChatGpt { refusal.of_the_other_host() } else { refusal })
}

/// The parameters of a request: of its query, or of its body where a list is posted.
fn asked(route: &Route, asking: Asking) -> Result<Query, Refusal> {
    let (posted, beta) = match &route.answer {
        Answer::Collection(list) => (list.posted, list.beta),
        _ => (false, None),
    };
    if asking.method != if posted { "POST" } else { "GET" } {
        return Err(Refusal::wrong_method(asking.method));
    }
    if let Some(beta) = beta
        && !asking.beta.split(',').any(|given| given.trim() == beta)
    {
        return Err(Refusal::without_beta(beta));
    }
    match posted {
        true => Query::posted(asking.body),
        false => Ok(Query::parse(asking.query)),
    }
}

fn tell(world: &World, route: &Route, place: &Place, query: &Query) -> Result<Answered, Refusal> {
    let nullable = pages::may_hide_last_id(&world.behavior, route.table);
    let body = match &route.answer {
        Answer::Report(report) => report::page(world, report, query)?,
        Answer::List(listing) => pages::page(world, listing, place, query, nullable)?,
        Answer::Collection(list) => {
            let shape = Shape { style: list.style, limit: list.limit, order: list.order };
            let rows = collection::rows(world, route.table, list, place, route.params, query)?;
            let format = query.one_of("file_format", &["url", "id"])?;
            let addressed = route.params.contains(&"file_format") && format != Some("id");
            let record = |at| match collection::record(world, route.table, list, place, at) {
                record if addressed => collection::with_addresses(world, record),
                record => record,
            };
            pages::cut(shape, rows, record, query, nullable)?
        }
        Answer::One(record) => match record(world, place) {
            Some(record) => record.to_string(),
            None => {
                return Err(Refusal::not_found(format!("There is no {} here.", route.table)));
            }
        },
        Answer::Own(answer) => return answer(world, place, query),
        Answer::Retired(message) => return Err(Refusal::gone(*message)),
    };
    Ok(Answered::new(200, body))
}

/// A plus sign is itself in a path.
fn decode_segment(segment: &str) -> String {
    decode(&segment.replace('+', "%2B"))
}

fn caller(world: &World, host: Host, token: Option<&str>) -> Result<Caller, Refusal> {
    let token = token.ok_or_else(Refusal::unauthenticated)?;
    let known = match (host, token) {
        (Host::Platform, ADMIN_KEY) => Some(Caller::Admin { audit: true }),
        (Host::Platform, ADMIN_KEY_WITHOUT_AUDIT) => Some(Caller::Admin { audit: false }),
        (Host::Platform, _) => token
            .strip_prefix(PROJECT_KEY_PREFIX)
            .and_then(|id| world.project_number(id))
            .filter(|&project| world.is_active(project))
            .map(Caller::Project),
        (Host::ChatGpt, CODEX_KEY) => Some(Caller::Codex { all_usage: true }),
        (Host::ChatGpt, CODEX_KEY_WITHOUT_USAGE) => Some(Caller::Codex { all_usage: false }),
        (Host::ChatGpt, COMPLIANCE_KEY) => Some(Caller::Compliance { audit_only: false }),
        (Host::ChatGpt, COMPLIANCE_KEY_AUDIT_ONLY) => Some(Caller::Compliance { audit_only: true }),
        (Host::ChatGpt, _) => None,
    };
    known.ok_or_else(|| Refusal::wrong_key(token))
}

fn authorize(route: &Route, caller: Caller) -> Result<(), Refusal> {
    let scope = match (route.key, caller) {
        (Key::Admin, Caller::Project(_)) => "api.management.read",
        (Key::Admin, Caller::Admin { audit: false }) if route.table == "audit_logs" => "api.audit_logs.read",
        (Key::Project, Caller::Admin { .. }) => {
            return Err(Refusal::forbidden("Admin API keys cannot be used for non-administration endpoints."));
        }
        (Key::Codex, Caller::Compliance { .. }) => "codex.enterprise.analytics.read",
        (Key::Usage, Caller::Compliance { .. } | Caller::Codex { all_usage: false }) => {
            "enterprise.analytics.usage.read"
        }
        (Key::Compliance, Caller::Codex { .. }) => "chatgpt.enterprise.compliance_export.read",
        _ => return Ok(()),
    };
    Err(Refusal::missing_scope(scope))
}

/// All parameters that the documents name for a path.
fn parameters(route: &Route) -> Vec<&'static str> {
    let (style, order, limit) = match &route.answer {
        Answer::Report(report) => return report.known_parameters(),
        Answer::One(_) | Answer::Own(_) => return route.params.to_vec(),
        Answer::Retired(_) => (Style::LastId, Order::Descending, None),
        Answer::List(listing) => (listing.style, listing.order, Some(listing.limit)),
        Answer::Collection(list) => (list.style, list.order, Some(list.limit)),
    };
    let mut names = route.params.to_vec();
    if !matches!(style, Style::Whole | Style::Single) {
        names.push(style.parameter());
        // A page whose size is fixed has no parameter for it.
        if limit.is_none_or(|limit| limit.least < limit.most) {
            names.push("limit");
        }
    }
    if !matches!(order, Order::Fixed | Order::NewestFirst) {
        names.push("order");
    }
    names
}
