//! Reads the clock once, starts logging, runs one command, and turns its end into an exit code.
//!
//! A library only so that fuzz targets and benchmarks can hold the middle of the
//! program in their hands ([`workbench`]); nobody else should build on it.

mod cli;
mod config;
mod console;
mod credential;
mod decode;
mod error;
mod estimate;
mod fetch;
mod html_report;
mod lake;
mod load;
mod money;
mod panics;
mod plan;
mod report;
mod schema;
mod secret;
mod sync;
mod tls;
mod totals;
mod warehouse;
#[doc(hidden)]
pub mod workbench;

use std::num::NonZero;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use clap::Parser;
use clap::error::ErrorKind;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use cli::{Cli, Command, Exit, Level};
use error::{Error, Result};

/// Threads that wait for the disk.
const FILE_THREADS: usize = 8;

/// The program.
pub fn main() -> ExitCode {
    panics::install();
    match panics::caught(run) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => failed(&error),
    }
}

/// Runs the command that was typed.
fn run() -> Result<Exit> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return Ok(misused(&e)),
    };
    log(cli.log);
    // Whole microseconds, as Parquet keeps them: rows are told apart by this moment.
    let now = Utc::now().trunc_subsecs(6);
    // Each thread keeps freed memory to itself: more of them than can run at once cost, and gain nothing.
    // One more has the requests of a sync (`sync::run_apart`).
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.saturating_sub(1).max(1))
        .max_blocking_threads(FILE_THREADS)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|e| Error::usage(format!("no threads could be started: {e}")))?;
    let outcome = panics::caught(|| runtime.block_on(command(cli.command, now)));
    // A thread that waits for standard input would be waited for in turn.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn command(command: Command, now: DateTime<Utc>) -> Result<Exit> {
    match command {
        Command::Sync(args) => cli::sync::command(&args, now).await,
        Command::Check(args) => cli::check::command(&args, now).await,
        Command::Load(args) => cli::load::command(&args).await,
        Command::Tables(args) => cli::tables::command(&args),
        Command::Schema(args) => cli::schema::command(&args).await,
        Command::State(args) => cli::state::command(&args).await,
        Command::Verify(args) => cli::verify::command(&args).await,
        Command::Report(args) => cli::report::command(&args, now).await,
        Command::Init(args) => cli::init::init(&args),
        Command::Completions(args) => Ok(cli::init::completions(&args)),
        Command::Man => cli::init::man(),
        #[cfg(feature = "demo")]
        Command::Demo(args) => cli::demo::command(&args, now).await,
    }
}

/// A wrong flag is exit 1, not clap's 2, which means something else here.
fn misused(e: &clap::Error) -> Exit {
    let _ = e.print();
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Good,
        _ => Exit::Usage,
    }
}

fn failed(error: &Error) -> ExitCode {
    console::tell(&format!("error: {error}"));
    if let Some(cure) = error.cure() {
        console::tell(&format!("  hint: {cure}"));
    }
    ExitCode::from(Exit::of(error.kind) as u8)
}

fn log(level: Level) {
    let level = match level {
        Level::Off => return,
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
        Level::Trace => tracing::Level::TRACE,
    };
    // Libraries of the stores' credentials quote whole responses: what of it people need is in our errors.
    let ours = filter_fn(|event| !["aws_", "google_cloud"].iter().any(|theirs| event.target().starts_with(theirs)));
    let lines = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(false).finish();
    let _ = lines.with(ours).try_init();
}
