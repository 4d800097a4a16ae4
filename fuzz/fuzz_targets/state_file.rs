//! A state file: what is accepted is saved and loaded unchanged, and a sync can go on from it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openai_elt::workbench::state_file;
use openai_elt_fuzz::text;

fuzz_target!(|data: &[u8]| {
    let Some(text) = text(data) else { return };
    if let Err(what) = state_file(text) {
        panic!("{what}");
    }
});
