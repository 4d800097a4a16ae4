//! What the report adds up: each aggregate takes batches and keeps sums. Pure.

pub(super) mod audit;
pub(super) mod codex;
pub(super) mod freshness;
pub(super) mod names;
pub(super) mod spend;
pub(super) mod tokens;
