//! Tables as the lake really has them.
//!
//! The object of a table that is read whole decides the order of its columns (a
//! warehouse may load by position), and whether it keeps versions of rows:
//! `history = true` may stand in a configuration that is not at hand here.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use super::changes::Changes;
use crate::error::{Kind, Result};
use crate::lake::{Lake, open_old};
use crate::schema::Table;

/// Objects whose footers are read at a time.
const FOOTERS: usize = 16;

pub(crate) async fn fitted(lake: &Lake, held: &Changes, tables: Vec<Arc<Table>>) -> Result<Vec<Arc<Table>>> {
    let fit = |table: Arc<Table>| async move {
        match held.get(&table.name) {
            Some(slices) if slices.whole && table.slices.is_none() => fit(lake, table).await,
            _ => Ok(table),
        }
    };
    futures::stream::iter(tables).map(fit).buffered(FOOTERS).try_collect().await
}

async fn fit(lake: &Lake, table: Arc<Table>) -> Result<Arc<Table>> {
    let object = match open_old(lake, &table, None).await {
        Ok(Some(object)) => object,
        Ok(None) => return Ok(table),
        // Whoever reads it will tell, and of this table only.
        Err(error) if error.kind == Kind::Integrity => return Ok(table),
        Err(error) => return Err(error),
    };
    let mut fitted = Table::clone(&table);
    let versions = object.schema().field_with_name("_valid_from").is_ok();
    if versions && !fitted.history && fitted.policy == crate::schema::Policy::Snapshot {
        fitted = fitted.with_history()?;
    }
    let key: Vec<String> = fitted.key.iter().map(|k| fitted.columns[*k].name.clone()).collect();
    let place = |name: &str| object.schema().index_of(name).unwrap_or(usize::MAX);
    fitted.columns.sort_by_key(|c| place(&c.name));
    fitted.key = key.iter().filter_map(|name| fitted.column(name)).collect();
    Ok(Arc::new(fitted))
}
