//! The middle of the program on one core, beside the limit: from pages in memory to Parquet in memory.
//!
//! `cd bench && cargo bench --bench engine`. Time is time on the processor ([`clock`]).
//! `whole` holds the engine against code written by hand for each set, which
//! makes the same objects, one a day; `decode`, `encode` and `merge` are its parts.

mod by_hand;
mod clock;
mod pages;
mod processor;
mod work;

use arrow_array::RecordBatch;
use chrono::NaiveDate;
use clock::OnCpu;
use criterion::{BatchSize, Criterion, Throughput};
use openai_elt::workbench::{Bench, Slices};
use pages::Set;
use work::{Outcome, Work, decode, engine, limit, list};

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

/// Days of a set that are enough here.
const DAYS: i64 = 31;

fn main() -> Outcome<()> {
    let mut criterion = Criterion::default().with_measurement(OnCpu).sample_size(20).configure_from_args();
    let works = [Work::new("users", 0.1, DAYS)?, Work::new("usage", 1.0, DAYS)?, Work::new("audit", 1.0, DAYS)?];
    for work in &works {
        whole(&mut criterion, work)?;
        parts(&mut criterion, work)?;
    }
    merge(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
