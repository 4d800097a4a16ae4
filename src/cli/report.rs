//! `report`: one HTML page made from the lake, into a file.

use std::io::Write as _;
use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};

use super::Exit;
use super::sync::{catalog, destination};
use crate::config::moment;
use crate::console::{data, tell};
use crate::error::{Error, Result};
use crate::html_report;
use crate::lake::{Lake, StateFile};

pub(crate) async fn command(args: &super::Report, now: DateTime<Utc>) -> Result<Exit> {
    let (catalog, file) = catalog(&args.common)?;
    let lake = Lake::existing(&destination(args.dest.as_ref(), &file)?)?;
    lake.must_be_there().await?;
    let elsewhere = args.state.clone().or(file.state);
    let state = StateFile::open(&lake, elsewhere.as_deref())?.load().await?;
    let days = (day("--since", args.since.as_ref())?, day("--until", args.until.as_ref())?);
    if let (Some(since), Some(until)) = days
        && since >= until
    {
        return Err(Error::usage(format!("--since {since} is not before --until {until}"))
            .hint("--until is the day after the last one told"));
    }
    let text = html_report::render(&html_report::collect(&lake, &catalog, &state, days, now).await?);
    if args.out.as_os_str() == "-" {
        data(&text);
        return Ok(Exit::Good);
    }
    save(&args.out, &text)?;
    tell(&format!("wrote {}: open it in a browser", args.out.display()));
    Ok(Exit::Good)
}

fn day(flag: &str, text: Option<&String>) -> Result<Option<NaiveDate>> {
    text.map(|text| moment(flag, text).map(|time| time.date_naive())).transpose()
}

/// For its owner only: it holds names and amounts. Written aside, so that a browser never shows half of it.
fn save(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |e: std::io::Error| {
        Error::storage(format!("{} cannot be written: {e}", path.display()))
            .hint("give --out a file in a folder that is there, or - for standard output")
    };
    let name = path.file_name().ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
    let aside = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).map_err(failed)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| std::fs::rename(&aside, path));
    written.map_err(|e| {
        let _ = std::fs::remove_file(&aside);
        failed(e)
    })
}
