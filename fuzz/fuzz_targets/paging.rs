//! The answers of one list, one after the other, with lines `---` between them; the first byte chooses the table.
//!
//! Holds that no token is given twice, and that the list goes where the answer's own words say.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openai_elt::workbench::Pages;
use openai_elt_fuzz::{LISTS, chosen, text};

fuzz_target!(|data: &[u8]| {
    let Some((table, rest)) = chosen(&LISTS, data) else { return };
    let (Some(pages), Some(text)) = (Pages::new(table), text(rest)) else { return };
    if let Err(what) = pages.hold(text.split("\n---\n")) {
        panic!("{table}: {what}");
    }
});
