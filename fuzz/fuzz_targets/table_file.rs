//! A table file; behind a line `---` an answer for the table, if it is one.
//!
//! Holds that a complaint says where, that an accepted table can be planned and
//! asked for, and for its rows what `decode_page` holds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openai_elt::workbench::table_file;
use openai_elt_fuzz::text;

fuzz_target!(|data: &[u8]| {
    let Some(text) = text(data) else { return };
    let (file, answer) = text.split_once("\n---\n").unwrap_or((text, "{}"));
    if let Err(what) = table_file(file, answer) {
        panic!("{what}");
    }
});
