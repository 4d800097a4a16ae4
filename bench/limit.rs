//! The limit for a whole set: all its pages, in memory, become Parquet in memory, once, on one core.
//!
//! `cd bench && cargo run --release --bin bench-limit -- users` prints one JSON line: seconds on the
//! processor that the code by hand takes, and that the engine of the program takes. `compare.py` runs it in
//! turn with whole syncs, so that all of them meet the same machine.

mod by_hand;
mod pages;
mod processor;
mod work;

use std::io::Write;

use processor::nanoseconds;
use work::{Outcome, Work, engine, limit};

fn main() -> Outcome<()> {
    let name = std::env::args().nth(1).ok_or("which set: users, usage or audit?")?;
    let work = Work::new(&name, 1.0, i64::MAX)?;
    let timed = |what: fn(&Work) -> Outcome<u64>| -> Outcome<(u64, f64)> {
        let start = nanoseconds();
        let rows = what(&work)?;
        Ok((rows, nanoseconds().saturating_sub(start) as f64 / 1e9))
    };
    let ((rows, limit), (ours, engine)) = (timed(limit)?, timed(engine)?);
    if rows != ours {
        return Err(format!("{name}: the engine made {ours} rows, the code by hand {rows}").into());
    }
    let told = serde_json::json!({"rows": rows, "bytes": work.bytes, "limit": limit, "engine": engine});
    Ok(writeln!(std::io::stdout(), "{told}")?)
}
