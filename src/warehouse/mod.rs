//! What warehouses are told: the SQL that makes and fills their tables.

mod changes;
mod dialect;
mod fitted;
mod script;
#[cfg(test)]
mod tests;

pub(crate) use changes::{Changes, Runs, all, of_runs};
pub(crate) use dialect::{Dialect, Name};
pub(crate) use fitted::fitted;
pub(crate) use script::Order;
