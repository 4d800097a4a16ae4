//! What a path is: the words of the routing table, and how a request finds its route.

use serde_json::Value;

use super::api::Answered;
use super::audit;
use super::chatgpt;
use super::chatgpt_people;
use super::codex;
use super::collection::Collection;
use super::contents;
use super::fine_tuning;
use super::freshness;
use super::governance;
use super::identity;
use super::limits;
use super::logs;
use super::place::Place;
use super::projects;
use super::query::Query;
use super::refusal::Refusal;
use super::report::Report;
use super::reports;
use super::roles;
use super::surface;
use super::surface_agents;
use super::world::World;

/// One line of the routing table. `path` names in braces the parent whose column is bound there.
pub(super) struct Route {
    pub(super) table: &'static str,
    pub(super) path: &'static str,
    pub(super) key: Key,
    /// Query parameters besides those of paging and order.
    pub(super) params: &'static [&'static str],
    /// The query with which nothing is held back.
    pub(super) fullest: &'static str,
    pub(super) answer: Answer,
}

/// Which credential opens a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Key {
    Admin,
    Project,
    /// The documents and the official clients disagree; either serves.
    Either,
    /// On the other host: the key of Codex analytics.
    Codex,
    /// The same, with the scope for all usage of a workspace.
    Usage,
    /// On the other host: the key of the compliance API.
    Compliance,
}

pub(super) enum Answer {
    List(Listing),
    /// One object, or a 404 where none is set.
    One(fn(&World, &Place) -> Option<Value>),
    Report(&'static Report),
    Collection(Collection),
    /// What is told in a way of its own.
    Own(fn(&World, &Place, &Query) -> Result<Answered, Refusal>),
    /// Shut down: a 410.
    Retired(&'static str),
}

/// A list: which records there are, and how one looks. `at` of a row is what `record` gets.
pub(super) struct Listing {
    pub(super) rows: fn(&World, &Place, &Query) -> Result<Vec<Row>, Refusal>,
    pub(super) record: fn(&World, &Place, usize) -> Value,
    pub(super) style: Style,
    pub(super) limit: Limit,
    pub(super) order: Order,
}

/// A record that has not been written out: its cursor, and its number.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) at: usize,
}

/// How one gets to the next page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Style {
    /// `after` = `last_id`.
    LastId,
    /// `after` = id of the last item; the envelope has no `last_id`.
    LastItem,
    /// The same, and the envelope has no `has_more` either: go on until a page is empty.
    UntilEmpty,
    /// `after` = `next`, which is opaque.
    Next,
    /// `page` = `next`, which is opaque.
    Page,
    /// `cursor` = `cursor`, which is opaque and null at the end.
    Cursor,
    /// `cursor` = `last_id`: the envelope has no cursor of its own.
    CursorIsLastId,
    /// As `LastId`, but a page may hold less than was asked for.
    ShortPages,
    /// All at once.
    Whole,
    /// No list: the one record by itself, or a 404.
    Single,
}

impl Style {
    /// The parameter that turns the page.
    pub(super) fn parameter(self) -> &'static str {
        match self {
            Style::Page => "page",
            Style::Cursor | Style::CursorIsLastId => "cursor",
            _ => "after",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) least: i64,
    pub(super) default: i64,
    pub(super) most: i64,
}

pub(super) const fn limit(least: i64, default: i64, most: i64) -> Limit {
    Limit { least, default, most }
}

/// The `order` parameter and its default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Order {
    /// There is no such parameter; oldest first.
    Fixed,
    /// There is no such parameter; newest first.
    NewestFirst,
    Ascending,
    Descending,
    /// As `Descending`, but the values are whole words.
    DescendingInWords,
}

impl Order {
    /// The values of the parameter: first the one that means ascending.
    pub(super) fn words(self) -> [&'static str; 2] {
        match self {
            Order::DescendingInWords => ["ascending", "descending"],
            _ => ["asc", "desc"],
        }
    }
}

/// All tables, one area after the other.
const AREAS: &[&[Route]] = &[
    identity::ROUTES,
    roles::ROUTES,
    projects::ROUTES,
    limits::ROUTES,
    governance::ROUTES,
    audit::ROUTES,
    reports::ROUTES,
    fine_tuning::ROUTES,
    surface::ROUTES,
    surface_agents::ROUTES,
    codex::ROUTES,
    chatgpt::ROUTES,
    chatgpt_people::ROUTES,
    logs::ROUTES,
    contents::ROUTES,
    freshness::ROUTES,
];

pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    AREAS.iter().copied().flatten()
}

pub(super) fn named(table: &str) -> Option<&'static Route> {
    all().find(|route| route.table == table)
}

/// The route of a path below a host's base, given as decoded segments, and what its braces
/// are bound to.
pub(super) fn find(host: Host, segments: &[String]) -> Option<(&'static Route, Vec<(&'static str, String)>)> {
    let mut served = all().filter(|route| route.key.host() == host);
    served.find_map(|route| Some((route, bind(route.path, segments)?)))
}

/// The two hosts of the real API; here two bases of one server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Host {
    Platform,
    ChatGpt,
}

impl Host {
    /// The host that a path belongs to, and the rest of the path.
    pub(super) fn of(path: &str) -> Option<(Host, &str)> {
        let chatgpt = path.strip_prefix("/chatgpt/v1/").map(|below| (Host::ChatGpt, below));
        chatgpt.or_else(|| Some((Host::Platform, path.strip_prefix("/v1/")?)))
    }
}

impl Key {
    pub(super) fn host(self) -> Host {
        match self {
            Key::Admin | Key::Project | Key::Either => Host::Platform,
            Key::Codex | Key::Usage | Key::Compliance => Host::ChatGpt,
        }
    }
}

fn bind(path: &'static str, segments: &[String]) -> Option<Vec<(&'static str, String)>> {
    let pattern: Vec<&'static str> = path.split('/').skip(1).collect();
    if pattern.len() != segments.len() {
        return None;
    }
    let mut bound = Vec::new();
    for (&expected, given) in pattern.iter().zip(segments) {
        match placeholder(expected) {
            Some(name) => bound.push((name, given.clone())),
            None if expected == given => {}
            None => return None,
        }
    }
    Some(bound)
}

/// The parents that a path names, outermost first.
pub(super) fn placeholders(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter_map(placeholder)
}

fn placeholder(segment: &'static str) -> Option<&'static str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_one_route_and_every_path_finds_it() {
        for route in all() {
            let segments: Vec<String> = route.path.split('/').skip(1).map(str::to_owned).collect();
            let (found, bound) = find(route.key.host(), &segments).unwrap();
            assert_eq!(found.table, route.table);
            assert_eq!(bound.len(), placeholders(route.path).count());
            assert_eq!(all().filter(|other| other.table == route.table).count(), 1, "{} comes twice", route.table);
        }
        assert_eq!(all().filter(|route| matches!(route.key, Key::Admin | Key::Either)).count(), 46);
    }
}
