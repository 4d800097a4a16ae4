//! `state show|reset|export`: how far each table is settled.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::sync::destination;
use super::{Exit, StateAction, StateOf};
use crate::config::File;
use crate::console::{data, tell};
use crate::error::{Error, Result, nearest};
use crate::lake::{Lake, Lease, StateFile};
use crate::report::text_table;
use crate::schema::glob;

pub(crate) async fn command(args: &super::State) -> Result<Exit> {
    match &args.action {
        StateAction::Show(of) => {
            let (_, file) = open(of)?;
            let state = file.load().await?;
            let rows: Vec<Vec<String>> = state
                .tables
                .iter()
                .map(|(name, t)| vec![name.clone(), t.settled.format("%Y-%m-%d %H:%M:%S UTC").to_string()])
                .collect();
            data(&text_table(&["table", "settled"], &rows, &[false, false]));
        }
        StateAction::Export(of) => {
            let (_, file) = open(of)?;
            data(&file.load().await?.text());
        }
        StateAction::Reset { tables, of } => reset(tables, of).await?,
    }
    Ok(Exit::Good)
}

fn open(of: &StateOf) -> Result<(Arc<Lake>, StateFile)> {
    let config = File::read(of.config.as_deref())?;
    let dest = destination(of.dest.as_ref(), &config)?;
    if !dest.contains("://") && !std::path::Path::new(&dest).exists() {
        return Err(Error::usage(format!("the destination {dest} is not there"))
            .hint("give --dest the folder that was synced to"));
    }
    let lake = Arc::new(Lake::open(&dest)?);
    let state = of.state.clone().or(config.state);
    let file = StateFile::open(&lake, state.as_deref())?;
    Ok((lake, file))
}

async fn reset(patterns: &[String], of: &StateOf) -> Result<()> {
    let (lake, file) = open(of)?;
    let lease = Lease::take(&lake, "state reset", &CancellationToken::new()).await?;
    let mut state = file.load().await?;
    for pattern in patterns {
        if !state.tables.keys().any(|name| glob(pattern, name)) {
            let error = Error::usage(format!("the state knows no table `{pattern}`"));
            return Err(match nearest(pattern, state.tables.keys().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("`openai-elt state show` lists them"),
            });
        }
    }
    let of = |name: &String| patterns.iter().any(|p| glob(p, name));
    let forgotten: Vec<String> = state.tables.keys().filter(|name| of(name)).cloned().collect();
    state.tables.retain(|name, _| !of(name));
    file.save(&state).await?;
    lease.release().await;
    tell(&format!("forgotten: {}; the next sync reads their whole history again", forgotten.join(", ")));
    Ok(())
}
