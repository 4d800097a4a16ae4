//! `init`, `completions`, `man`: what a newcomer or a packager wants written for them.

use std::io::Write;

use clap::CommandFactory;

use super::{Cli, Completions, Exit, Init};
use crate::config::USUAL;
use crate::console::{data, tell, typed};
use crate::error::{Error, Result};

/// Every key of the configuration file with its usual value; `docs/configuration.md` says more.
const START: &str = r#"# openai-elt: what is better kept in a file than typed. Keys never go here: they
# come from the environment (OPENAI_ADMIN_KEY, ...). docs/configuration.md has it all.

# Where to write: a folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix
dest = "lake"

# Only these tables, or not these (names, or patterns with *)
# select  = ["costs", "usage_*"]
# exclude = ["project_certificates"]

# Most requests in flight for a key
# concurrency = 64

# Fail a table when a value does not fit its column, instead of keeping it in _extra
# strict = false

# Soft deletes of more than this share of a table, and of at least so many rows, wait for a confirmation
# hold_back = { share = 0.5, rows = 20 }

# How often lists that are usually read down to what is known are read whole
# full_every = "1d"

# [http]
# retries = 5
# backoff = "500ms"
# timeout = "90s"

# Of one table: how far back each sync reads again, how far back the first one
# reads, or (history = true, for tables read whole) whether each version of a row is kept
# [tables.costs]
# lookback = "7d"
# history  = "730d"
#
# [tables.project_users]
# history = true
"#;

pub(crate) fn init(args: &Init) -> Result<Exit> {
    let shown = args.file.display();
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::usage(format!("{shown} is already there")).hint("move it away, or name another file")
        }
        _ => Error::usage(format!("{shown} cannot be written: {e}")),
    };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&args.file).map_err(failed)?;
    file.write_all(START.as_bytes()).map_err(failed)?;
    // The usual file is found without a flag.
    let config = match args.file.as_os_str() == USUAL {
        true => String::new(),
        false => format!(" --config {}", typed(&args.file.to_string_lossy())),
    };
    tell(&format!(
        "{shown} is written; next: set OPENAI_ADMIN_KEY, then `openai-elt check{config}` and `openai-elt sync{config}`"
    ));
    Ok(Exit::Good)
}

pub(crate) fn completions(args: &Completions) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "openai-elt", &mut text);
    data(&String::from_utf8_lossy(&text));
    Exit::Good
}

pub(crate) fn man() -> Result<Exit> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut text).map_err(|e| Error::usage(e.to_string()))?;
    data(&String::from_utf8_lossy(&text));
    Ok(Exit::Good)
}
