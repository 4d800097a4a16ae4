//! A configuration file: a complaint says where; what is accepted can be planned and asked for, for every table.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openai_elt::workbench::config_file;
use openai_elt_fuzz::text;

fuzz_target!(|data: &[u8]| {
    let Some(text) = text(data) else { return };
    if let Err(what) = config_file(text) {
        panic!("{what}");
    }
});
