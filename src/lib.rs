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

use cli::{Cli, Command, Exit, Level};
use error::{Error, Result};

/// Threads that wait for the disk.
const FILE_THREADS: usize = 8;

/// The program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return misused(&e),
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
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(command(cli.command, now));
            // A thread that waits for standard input would be waited for in turn.
            runtime.shutdown_timeout(Duration::from_secs(1));
            outcome
        }
        Err(e) => Err(Error::usage(format!("no threads could be started: {e}"))),
    };
    match outcome {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => failed(&error),
    }
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
fn misused(e: &clap::Error) -> ExitCode {
    let _ = e.print();
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(Exit::Usage as u8),
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
    let _ = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(false).try_init();
}
