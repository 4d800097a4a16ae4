//! A refusal of the API: its status in the first line, its headers up to an empty line, and its body.
//!
//! Holds that what is shown has neither the key nor a control character in it,
//! and that what is asked instead is less.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openai_elt::workbench::refusal;
use openai_elt_fuzz::refused;

fuzz_target!(|data: &[u8]| {
    let Some((status, headers, body)) = refused(data) else { return };
    if let Err(what) = refusal(status, headers, body) {
        panic!("{what}");
    }
});
