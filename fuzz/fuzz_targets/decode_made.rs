//! One answer of the API that is always JSON: the first byte chooses the table, each other one a member or a value.
//!
//! Holds what `decode_page` holds, further in.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openai_elt_fuzz::{ANSWERS, bench};

fuzz_target!(|data: &[u8]| {
    let Some((bench, rest)) = bench(&ANSWERS, data) else { return };
    let text = bench.made(rest);
    if let Err(what) = bench.hold(&text) {
        panic!("{}: {what}\n{text}", bench.name());
    }
});
