//! The sections of the report, one file each: an aggregate in, HTML out.

pub(super) mod audit;
pub(super) mod codex;
pub(super) mod freshness;
pub(super) mod money;
pub(super) mod people;
