//! The run reports of a lake, as the commands that look back read them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::lake::Lake;

/// Of a run report, what is needed later.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    pub(super) started_at: DateTime<Utc>,
    /// None: the run was killed, or still goes on.
    pub(super) finished_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(super) tables: BTreeMap<String, Of>,
}

/// What a run says of one table.
#[derive(Debug, Deserialize)]
pub(super) struct Of {
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) requests: u64,
    #[serde(default)]
    pub(super) seconds: f64,
    #[serde(default)]
    pub(super) in_part: bool,
    #[serde(default)]
    pub(super) settled_before: Option<DateTime<Utc>>,
    pub(super) settled_after: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(super) waiting_since: Option<DateTime<Utc>>,
    pub(super) objects: Vec<Written>,
}

/// What a run says of one object.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Written {
    pub(super) path: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// All reports, the oldest run first: by their beginning and not by name, since
/// the lease lets one run end before the next begins.
pub(super) async fn reports(lake: &Lake) -> Result<Vec<Report>> {
    read(lake, usize::MAX).await
}

/// The reports of the last runs, the newest first.
pub(super) async fn newest(lake: &Lake, most: usize) -> Result<Vec<Report>> {
    let mut reports = read(lake, most).await?;
    reports.reverse();
    Ok(reports)
}

async fn read(lake: &Lake, most: usize) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for (path, text) in lake.reports(most).await? {
        let report: Report =
            serde_json::from_str(&text).map_err(|e| Error::integrity(format!("{path}: not a run report: {e}")))?;
        reports.push(report);
    }
    reports.sort_by_key(|r| r.started_at);
    Ok(reports)
}
