//! The limit for a whole set: all its pages, in memory, become Parquet in memory, once, on one core.
//!
//! `cd bench && cargo run --release --bin bench-limit -- users 127.0.0.1:8080` prints one JSON line: seconds on
//! the processor that the code by hand takes, that the engine of the program takes, and that the pages take
//! which are only read from the benchmark's server there. `compare.py` runs it in turn with whole syncs, so that
//! all of them meet the same machine.

mod by_hand;
mod only_read;
mod pages;
mod processor;
mod work;

use std::io::Write;

use processor::nanoseconds;
use work::{Outcome, Work, engine, limit};

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("which set: users, usage or audit?")?;
    let server = arguments.next().ok_or("where is the server of the pages?")?;
    let work = Work::new(&name, 1.0, i64::MAX)?;
    let ((rows, limit), (ours, engine)) = (timed(|| limit(&work))?, timed(|| engine(&work))?);
    if rows != ours {
        return Err(format!("{name}: the engine made {ours} rows, the code by hand {rows}").into());
    }
    let ((), only_read) = timed(|| only_read::all(&server, &name))?;
    let told = serde_json::json!({
        "rows": rows, "bytes": work.bytes, "limit": limit, "engine": engine, "only_read": only_read,
    });
    Ok(writeln!(std::io::stdout(), "{told}")?)
}

/// With the seconds that it took.
fn timed<T>(what: impl FnOnce() -> Outcome<T>) -> Outcome<(T, f64)> {
    let start = nanoseconds();
    let done = what()?;
    Ok((done, nanoseconds().saturating_sub(start) as f64 / 1e9))
}
