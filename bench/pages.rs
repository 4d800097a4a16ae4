//! The three sets that are measured: made here, always the same, with the paging and the windows of the API.
//!
//! A set is one long text of records with commas between. Whatever page of
//! whatever window is asked for is one stretch of it between a head and a tail,
//! so that a server has nothing to do but to copy.

use std::fmt::Write as _;

/// Midnight of 2023-12-01 UTC: where the sets that have a time begin.
pub(crate) const BEGIN: i64 = 1_701_388_800;
pub(crate) const DAY: i64 = 86_400;
/// Days of usage: 24 pages of 31.
pub(crate) const DAYS: usize = 744;
/// Rows of one day of usage.
const ROWS_A_DAY: usize = 1_000;
/// Days over which the audit events are spread.
pub(crate) const AUDIT_DAYS: i64 = 365;

/// How a set is paged.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// `after` is the last record's id.
    After,
    /// `page` is a token of the server's own.
    Token,
}

/// One of the three sets.
pub(crate) struct Set {
    style: Style,
    pub(crate) text: String,
    /// Where each record begins, and one more: where the next would begin.
    starts: Vec<usize>,
    /// The second of each record, in the order of the list; empty when the list has no time.
    times: Vec<i64>,
    /// The id of the record at a place; of lists that go on after an id.
    id_at: fn(usize) -> String,
}

/// What a request asks of a list.
#[derive(Default)]
pub(crate) struct Asked<'a> {
    pub(crate) since: Option<i64>,
    pub(crate) until: Option<i64>,
    pub(crate) after: Option<&'a str>,
    pub(crate) limit: usize,
}

impl Set {
    /// `users`, `usage` or `audit`, so many times as large as the ordinary set.
    pub(crate) fn new(name: &str, scale: f64) -> Option<Set> {
        let scaled = |count: usize| (count as f64 * scale) as usize;
        match name {
            "users" => Some(users(scaled(200_000))),
            "usage" => Some(usage(DAYS, scaled(ROWS_A_DAY))),
            "audit" => Some(audit(scaled(300_000), AUDIT_DAYS)),
            _ => None,
        }
    }

    fn empty(style: Style, id_at: fn(usize) -> String) -> Set {
        Set { style, text: String::new(), starts: vec![0], times: Vec::new(), id_at }
    }

    fn end_record(&mut self) {
        self.text.push(',');
        self.starts.push(self.text.len());
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// One page. None when the token is not of this list.
    pub(crate) fn page(&self, asked: &Asked<'_>) -> Option<String> {
        let window = self.window(asked);
        let first = match (asked.after, self.style) {
            (None, _) => window.start,
            (Some(id), Style::After) => place(id).filter(|at| (self.id_at)(*at) == id)? + 1,
            (Some(token), Style::Token) => token.strip_prefix("page_")?.parse().ok()?,
        };
        let first = first.max(window.start);
        let end = first.saturating_add(asked.limit).min(window.end).max(first);
        let more = end < window.end;
        let records = self.text.get(self.starts[first]..self.starts[end])?.trim_end_matches(',');
        let mut page = String::with_capacity(records.len() + 200);
        match self.style {
            Style::After => page.push_str("{\"object\":\"list\",\"data\":["),
            Style::Token => page.push_str("{\"object\":\"page\",\"data\":["),
        }
        page.push_str(records);
        let _ = match self.style {
            Style::After if end > first => {
                let (first, last) = ((self.id_at)(first), (self.id_at)(end - 1));
                write!(page, "],\"first_id\":\"{first}\",\"last_id\":\"{last}\"")
            }
            Style::After => write!(page, "],\"first_id\":null,\"last_id\":null"),
            Style::Token if more => write!(page, "],\"next_page\":\"page_{end}\""),
            Style::Token => write!(page, "],\"next_page\":null"),
        };
        let _ = write!(page, ",\"has_more\":{more}}}");
        Some(page)
    }

    /// The places of the records inside the asked time, which the list has in order.
    fn window(&self, asked: &Asked<'_>) -> std::ops::Range<usize> {
        let (since, until) = (asked.since.unwrap_or(i64::MIN), asked.until.unwrap_or(i64::MAX));
        if self.times.is_empty() {
            return 0..self.len();
        }
        let newest_first = self.times.first() > self.times.last();
        let (start, end) = match newest_first {
            true => (self.times.partition_point(|t| *t >= until), self.times.partition_point(|t| *t >= since)),
            false => (self.times.partition_point(|t| *t < since), self.times.partition_point(|t| *t < until)),
        };
        start..end.max(start)
    }
}

/// A number that looks like chance and is always the same for the same place.
fn chance(of: u64, at: usize) -> u64 {
    let mut z = (of << 40).wrapping_add(at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn pick<'a>(from: &[&'a str], random: u64) -> &'a str {
    from[(random % from.len() as u64) as usize]
}

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Letters at the end of an id that tell its place.
const TELLING: usize = 5;

/// An id such as the API gives: a prefix and 24 letters and digits.
fn id(prefix: &str, of: u64, at: usize) -> String {
    let mut text = String::with_capacity(prefix.len() + 24);
    text.push_str(prefix);
    let mut push = |mut number: u64, letters: usize| {
        for _ in 0..letters {
            text.push(char::from(LETTERS[(number % 62) as usize]));
            number /= 62;
        }
    };
    push(chance(of + 1_000, at), 10);
    push(chance(of + 2_000, at), 9);
    push(at as u64, TELLING);
    text
}

/// The place that an id tells.
fn place(id: &str) -> Option<usize> {
    let telling = id.as_bytes().last_chunk::<TELLING>()?;
    telling.iter().rev().try_fold(0, |place, letter| {
        let digit = LETTERS.iter().position(|l| l == letter)?;
        Some(place * 62 + digit)
    })
}

fn user_id(at: usize) -> String {
    id("user-", 2, at)
}

fn event_id(at: usize) -> String {
    id("audit_log-", 7, at)
}

const FIRST: [&str; 12] =
    ["Ada", "Alan", "Grace", "Edsger", "Barbara", "Donald", "Katherine", "Tim", "Radia", "Ken", "Margaret", "Dennis"];
const LAST: [&str; 12] = [
    "Lovelace",
    "Turing",
    "Hopper",
    "Dijkstra",
    "Liskov",
    "Knuth",
    "Johnson",
    "Berners-Lee",
    "Perlman",
    "Thompson",
    "Hamilton",
    "Ritchie",
];

fn users(count: usize) -> Set {
    let mut set = Set::empty(Style::After, user_id);
    for at in 0..count {
        let random = chance(1, at);
        let (first, last) = (pick(&FIRST, random), pick(&LAST, random >> 8));
        let id = user_id(at);
        let email = format!("{}.{}{at}@example.com", first[..1].to_lowercase(), last.to_lowercase());
        let added = BEGIN - (random >> 20) as i64 % (900 * DAY);
        let role = if random.is_multiple_of(20) { "owner" } else { "reader" };
        let used = match random.is_multiple_of(3) {
            true => "null".to_string(),
            false => (BEGIN - (random >> 24) as i64 % (90 * DAY)).to_string(),
        };
        let _ = write!(
            set.text,
            "{{\"object\":\"organization.user\",\"id\":\"{id}\",\"name\":\"{first} {last}\",\"email\":\"{email}\",\
             \"role\":\"{role}\",\"added_at\":{added},\"created\":{created},\"is_default\":false,\
             \"is_service_account\":{service},\"is_scim_managed\":{scim},\"api_key_last_used_at\":{used},\
             \"user\":{{\"object\":\"user\",\"id\":\"{id}\",\"email\":\"{email}\",\"name\":\"{first} {last}\",\
             \"enabled\":true,\"banned\":false}}}}",
            created = added - 3_600,
            service = random.is_multiple_of(50),
            scim = random.is_multiple_of(2),
        );
        set.end_record();
    }
    set
}

const MODELS: [&str; 5] =
    ["gpt-4.1-2025-04-14", "gpt-4.1-mini-2025-04-14", "gpt-4o-2024-08-06", "o4-mini-2025-04-16", "gpt-5-2025-08-07"];

fn usage(days: usize, rows: usize) -> Set {
    let mut set = Set::empty(Style::Token, |_| String::new());
    let projects: Vec<String> = (0..20).map(|n| id("proj_", 3, n)).collect();
    let users: Vec<String> = (0..rows.div_ceil(100)).map(|n| id("user-", 4, n)).collect();
    for day in 0..days {
        let start = BEGIN + day as i64 * DAY;
        let end = start + DAY;
        set.times.push(start);
        let _ = write!(set.text, "{{\"object\":\"bucket\",\"start_time\":{start},\"end_time\":{end},\"results\":[");
        for row in 0..rows {
            let random = chance(5, day * rows + row);
            // All rows of a day differ in project, user or model.
            let (project, model, user) = (&projects[row % 20], MODELS[row / 20 % 5], &users[row / 100]);
            let input = random % 3_000_000;
            let (cached, output, requests) = (input / 3, random >> 20 & 0xF_FFFF, random >> 40 & 0xFFF);
            let comma = if row > 0 { "," } else { "" };
            let _ = write!(
                set.text,
                "{comma}{{\"object\":\"organization.usage.completions.result\",\"input_tokens\":{input},\
                 \"output_tokens\":{output},\"input_cached_tokens\":{cached},\"num_model_requests\":{requests},\"project_id\":\"{project}\",\
                 \"user_id\":\"{user}\",\"api_key_id\":null,\"model\":\"{model}\",\"batch\":{batch},\
                 \"service_tier\":\"default\"}}",
                batch = row % 7 == 0,
            );
        }
        set.text.push_str("]}");
        set.end_record();
    }
    set
}

/// The payloads of some types of events, as the API writes them; `%` is an id.
const PAYLOADS: [(&str, &str); 8] = [
    ("login.succeeded", "{}"),
    ("logout.succeeded", "{}"),
    ("api_key.created", "{\"id\":\"key_%\",\"data\":{\"scopes\":[\"api.model.request\",\"api.files.read\"]}}"),
    ("api_key.deleted", "{\"id\":\"key_%\"}"),
    ("user.updated", "{\"id\":\"user-%\",\"changes_requested\":{\"role\":\"owner\"}}"),
    ("project.updated", "{\"id\":\"proj_%\",\"changes_requested\":{\"title\":\"Forecasts \\u2013 north\"}}"),
    (
        "rate_limit.updated",
        "{\"id\":\"rl_%\",\"changes_requested\":{\"max_requests_per_1_minute\":500,\"max_tokens_per_1_minute\":30000}}",
    ),
    ("invite.sent", "{\"id\":\"invite-%\",\"data\":{\"email\":\"someone@example.com\",\"role\":\"reader\"}}"),
];
const CITIES: [(&str, &str, &str, &str, &str, &str); 4] = [
    ("US", "San Francisco", "California", "CA", "37.77490", "-122.41940"),
    ("DE", "Berlin", "Land Berlin", "BE", "52.52437", "13.41053"),
    ("JP", "Tokyo", "Tokyo", "13", "35.68950", "139.69171"),
    ("BR", "Recife", "Pernambuco", "PE", "-8.05389", "-34.88111"),
];

/// Newest first, as the API lists them.
fn audit(count: usize, days: i64) -> Set {
    let mut set = Set::empty(Style::After, event_id);
    let span = days * DAY;
    for at in 0..count {
        let random = chance(6, at);
        let time = BEGIN + span - 1 - (at as i64 * span / count as i64);
        let id = event_id(at);
        let (kind, payload) = PAYLOADS[(random % 8) as usize];
        let payload = payload.replace('%', &format!("{:016x}", chance(8, at)));
        let project = (random >> 8) as usize % 50;
        let _ = write!(
            set.text,
            "{{\"id\":\"{id}\",\"type\":\"{kind}\",\"effective_at\":{time},\
             \"project\":{{\"id\":\"proj_{project:024}\",\"name\":\"Project {project}\"}},\"actor\":"
        );
        actor(&mut set.text, random);
        let _ = write!(set.text, ",\"{kind}\":{payload}}}");
        set.end_record();
        set.times.push(time);
    }
    set
}

/// A person in a browser, or every fourth time a key.
fn actor(text: &mut String, random: u64) {
    let person = (random >> 16) as usize % 2_000;
    let _ = match random >> 32 & 3 {
        0 => write!(
            text,
            "{{\"type\":\"api_key\",\"api_key\":{{\"id\":\"key_{person:016}\",\"type\":\"user\",\
             \"user\":{{\"id\":\"user-{person:024}\",\"email\":\"person.{person}@example.com\"}}}}}}"
        ),
        _ => {
            let (country, city, region, code, latitude, longitude) = CITIES[(random >> 40 & 3) as usize];
            write!(
                text,
                "{{\"type\":\"session\",\"session\":{{\"user\":{{\"id\":\"user-{person:024}\",\
                 \"email\":\"person.{person}@example.com\"}},\"ip_address\":\"203.0.113.{}\",\
                 \"user_agent\":\"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\",\"ja3\":\"{:032x}\",\"ja4\":\"t13d1516h2_8daaf6152771_{:012x}\",\
                 \"ip_address_details\":{{\"country\":\"{country}\",\"city\":\"{city}\",\"region\":\"{region}\",\
                 \"region_code\":\"{code}\",\"asn\":\"{}\",\"latitude\":\"{latitude}\",\"longitude\":\"{longitude}\"}}}}}}",
                person % 256,
                u128::from(chance(9, person)) << 64 | u128::from(chance(10, person)),
                chance(11, person) >> 16,
                1_000 + person % 9_000,
            )
        }
    };
}
