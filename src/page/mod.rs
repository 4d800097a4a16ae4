//! `report`: one HTML page made from the lake, for people who do not write SQL.
//!
//! Two halves that know little of each other. The aggregates (`spend`, `tokens`,
//! `codex`, `audit`, `names`, `fresh`) are pure: they are handed batches and add
//! them up, so memory grows with the number of projects and keys and never with
//! that of rows. The writers (`write_*`, `chart`, `html`) turn them into text.
//! `gather` is the only part that reads the lake.
//!
//! The page asks nobody for anything: no script, no font, no picture, no address.
//! Names come from the source and are hostile until escaped; [`html::Html`] takes
//! markup from this program's own literals only, so that forgetting is impossible.

mod audit;
mod chart;
mod codex;
mod columns;
mod fresh;
mod gather;
mod html;
mod names;
mod number;
mod period;
mod spend;
mod tokens;
mod write;
mod write_audit;
mod write_codex;
mod write_fresh;
mod write_money;
mod write_people;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

pub(crate) use gather::gather;
pub(crate) use write::write;

/// Everything that the page tells.
pub(crate) struct Page {
    made: DateTime<Utc>,
    source: String,
    period: period::Period,
    /// Tables that the page would use and the lake does not have.
    absent: BTreeSet<&'static str>,
    money: spend::Money,
    tokens: tokens::Tokens,
    names: names::Names,
    codex: codex::Codex,
    audit: audit::Audit,
    fresh: fresh::Fresh,
}
