//! A table's rows, for whoever adds something up: only the columns wanted, batch by batch.
//!
//! One batch is in memory at a time, whatever the table's size. The footers of the
//! next objects are read ahead, because an object store takes its time for each.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use chrono::NaiveDate;
use futures::{StreamExt, TryStreamExt};

use super::{Lake, open_old};
use crate::error::{Error, Result};
use crate::schema::Table;

/// Objects whose footers are read at the same time.
const AHEAD: usize = 8;

/// Days from the first on, and before the second; either may be open.
pub(crate) type Days = (Option<NaiveDate>, Option<NaiveDate>);

impl Lake {
    /// Hands each batch of the table's objects to `each`, oldest day first, in these columns and this order.
    ///
    /// A column that an object lacks is null. Gives the number of objects read: none means that the table is
    /// not in the lake, or has no such day.
    pub(crate) async fn scan(
        &self,
        table: &Table,
        columns: &[&str],
        (since, until): Days,
        mut each: impl FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<usize> {
        let wanted = wanted(table, columns)?;
        let slices: Vec<Option<NaiveDate>> = match table.slices {
            None => vec![None],
            Some(_) => {
                let days = self.days(table).await?.into_iter();
                let inside = |day: &NaiveDate| since.is_none_or(|s| *day >= s) && until.is_none_or(|u| *day < u);
                days.filter(inside).map(Some).collect()
            }
        };
        let mut objects = futures::stream::iter(slices).map(|day| open_old(self, table, day)).buffered(AHEAD);
        let mut read = 0;
        while let Some(old) = objects.try_next().await? {
            let Some(old) = old else { continue };
            let mut rows = old.columns(Arc::clone(&wanted))?;
            while let Some(batch) = rows.try_next().await? {
                each(&batch)?;
            }
            read += 1;
        }
        Ok(read)
    }
}

fn wanted(table: &Table, columns: &[&str]) -> Result<SchemaRef> {
    let all = table.arrow();
    let field = |name: &&str| {
        all.field_with_name(name).cloned().map_err(|_| {
            Error::usage(format!("the table `{}` has no column `{name}`", table.name))
                .hint("a table file of --schemas overrides the built-in one: give it this column too")
        })
    };
    Ok(Arc::new(Schema::new(columns.iter().map(field).collect::<Result<Vec<_>>>()?)))
}
