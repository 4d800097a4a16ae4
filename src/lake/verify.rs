//! Reading objects back to compare them.

use futures::TryStreamExt;
use object_store::path::Path;

use super::Lake;
use super::keys::hashes;
use super::read::open_at;
use crate::error::{Error, Result};
use crate::schema::{From, Table};

/// The hashes of an object's keys, and of its whole rows but for the moment they were read, both sorted.
pub(crate) async fn row_hashes(lake: &Lake, table: &Table, path: &Path) -> Result<(Vec<u128>, Vec<u128>)> {
    let old = open_at(lake, path.clone()).await?.ok_or_else(|| Error::integrity(format!("{path} is not there")))?;
    let mut rows = old.stream()?;
    let (mut keys, mut all) = (Vec::new(), Vec::new());
    while let Some(batch) = rows.try_next().await? {
        let index = |name: &str| batch.schema().index_of(name).map_err(|e| Error::integrity(e.to_string()));
        let key = table.key.iter().map(|k| index(&table.columns[*k].name)).collect::<Result<Vec<_>>>()?;
        let data = table.columns.iter().filter(|c| c.from != From::SyncedAt).map(|c| index(&c.name));
        keys.extend(hashes(&batch, &key)?);
        all.extend(hashes(&batch, &data.collect::<Result<Vec<_>>>()?)?);
    }
    keys.sort_unstable();
    all.sort_unstable();
    Ok((keys, all))
}
