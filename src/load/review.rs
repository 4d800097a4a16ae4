//! What differs between the lake, the target's bookkeeping and the target's rows.
//!
//! Pure. The bookkeeping says which object was loaded as which slice, and how many
//! rows it had. The target is asked how many rows each slice has now: one `GROUP BY`
//! of the day, which is cheap beside any load. A value that somebody changes in
//! place keeps the count and is not seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::lake::Found;

/// What the bookkeeping says of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) fingerprint: String,
    /// `None` if somebody removed the number.
    pub(super) rows: Option<u64>,
}

/// Rows by day as the target writes it; `None` for rows without a day, and for a table read whole.
pub(super) type Counts = BTreeMap<Option<String>, u64>;

/// What a load has to do for one table.
#[derive(Debug, Default)]
pub(super) struct Review {
    /// Slices to load.
    pub(super) changed: Vec<Found>,
    pub(super) unchanged: u64,
    /// Slices of `changed` whose object is the one that was loaded, but whose rows are not: path, recorded, counted.
    pub(super) damaged: Vec<(String, Option<u64>, u64)>,
    /// Slices of the bookkeeping that the lake no longer has.
    pub(super) gone: Vec<String>,
    /// Slices of `gone` that hold other rows than were loaded.
    pub(super) gone_damaged: u64,
    /// Slices that neither the lake nor the target has any more.
    pub(super) lost: Vec<String>,
    /// Rows of days that neither the lake nor the bookkeeping knows.
    pub(super) foreign: Counts,
}

/// Compares the objects of a table with its records and with its rows.
pub(super) fn review(by_day: bool, objects: &[Found], records: &BTreeMap<String, Record>, counts: &Counts) -> Review {
    let mut review = Review::default();
    let held = |day: &Option<String>| counts.get(day).copied().unwrap_or(0);
    for object in objects {
        let day = object.day.map(|day| day.to_string());
        match records.get(&object.path) {
            Some(record) if record.fingerprint == object.fingerprint() => {
                if record.rows == Some(held(&day)) {
                    review.unchanged += 1;
                    continue;
                }
                review.damaged.push((object.path.clone(), record.rows, held(&day)));
            }
            _ => {}
        }
        review.changed.push(object.clone());
    }
    let known: BTreeSet<&str> = objects.iter().map(|object| object.path.as_str()).collect();
    for (path, record) in records.iter().filter(|(path, _)| !known.contains(path.as_str())) {
        match (held(&day_of(path)), record.rows) {
            (0, Some(0)) => review.gone.push(path.clone()),
            (0, _) => review.lost.push(path.clone()),
            (rows, recorded) => {
                review.gone.push(path.clone());
                review.gone_damaged += u64::from(recorded != Some(rows));
            }
        }
    }
    if by_day {
        let of_objects = objects.iter().map(|object| object.day.map(|day| day.to_string()));
        let days: BTreeSet<Option<String>> = of_objects.chain(records.keys().map(|path| day_of(path))).collect();
        review.foreign = counts.iter().filter(|(day, _)| !days.contains(day)).map(|(d, n)| (d.clone(), *n)).collect();
    }
    review
}

/// `costs/date=2026-11-20/data.parquet` → `2026-11-20`.
fn day_of(path: &str) -> Option<String> {
    path.split('/').find_map(|part| part.strip_prefix("date=")).map(str::to_string)
}
