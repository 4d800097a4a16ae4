//! One log file: the first byte chooses the table, the rest is the file.
//!
//! Holds that a broken line takes no other one with it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openai_elt_fuzz::{FILES, bench, text};

fuzz_target!(|data: &[u8]| {
    let Some((bench, rest)) = bench(&FILES, data) else { return };
    let Some(text) = text(rest) else { return };
    if let Err(what) = bench.hold_lines(text, r#"{"event_id":"good"}"#) {
        panic!("{}: {what}", bench.name());
    }
});
