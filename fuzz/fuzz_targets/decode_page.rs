//! One answer of the API: the first byte chooses the table, the rest is the text.
//!
//! Beyond "no panic": JSON is what `serde_json` takes for it, decoding twice
//! gives the same rows, each member of each record is in its column or in
//! `_extra`, and no secret is shown (`Bench::hold`).

#![no_main]

use libfuzzer_sys::fuzz_target;
use openai_elt_fuzz::{ANSWERS, bench, text};

fuzz_target!(|data: &[u8]| {
    let Some((bench, rest)) = bench(&ANSWERS, data) else { return };
    let Some(text) = text(rest) else { return };
    if let Err(what) = bench.hold(text) {
        panic!("{}: {what}", bench.name());
    }
});
