//! One answer → the next page's token, or the end of the list, or a complaint.
//!
//! Pure. A list that says "more" and does not say where, or says the same place
//! twice, is an error and never an end: silence here is lost data.

use std::collections::HashSet;

use crate::decode::json::{Kind, Malformed, Scanner, inner, pointer, read, unescape};
use crate::decode::malformed;
use crate::error::{Error, Result};
use crate::schema::{Paging, Pointer};

/// What an answer's envelope says.
#[derive(Debug, PartialEq)]
struct Facts {
    empty: bool,
    from: Option<String>,
    last: Option<String>,
    more: Option<bool>,
    /// The next cursor is something that is none: the list goes on, nobody knows where.
    odd: bool,
}

impl Default for Facts {
    fn default() -> Facts {
        Facts { empty: true, from: None, last: None, more: None, odd: false }
    }
}

/// Remembers the tokens of one list, to see when it goes in circles.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    seen: HashSet<String>,
    empty_in_a_row: u32,
    /// The last page had records and said that more follow.
    promised: bool,
    broke_off: bool,
}

/// Some filtered lists have empty pages in between; a list with this many has no end.
const EMPTY_PAGES: u32 = 1_000;

impl Chain {
    /// The token of the page after `answer`; none at the end of the list.
    pub(crate) fn next(&mut self, paging: &Paging, rows: Option<&Pointer>, answer: &str) -> Result<Option<String>> {
        let facts = facts(paging, rows, answer).map_err(malformed)?;
        let promised = std::mem::replace(&mut self.promised, !facts.empty && facts.more == Some(true));
        self.broke_off = promised && facts.empty && facts.more == Some(false) && !paging.empty_ends;
        let Some(token) = go_on(paging, facts, &mut self.empty_in_a_row)? else { return Ok(None) };
        if !self.seen.insert(token.clone()) {
            return Err(Error::contract(format!(
                "the list goes in circles: `{}` {token:?} was already given",
                paging.send
            ))
            .hint("nothing of this list was lost or written twice; run again later, and report it if it stays"));
        }
        Ok(Some(token))
    }
}

impl Chain {
    /// Whether the list ended with an empty page although the one before it, which had records,
    /// said that more follow: what it would have listed may be there still.
    pub(crate) fn broke_off(&self) -> bool {
        self.broke_off
    }
}

fn go_on(paging: &Paging, facts: Facts, empty_in_a_row: &mut u32) -> Result<Option<String>> {
    let empty = facts.empty;
    let more = match (&paging.while_, facts.more) {
        (Some(_), Some(more)) => more,
        (_, None) if paging.until_empty => !empty,
        (Some(at), None) => {
            return Err(Error::contract(format!("`{at}` is missing: it says whether the list goes on"))
                .hint("the API's answer is not the documented one; if it stays, report it with this message"));
        }
        (None, _) => facts.from.is_some() || facts.odd,
    };
    if !more || (empty && paging.empty_ends) {
        return Ok(None);
    }
    *empty_in_a_row = if empty { *empty_in_a_row + 1 } else { 0 };
    if *empty_in_a_row == EMPTY_PAGES {
        return Err(Error::contract(format!("{EMPTY_PAGES} empty pages in a row, and the list says that it goes on")));
    }
    match facts.from.or(facts.last) {
        Some(token) => Ok(Some(token)),
        None => Err(Error::contract("the list says that it goes on, but not where: there is no next cursor")
            .hint("nothing of this list was lost; run again later, and report it if it stays")),
    }
}

/// What the envelope says. Its members are mostly at the ends of an answer, so that
/// the list in the middle, which is most of it, need not be walked here as well.
fn facts(paging: &Paging, rows: Option<&Pointer>, answer: &str) -> std::result::Result<Facts, Malformed> {
    let ends = ends(paging, rows, answer).filter(|f| f.from.is_some() || f.more != Some(true) || paging.last.is_none());
    ends.map_or_else(|| whole(paging, rows, answer), Ok)
}

/// Reads what stands before and behind the list; none when that is not enough to know.
///
/// The list's end is the last `]` behind which the members of an object follow up to
/// the end of the text: no `]` inside a string or a record has that behind it, since
/// a quote in a string is escaped. An array behind the list may be taken for it; then
/// something that is looked for is not seen, and the answer is walked whole.
fn ends(paging: &Paging, rows: Option<&Pointer>, answer: &str) -> Option<Facts> {
    let name = |p: &Pointer| if let [name] = p.0.as_slice() { Some(name.clone()) } else { None };
    let (list, mut facts) = (name(rows?)?, Facts::default());
    let mut wanted = Vec::new();
    for pointer in [paging.from.as_ref(), paging.while_.as_ref()].into_iter().flatten() {
        wanted.push(name(pointer)?);
    }
    let mut seen = |facts: &mut Facts, name: &str, value: &str| {
        wanted.retain(|w| w != name);
        facts.note(paging, name, value);
    };
    let mut scanner = Scanner::new(answer);
    scanner.enter(b'{').ok().filter(|there| *there)?;
    let mut first = true;
    loop {
        let found = scanner.member(&mut first).ok()??;
        if found == list {
            break;
        }
        seen(&mut facts, found, scanner.value().ok()?);
    }
    scanner.enter(b'[').ok().filter(|there| *there)?;
    facts.empty = scanner.peek().ok()? == b']';
    let end = answer.rfind(']')?;
    let (mut tail, mut first) = (Scanner::new(&answer[end + 1..]), false);
    while let Some(found) = tail.member(&mut first).ok()? {
        seen(&mut facts, found, tail.value().ok()?);
    }
    tail.end().ok()?;
    wanted.is_empty().then_some(facts)
}

impl Facts {
    /// Notes a member of the envelope, if it is one that is looked for.
    fn note(&mut self, paging: &Paging, name: &str, value: &str) {
        let is = |p: &Option<Pointer>| p.as_ref().is_some_and(|p| p.0 == [name]);
        if is(&paging.from) {
            (self.from, self.odd) = (token(value), is_odd(value));
        }
        if is(&paging.while_) {
            self.more = boolean(value);
        }
    }
}

fn boolean(value: &str) -> Option<bool> {
    match value {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Reads the whole envelope in one pass, and counts the records.
fn whole(paging: &Paging, rows: Option<&Pointer>, answer: &str) -> std::result::Result<Facts, Malformed> {
    let mut facts = Facts::default();
    let mut scanner = Scanner::new(answer);
    let mut first = true;
    if !scanner.enter(b'{')? {
        return Ok(facts);
    }
    while let Some(name) = scanner.member(&mut first)? {
        let value = scanner.value()?;
        let below = |p: Option<&Pointer>| -> std::result::Result<Option<&str>, Malformed> {
            match p.and_then(|p| p.0.split_first()) {
                Some((head, rest)) if unescape(name).is_some_and(|n| n == head.as_str()) => pointer(value, rest),
                _ => Ok(None),
            }
        };
        if let Some(list) = below(rows)? {
            let last = last_of(list)?;
            facts.empty = last.is_none();
            if let (Some(last), Some(at)) = (last, &paging.last) {
                facts.last = pointer(last, &at.0)?.and_then(token);
            }
        }
        if let Some(found) = below(paging.from.as_ref())? {
            (facts.from, facts.odd) = (token(found), is_odd(found));
        }
        if let Some(found) = below(paging.while_.as_ref())? {
            facts.more = boolean(found);
        }
    }
    Ok(facts)
}

fn last_of(list: &str) -> std::result::Result<Option<&str>, Malformed> {
    let mut scanner = Scanner::new(list);
    let (mut last, mut first) = (None, true);
    if scanner.enter(b'[')? {
        while scanner.element(&mut first)? {
            last = Some(scanner.value()?);
        }
    }
    Ok(last)
}

/// Whether something stands at a token's place that is neither a token nor its absence.
fn is_odd(value: &str) -> bool {
    token(value).is_none() && value != "\"\"" && Kind::of(value) != Kind::Null
}

/// A token as it is sent: a string's characters or a number's digits.
fn token(value: &str) -> Option<String> {
    match Kind::of(value) {
        Kind::String => {
            read(inner(value)).filter(|(t, replaced)| !t.is_empty() && !replaced).map(|(t, _)| t.into_owned())
        }
        Kind::Number => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::fetch::Call;
    use crate::schema::{Catalog, Table};

    fn paging(from: Option<&str>, last: Option<&str>, while_: Option<&str>) -> Paging {
        let pointer = |p: Option<&str>| p.map(|p| Pointer::parse(p).unwrap());
        Paging {
            send: "after".into(),
            from: pointer(from),
            last: pointer(last),
            while_: pointer(while_),
            until_empty: false,
            empty_ends: false,
            size: Default::default(),
        }
    }

    fn next(paging: &Paging, answer: &str) -> std::result::Result<Option<String>, String> {
        let rows = Pointer::parse("/data").unwrap();
        Chain::default().next(paging, Some(&rows), answer).map_err(|e| e.to_string())
    }

    #[test]
    fn the_forms_of_paging() {
        let last_id = paging(Some("/last_id"), Some("/id"), Some("/has_more"));
        assert_eq!(next(&last_id, r#"{"data":[{"id":"a"}],"last_id":"b","has_more":true}"#), Ok(Some("b".into())));
        assert_eq!(next(&last_id, r#"{"has_more":true,"last_id":null,"data":[{"id":"a"}]}"#), Ok(Some("a".into())));
        assert_eq!(next(&last_id, r#"{"data":[{"id":"a"}],"last_id":"a","has_more":false}"#), Ok(None));
        assert!(next(&last_id, r#"{"data":[],"last_id":null,"has_more":true}"#).unwrap_err().contains("not where"));
        assert!(next(&last_id, r#"{"data":[]}"#).unwrap_err().contains("/has_more"));
        assert!(next(&last_id, r#"{"data":["#).unwrap_err().contains("not JSON"));

        let cursor = paging(Some("/cursor"), None, None);
        assert_eq!(next(&cursor, r#"{"data":[1],"cursor":"c"}"#), Ok(Some("c".into())));
        assert_eq!(next(&cursor, r#"{"data":[1],"cursor":null}"#), Ok(None));

        let version = paging(Some("/v/last_version"), None, Some("/v/has_more"));
        assert_eq!(next(&version, r#"{"v":{"has_more":true,"last_version":7}}"#), Ok(Some("7".into())));

        let empties = Paging { empty_ends: true, ..paging(Some("/next_page"), None, Some("/has_more")) };
        assert_eq!(next(&empties, r#"{"data":[],"next_page":"p","has_more":true}"#), Ok(None));

        let absent = Paging { until_empty: true, ..paging(None, Some("/id"), Some("/has_more")) };
        assert_eq!(next(&absent, r#"{"data":[{"id":"a"}]}"#), Ok(Some("a".into())));
        assert_eq!(next(&absent, r#"{"data":[]}"#), Ok(None));
    }

    #[test]
    fn a_circle_is_an_error() {
        let paging = paging(Some("/next"), None, Some("/has_more"));
        let mut chain = Chain::default();
        let page = |t: &str| format!(r#"{{"data":[1],"next":"{t}","has_more":true}}"#);
        assert!(chain.next(&paging, None, &page("a")).is_ok());
        assert!(chain.next(&paging, None, &page("b")).is_ok());
        assert!(chain.next(&paging, None, &page("a")).unwrap_err().to_string().contains("circles"));
    }

    /// A list cut into pages, as an API serves it to a table's requests.
    #[derive(Debug)]
    struct Served {
        /// Records on each page.
        sizes: Vec<usize>,
        /// Pages that do not name the next one, where the last record does.
        silent: Vec<bool>,
        /// Whether a page beyond the last record is promised.
        beyond: bool,
    }

    impl Served {
        /// The page that a request asks for, and the numbers of its records.
        fn answer(&self, table: &Table, token: Option<&str>) -> (String, Vec<usize>) {
            let paging = table.paging.as_ref().unwrap();
            let total: usize = self.sizes.iter().sum();
            let start = token.map_or(0, |t| t.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap());
            let cut = self.sizes.iter().scan(0, |sum, size| {
                *sum += size;
                Some(*sum)
            });
            let end = cut.filter(|end| *end > start).min().unwrap_or(total);
            let numbers: Vec<usize> = (start..end).collect();
            let records = numbers.iter().map(|n| json!({"id": format!("r{}", n + 1), "version": n + 1}));
            let mut answer = json!({});
            let mut set = |at: &Pointer, value: Value| {
                let (last, path) = at.0.split_last().unwrap();
                let place = path.iter().fold(&mut answer, |place, name| &mut place[name]);
                place[last] = value;
            };
            set(&table.request.rows[0], records.collect());
            let promised = self.beyond && (paging.empty_ends || paging.until_empty);
            let more = end < total || (promised && start < end);
            if let Some(at) = &paging.from {
                let silent = paging.last.is_some() && self.silent[numbers.len() % self.silent.len()];
                let number = paging.last.as_ref().is_some_and(|last| last.0 == ["version"]);
                set(
                    at,
                    if silent || !more {
                        Value::Null
                    } else if number {
                        end.into()
                    } else {
                        format!("t{end}").into()
                    },
                );
            }
            if let Some(at) = paging.while_.as_ref().filter(|_| !(paging.until_empty && self.beyond)) {
                set(at, more.into());
            }
            (answer.to_string(), numbers)
        }
    }

    /// What the request sends for the page, in its query or its body; once.
    fn sent(call: &Call, name: &str) -> Option<String> {
        let of_body = call.body.as_ref().and_then(|body| body.get(name)).map(|v| v.as_str().unwrap().to_string());
        let of_query: Vec<&String> = call.query.iter().filter(|(n, _)| n == name).map(|(_, value)| value).collect();
        assert!(of_query.len() + usize::from(of_body.is_some()) <= 1, "{call:?}");
        of_body.or_else(|| of_query.first().map(|v| v.to_string()))
    }

    /// One table for each form: `after` by last id, by the last item, by `next`, by a version and by a time;
    /// `page`; `cursor` in the query and in a body; with `until_empty` and `empty_ends`.
    const FORMS: [&str; 8] = [
        "users",
        "external_keys",
        "costs",
        "codex_usage",
        "user_role_assignments",
        "chatgpt_users",
        "chatgpt_skills",
        "chatgpt_canvas_versions",
    ];

    proptest! {
        /// Whatever way a list is cut into pages, and however the API pages, each record comes once.
        #[test]
        fn any_paging_yields_each_record_once(
            table in prop::sample::select(&FORMS[..]),
            sizes in prop::collection::vec(1_usize..5, 0..12),
            silent in prop::collection::vec(any::<bool>(), 4),
            beyond in any::<bool>(),
        ) {
            static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::load(None).unwrap());
            let table = CATALOG.get(table).unwrap();
            let (paging, served) = (table.paging.as_ref().unwrap(), Served { sizes, silent, beyond });
            let first = Call::new(table, |_| Some("x"), None, 0, &[]).unwrap();
            let (mut chain, mut call, mut got) = (Chain::default(), first.clone(), Vec::new());
            loop {
                let (answer, numbers) = served.answer(table, sent(&call, &paging.send).as_deref());
                got.extend(numbers);
                let Some(token) = chain.next(paging, table.request.rows.first(), &answer).unwrap() else { break };
                call = first.page(&paging.send, &token);
            }
            prop_assert_eq!(got, (0..served.sizes.iter().sum()).collect::<Vec<usize>>());
        }

        #[test]
        fn any_answer_ends_without_panic(answers in prop::collection::vec(r#"[\[\]{}":,0-9a-z_ ]{0,40}"#, 0..5)) {
            let paging = paging(Some("/last_id"), Some("/id"), Some("/has_more"));
            let (mut chain, rows) = (Chain::default(), Pointer::parse("/data").unwrap());
            for answer in answers {
                let _ = chain.next(&paging, Some(&rows), &answer);
            }
        }
    }
}
