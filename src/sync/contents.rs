//! `--download-files`: the bytes of the files that a table's rows tell of.
//!
//! The source keeps a file for hours, so only rows of that time are looked at,
//! also those that an earlier run wrote: a file that failed is asked for again.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use chrono::{DateTime, Duration, NaiveDate, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use super::Run;
use super::units::{Unit, unit};
use crate::console::plain;
use crate::error::{Kind, Result};
use crate::fetch::Call;
use crate::lake::{Lake, open_old};
use crate::schema::{Contents, From, Slices, Table, Type};

/// Files of one table that are under way at the same time.
const DOWNLOADS: usize = 4;

/// A file that is not kept yet.
struct Wanted {
    unit: Unit,
    call: Call,
    id: String,
    day: NaiveDate,
}

/// Keeps what is new of the table's files. What cannot be had is told, and fails nothing else.
pub(super) async fn keep(run: &Run, table: &Arc<Table>) -> Result<()> {
    let (Some(contents), Some(slices)) = (&table.contents, &table.slices) else { return Ok(()) };
    let since = run.time(table) - Duration::seconds(contents.kept);
    let days: Vec<NaiveDate> =
        since.date_naive().iter_days().take_while(|day| *day <= run.time(table).date_naive()).collect();
    let mut known = run.lake.blobs(days.iter().copied()).await?;
    let mut gone = 0;
    for day in days {
        let Some(old) = open_old(&run.lake, table, Some(day)).await? else { continue };
        let mut rows = old.stream()?;
        while let Some(batch) = rows.try_next().await? {
            let wanted = wanted(run, table, contents, slices, &batch, (since, day), &mut known)?;
            let fetched = stream::iter(wanted).map(|file| fetch(run, table, file)).buffer_unordered(DOWNLOADS);
            gone += fetched.try_fold(0, |gone, was_there| async move { Ok(gone + u64::from(!was_there)) }).await?;
        }
    }
    if gone > 0 {
        run.track(table).warn(format!("{gone} files were not at the source any more: it keeps them for a short time"));
    }
    Ok(())
}

fn wanted(
    run: &Run,
    table: &Table,
    contents: &Contents,
    slices: &Slices,
    batch: &RecordBatch,
    (since, day): (DateTime<Utc>, NaiveDate),
    known: &mut HashSet<String>,
) -> Result<Vec<Wanted>> {
    let column = |index: usize| batch.column_by_name(&table.columns[index].name);
    let text = |index: usize, row: usize| {
        let array = column(index)?.as_string_opt::<i32>()?;
        array.is_valid(row).then(|| array.value(row))
    };
    let times = column(slices.by).and_then(|a| a.as_primitive_opt::<TimestampMicrosecondType>());
    let young = |row: usize| times.is_some_and(|t| t.is_valid(row) && t.value(row) >= since.timestamp_micros());
    let bound: Vec<(usize, &str)> = table
        .columns
        .iter()
        .enumerate()
        .filter_map(|(index, c)| match &c.from {
            From::Bound(name) if c.kind == Type::String => Some((index, name.as_str())),
            _ => None,
        })
        .collect();
    let mut wanted = Vec::new();
    for row in (0..batch.num_rows()).filter(|row| young(*row)) {
        let Some(id) = text(contents.id, row).filter(|id| known.insert(Lake::blob_name(id))) else { continue };
        let of = |name: &str| table.column(name).and_then(|index| text(index, row));
        // A file that no user attached (a key or the system did) cannot be asked for.
        let Ok(path) = contents.path.fill(of) else { continue };
        let query =
            contents.query.iter().filter_map(|(name, from)| Some((name.clone(), text(*from, row)?.to_string())));
        let call = Call::file(path, query.collect());
        let bound = bound.iter().filter_map(|(i, name)| Some((name.to_string(), text(*i, row)?.to_string())));
        let Some(unit) = unit(run, table, &bound.collect::<Vec<_>>()) else { continue };
        wanted.push(Wanted { unit, call, id: id.to_string(), day });
    }
    Ok(wanted)
}

/// Keeps one file; false when the source no longer has it.
async fn fetch(run: &Run, table: &Table, file: Wanted) -> Result<bool> {
    let track = run.track(table);
    let client = &file.unit.client;
    let kept = client.persist(&track.meter, || async {
        let mut download = client.open(&file.call, &track.meter).await?;
        let mut blob = run.lake.blob(file.day, &file.id)?;
        loop {
            match download.part(&track.meter).await {
                Ok(Some(part)) => blob.write(part).await?,
                Ok(None) => return blob.finish().await,
                Err(error) => {
                    blob.abandon().await;
                    return Err(error);
                }
            }
        }
    });
    match kept.await {
        Ok(path) => {
            tracing::debug!(%path, "kept");
            track.files.fetch_add(1, Ordering::Relaxed);
            Ok(true)
        }
        Err(error) if matches!(error.kind, Kind::NotThere | Kind::Retired) => Ok(false),
        Err(error) if matches!(error.kind, Kind::Storage | Kind::Integrity) => Err(error),
        Err(error) => {
            let error = error.rather("the next run asks for this file again, as long as the source has it");
            track.skip(format!("file {}", plain(&file.id)), &error);
            Ok(true)
        }
    }
}
