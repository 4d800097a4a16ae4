//! `report`: one HTML document made from the lake, for people who do not write SQL.
//!
//! Two halves. The `aggregates` are pure: they take batches and add them up, so
//! memory grows with the number of projects and keys and never with that of rows.
//! The `sections`, with `chart` and `html`, turn them into text. `collect` is the
//! only part that reads the lake.
//!
//! The document loads nothing: no script, no font, no picture, no address.
//! Names come from the source and are hostile until escaped; [`html::Html`] takes
//! markup from this program's own literals only, so that forgetting is impossible.

mod aggregates;
mod chart;
mod collect;
mod columns;
mod document;
mod html;
mod number;
mod period;
mod sections;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use aggregates::{audit, codex, freshness, names, spend, tokens};
pub(crate) use collect::collect;
pub(crate) use document::render;

/// Everything that the report shows.
pub(crate) struct HtmlReport {
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
    fresh: freshness::Fresh,
}
