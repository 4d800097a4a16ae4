//! One answer → the next page's token, or the end of the list, or a complaint.
//!
//! Pure. A list that says "more" and does not say where, or says the same place
//! twice, is an error and never an end: silence here is lost data.

use std::collections::HashSet;

use crate::decode::json::{Kind, Malformed, Scanner, inner, pointer, unescape};
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
}

impl Default for Facts {
    fn default() -> Facts {
        Facts { empty: true, from: None, last: None, more: None }
    }
}

/// Remembers the tokens of one list, to see when it goes in circles.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    seen: HashSet<String>,
    empty_in_a_row: u32,
}

/// Some filtered lists have empty pages in between; a list with this many has no end.
const EMPTY_PAGES: u32 = 1_000;

impl Chain {
    /// The token of the page after `answer`; none at the end of the list.
    pub(crate) fn next(&mut self, paging: &Paging, rows: Option<&Pointer>, answer: &str) -> Result<Option<String>> {
        let facts = facts(paging, rows, answer).map_err(malformed)?;
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

fn go_on(paging: &Paging, facts: Facts, empty_in_a_row: &mut u32) -> Result<Option<String>> {
    let empty = facts.empty;
    let more = match (&paging.while_, facts.more) {
        (Some(_), Some(more)) => more,
        (_, None) if paging.until_empty => !empty,
        (Some(at), None) => {
            return Err(Error::contract(format!("`{at}` is missing: it says whether the list goes on"))
                .hint("the API's answer is not the documented one; nothing was changed"));
        }
        (None, _) => facts.from.is_some(),
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
            self.from = token(value);
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
            facts.from = token(found);
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

/// A token as it is sent: a string's characters or a number's digits.
fn token(value: &str) -> Option<String> {
    match Kind::of(value) {
        Kind::String => unescape(inner(value)).map(|t| t.into_owned()).filter(|t| !t.is_empty()),
        Kind::Number => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        /// Whatever way a list is cut into pages, each record comes once.
        #[test]
        fn any_paging_yields_each_record_once(
            sizes in prop::collection::vec(1_usize..5, 0..12),
            null_last_ids in prop::collection::vec(any::<bool>(), 12),
        ) {
            let total: usize = sizes.iter().sum();
            let paging = paging(Some("/last_id"), Some("/id"), Some("/has_more"));
            let rows = Pointer::parse("/data").unwrap();
            let (mut chain, mut got, mut page) = (Chain::default(), Vec::new(), 0);
            let mut start = 0;
            loop {
                let size = sizes.get(page).copied().unwrap_or(0);
                let ids: Vec<usize> = (start..start + size).collect();
                let data: Vec<String> = ids.iter().map(|i| format!("{{\"id\":\"r{i}\"}}")).collect();
                let last = match (ids.last(), null_last_ids[page.min(11)]) {
                    (Some(last), false) => format!("\"r{last}\""),
                    _ => "null".to_string(),
                };
                got.extend(ids);
                let answer = format!("{{\"data\":[{}],\"last_id\":{last},\"has_more\":{}}}", data.join(","), start + size < total);
                let Some(token) = chain.next(&paging, Some(&rows), &answer).unwrap() else { break };
                start = token[1..].parse::<usize>().unwrap() + 1;
                page += 1;
            }
            prop_assert_eq!(got, (0..total).collect::<Vec<_>>());
        }
    }
}
