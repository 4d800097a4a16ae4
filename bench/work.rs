//! A set as work to be done: the pages of each object that is made of them, by the engine or by hand.

use arrow_array::RecordBatch;
use chrono::{DateTime, NaiveDate};
use openai_elt::workbench::{Bench, Slices};

use crate::by_hand;
use crate::pages::{AUDIT_DAYS, Asked, BEGIN, DAY, DAYS, Set};

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Each set's table, and over how many days it goes; the users have no time.
const TABLES: [(&str, &str, i64); 3] =
    [("users", "users", 0), ("usage", "usage_completions", DAYS as i64), ("audit", "audit_logs", AUDIT_DAYS)];

/// Rows that are decoded before they are handed on, as a sync does it.
const BATCH: usize = 8_192;

/// One set: its table, and the pages of each object that is made of it.
pub(crate) struct Work {
    pub(crate) set: &'static str,
    pub(crate) table: &'static str,
    pub(crate) objects: Vec<Object>,
    pub(crate) bytes: u64,
}

pub(crate) struct Object {
    pub(crate) day: Option<NaiveDate>,
    pub(crate) pages: Vec<String>,
}

impl Work {
    /// A set that is `scale` times as large as the ordinary one, no more than `most` of its days.
    pub(crate) fn new(set: &str, scale: f64, most: i64) -> Outcome<Work> {
        let none = || format!("{set}: there are users, usage and audit");
        let (set, table, days) = TABLES.into_iter().find(|(name, ..)| *name == set).ok_or_else(none)?;
        let all = Set::new(set, scale).ok_or_else(none)?;
        let days = days.min(most);
        let mut objects = Vec::new();
        for number in 0..days.max(1) {
            let start = BEGIN + number * DAY;
            let (since, until) = if days == 0 { (None, None) } else { (Some(start), Some(start + DAY)) };
            let day = since.and_then(|s| DateTime::from_timestamp(s, 0)).map(|s| s.date_naive());
            objects.push(Object { day, pages: list(&all, since, until)? });
        }
        let bytes = objects.iter().flat_map(|o| &o.pages).map(|page| page.len() as u64).sum();
        Ok(Work { set, table, objects, bytes })
    }
}

/// All pages of a list.
pub(crate) fn list(set: &Set, since: Option<i64>, until: Option<i64>) -> Outcome<Vec<String>> {
    let (mut pages, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        let page = set.page(&Asked { since, until, after: after.as_deref(), limit: 100 }).ok_or("no such page")?;
        after = next(&page).map(str::to_string);
        pages.push(page);
        if after.is_none() {
            return Ok(pages);
        }
    }
}

/// The token of the page after this one.
pub(crate) fn next(page: &str) -> Option<&str> {
    let (_, tail) = page.rsplit_once(']')?;
    let (tail, _) = tail.rsplit_once("\",\"has_more\":true")?;
    tail.rsplit_once('"').map(|(_, token)| token)
}

/// The batches of one object's pages.
pub(crate) fn decode(decoder: &mut Bench, pages: &[String]) -> Outcome<Vec<RecordBatch>> {
    let (mut batches, mut rows) = (Vec::new(), 0);
    for page in pages {
        rows += decoder.page(page)?;
        if rows >= BATCH {
            batches.extend(decoder.take());
            rows = 0;
        }
    }
    if rows > 0 {
        batches.extend(decoder.take());
    }
    Ok(batches)
}

/// What a sync does between the answers and the store; gives the rows.
pub(crate) fn engine(work: &Work) -> Outcome<u64> {
    let mut decoder = Bench::new(work.table).ok_or("no such table")?;
    let slices = Slices::new(work.table).ok_or("no such table")?;
    let mut rows = 0;
    for object in &work.objects {
        rows += slices.write(object.day, decode(&mut decoder, &object.pages)?)?.0;
    }
    Ok(rows)
}

/// The same by hand.
pub(crate) fn limit(work: &Work) -> Outcome<u64> {
    let mut rows = 0;
    for object in &work.objects {
        rows += by_hand::encode(work.set, &object.pages)?.0 as u64;
    }
    Ok(rows)
}
