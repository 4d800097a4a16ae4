//! The middle of the program on one core, beside the limit: from pages in memory to Parquet in memory.
//!
//! `cd bench && cargo bench --bench engine`. Time is time on the processor ([`clock`]).
//! `whole` holds the engine against code written by hand for each set, which
//! makes the same objects, one a day; `decode`, `encode` and `merge` are its parts.

mod by_hand;
mod clock;
mod pages;

use arrow_array::RecordBatch;
use chrono::{DateTime, NaiveDate};
use clock::OnCpu;
use criterion::{BatchSize, Criterion, Throughput};
use openai_elt::workbench::{Bench, Slices};
use pages::{Asked, BEGIN, DAY, Set};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Rows that are decoded before they are handed on, as a sync does it.
const BATCH: usize = 8_192;

/// One set: its table, and the pages of each object that is made of it.
struct Work {
    set: &'static str,
    table: &'static str,
    objects: Vec<Object>,
    bytes: u64,
}

struct Object {
    day: Option<NaiveDate>,
    pages: Vec<String>,
}

impl Work {
    /// A tenth of the users; of the others, so many days.
    fn new(set: &'static str, table: &'static str, days: i64) -> Outcome<Work> {
        let all = Set::new(set, if days == 0 { 0.1 } else { 1.0 }).ok_or("no such set")?;
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
fn list(set: &Set, since: Option<i64>, until: Option<i64>) -> Outcome<Vec<String>> {
    let (mut pages, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        let page = set.page(&Asked { since, until, after: after.as_deref(), limit: 100 }).ok_or("no such page")?;
        let (_, tail) = page.rsplit_once(']').ok_or("no list")?;
        let token = tail.rsplit_once("\",\"has_more\":true").and_then(|(tail, _)| tail.rsplit_once('"'));
        after = token.map(|(_, token)| token.to_string());
        pages.push(page);
        if after.is_none() {
            return Ok(pages);
        }
    }
}

/// The batches of one object's pages.
fn decode(decoder: &mut Bench, pages: &[String]) -> Outcome<Vec<RecordBatch>> {
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
fn engine(work: &Work) -> Outcome<u64> {
    let mut decoder = Bench::new(work.table).ok_or("no such table")?;
    let slices = Slices::new(work.table).ok_or("no such table")?;
    let mut rows = 0;
    for object in &work.objects {
        rows += slices.write(object.day, decode(&mut decoder, &object.pages)?)?.0;
    }
    Ok(rows)
}

/// The same by hand.
fn limit(work: &Work) -> Outcome<u64> {
    let mut rows = 0;
    for object in &work.objects {
        rows += by_hand::encode(work.set, &object.pages)?.0 as u64;
    }
    Ok(rows)
}

fn whole(criterion: &mut Criterion<OnCpu>, work: &Work) -> Outcome<()> {
    // Both must do the same work, or the fraction says nothing.
    let (ours, theirs) = (engine(work)?, limit(work)?);
    if ours != theirs {
        return Err(format!("{}: the engine made {ours} rows, the code by hand {theirs}", work.set).into());
    }
    let mut group = criterion.benchmark_group(format!("whole-{}", work.set));
    group.throughput(Throughput::Bytes(work.bytes));
    group.bench_function("limit", |bencher| bencher.iter(|| limit(work).is_ok()));
    group.bench_function("engine", |bencher| bencher.iter(|| engine(work).is_ok()));
    group.finish();
    Ok(())
}

fn parts(criterion: &mut Criterion<OnCpu>, work: &Work) -> Outcome<()> {
    let mut decoder = Bench::new(work.table).ok_or("no such table")?;
    let mut batches = Vec::new();
    for object in &work.objects {
        batches.push((object.day, decode(&mut decoder, &object.pages)?));
    }
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(work.bytes));
    group.bench_function(work.set, |bencher| {
        bencher.iter(|| work.objects.iter().all(|object| decode(&mut decoder, &object.pages).is_ok()));
    });
    group.finish();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Bytes(work.bytes));
    group.bench_function(work.set, |bencher| {
        let fresh = || (Slices::new(work.table), batches.clone());
        let write = |(slices, batches): (Option<Slices>, Days)| {
            slices.is_some_and(|slices| batches.into_iter().all(|(day, batches)| slices.write(day, batches).is_ok()))
        };
        bencher.iter_batched(fresh, write, BatchSize::PerIteration);
    });
    group.finish();
    Ok(())
}

/// The rows of each day.
type Days = Vec<(Option<NaiveDate>, Vec<RecordBatch>)>;

/// A slice of 100,000 users is rewritten: every tenth came again, the others become tombstones.
fn merge(criterion: &mut Criterion<OnCpu>) -> Outcome<()> {
    let set = Set::new("users", 0.5).ok_or("no such set")?;
    let mut decoder = Bench::new("users").ok_or("no such table")?;
    let old = decode(&mut decoder, &list(&set, None, None)?)?;
    let new: Vec<RecordBatch> = old.iter().map(|batch| batch.slice(0, batch.num_rows() / 10)).collect();
    let mut group = criterion.benchmark_group("merge");
    group.throughput(Throughput::Elements(old.iter().map(|batch| batch.num_rows() as u64).sum()));
    group.bench_function("users", |bencher| {
        let filled = || {
            let slices = Slices::new("users")?;
            slices.write(None, old.clone()).is_ok().then_some((slices, new.clone()))
        };
        let write = |filled: Option<(Slices, Vec<RecordBatch>)>| {
            filled.is_some_and(|(slices, batches)| slices.write(None, batches).is_ok())
        };
        bencher.iter_batched(filled, write, BatchSize::PerIteration);
    });
    group.finish();
    Ok(())
}

fn main() -> Outcome<()> {
    let mut criterion = Criterion::default().with_measurement(OnCpu).sample_size(20).configure_from_args();
    let works = [
        Work::new("users", "users", 0)?,
        Work::new("usage", "usage_completions", 31)?,
        Work::new("audit", "audit_logs", 31)?,
    ];
    for work in &works {
        whole(&mut criterion, work)?;
        parts(&mut criterion, work)?;
    }
    merge(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
