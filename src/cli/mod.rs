//! What the user typed: commands, flags and their words of help. Nothing is done here.

pub(crate) mod check;
#[cfg(feature = "demo")]
pub(crate) mod demo;
mod dry_run;
pub(crate) mod init;
pub(crate) mod load;
pub(crate) mod report;
mod reports;
pub(crate) mod schema;
pub(crate) mod state;
pub(crate) mod sync;
pub(crate) mod tables;
pub(crate) mod totals;
pub(crate) mod verify;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::error::Kind;

/// Pulls an organization's own OpenAI data incrementally into partitioned Parquet
#[derive(Debug, Parser)]
#[command(name = "openai-elt", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = VARIABLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Write diagnostics of this level to stderr
    #[arg(long, global = true, value_name = "LEVEL", default_value = "warn")]
    pub(crate) log: Level,
}

const VARIABLES: &str = "\
Environment (each also as NAME_FILE, a file that holds the value; a flag never takes a key):
  OPENAI_ADMIN_KEY        Admin key of the organization
  OPENAI_PROJECT_KEYS     proj_a=sk-...,proj_b=sk-...
  CODEX_ANALYTICS_KEY     workspace Admin key for Codex analytics
  CHATGPT_COMPLIANCE_KEY  key with compliance scopes
  CHATGPT_WORKSPACE_IDS   workspaces of the two above, with commas between
  OPENAI_ORGANIZATION_ID  org-..., for the organization's log files
  OPENAI_BASE_URL         [default: https://api.openai.com/v1]
  CHATGPT_BASE_URL        [default: https://api.chatgpt.com/v1]
  AWS_*, GOOGLE_*, AZURE_*  credentials of an object store

Exit codes: 0 all tables synced, 1 usage or configuration, 2 some tables failed,
3 nothing could be synced, 4 integrity in doubt";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read what is new and rewrite the slices that it touches
    #[command(after_help = VARIABLES)]
    Sync(Sync),
    /// Try each key, each table and the destination, and say what to do about each no
    #[command(after_help = VARIABLES)]
    Check(Check),
    /// List the tables, with their columns
    Tables(Tables),
    /// Make the tables in a database, and refresh those whose slices changed
    Load(Load),
    /// Print the SQL that makes and fills the tables of a warehouse
    Schema(Schema),
    /// Show or change how far each table is settled
    State(State),
    /// Read back what was written and compare it with the run reports, or see whether the money adds up
    Verify(Verify),
    /// Make one HTML page of spend, usage, Codex, audit log and freshness from the lake
    Report(Report),
    /// Write a commented openai-elt.toml to start from
    Init(Init),
    /// Print the completions of a shell
    Completions(Completions),
    /// Print the manual page
    Man,
    /// Sync a simulated organization on this machine, twice, and show what changed
    #[cfg(feature = "demo")]
    Demo(Demo),
}

#[derive(Debug, Args)]
pub(crate) struct Choice {
    /// Only these tables (names, or patterns with *), and the parents they need
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    pub(crate) tables: Vec<String>,

    /// Not these tables, nor the children of theirs
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Configuration file [default: openai-elt.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Folder of table files that add to the built-in ones or override them
    #[arg(long, value_name = "DIR")]
    pub(crate) schemas: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// Folder or URL to write to: a path, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix
    #[arg(long, value_name = "DEST")]
    pub(crate) dest: Option<String>,

    /// State file [default: <DEST>/_state/state.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<String>,

    #[command(flatten)]
    pub(crate) choice: Choice,

    /// Read day tables from this moment on (UTC), instead of from where they are settled
    #[arg(long, value_name = "DATE")]
    pub(crate) since: Option<String>,

    /// Read day tables up to this moment (UTC)
    #[arg(long, value_name = "DATE")]
    pub(crate) until: Option<String>,

    /// Read the whole history again
    #[arg(long)]
    pub(crate) full_refresh: bool,

    /// Most requests in flight for a key; fewer when the API asks for it [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) concurrency: Option<u16>,

    /// Fail a table when a value does not fit its column, instead of keeping it in _extra
    #[arg(long)]
    pub(crate) strict: bool,

    /// Soft-delete what the source no longer lists, also where so much is gone that it would be held back
    #[arg(long)]
    pub(crate) accept_deletes: bool,

    /// Also keep the bytes of the files that conversations have, below _files/ of the destination
    #[arg(long)]
    pub(crate) download_files: bool,

    /// What to print at the end
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// Show what would be asked, ask nothing and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Wait so long for another run to end, such as 90s or 15m [default: not at all]
    #[arg(long, value_name = "TIME")]
    pub(crate) lock_wait: Option<String>,

    /// Go on although the keys are of another organization, workspace or project than those
    /// that this destination was synced with
    #[arg(long)]
    pub(crate) accept_organization_change: bool,

    /// End in order after so long, such as 50m; the next run goes on from there
    #[arg(long, value_name = "TIME")]
    pub(crate) max_duration: Option<String>,

    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Destination to try as well
    #[arg(long, value_name = "DEST")]
    pub(crate) dest: Option<String>,

    #[command(flatten)]
    pub(crate) choice: Choice,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Tables {
    /// Only these tables (names, or patterns with *)
    #[arg(value_name = "TABLE")]
    pub(crate) names: Vec<String>,

    /// How to print them
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub(crate) format: ListFormat,

    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Lake to load from
    #[arg(long, value_name = "DEST")]
    pub(crate) dest: Option<String>,

    /// Database to load into: duckdb:FILE, postgres://USER@HOST/DATABASE, or env:NAME for a variable that holds one
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: String,

    #[command(flatten)]
    pub(crate) choice: Choice,

    /// Schema of the tables
    #[arg(long, value_name = "NAME", default_value = "openai")]
    pub(crate) schema: String,

    /// The program that writes DuckDB files
    #[arg(long, value_name = "PROGRAM", default_value = "duckdb")]
    pub(crate) duckdb: PathBuf,

    /// What to print at the end
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Warehouse to write for
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) dialect: crate::warehouse::Name,

    /// Lake to load from; without it the script has a placeholder
    #[arg(long, value_name = "DEST")]
    pub(crate) dest: Option<String>,

    #[command(flatten)]
    pub(crate) choice: Choice,

    /// Schema, data set or database of the tables
    #[arg(long, value_name = "NAME", default_value = "openai")]
    pub(crate) schema: String,

    /// External tables or views, which read the lake in place
    #[arg(long)]
    pub(crate) external: bool,

    /// Load only the slices that these runs changed (ids of their reports, or `last`)
    #[arg(long, value_name = "RUN", value_delimiter = ',', conflicts_with = "external")]
    pub(crate) changed_by: Vec<String>,

    /// Load only the slices that were changed by the runs after this one
    #[arg(long, value_name = "RUN", conflicts_with_all = ["external", "changed_by"])]
    pub(crate) changed_since: Option<String>,

    /// Where the warehouse finds the lake, when it is a copy of --dest
    #[arg(long, value_name = "URL")]
    pub(crate) location: Option<String>,

    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct State {
    #[command(subcommand)]
    pub(crate) action: StateAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateAction {
    /// Show how far each table is settled
    Show {
        #[command(flatten)]
        of: StateOf,

        /// How to print it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Forget tables, so that the next sync reads their whole history again
    Reset {
        /// Tables to forget (names, or patterns with *)
        #[arg(value_name = "TABLE", required = true)]
        tables: Vec<String>,
        #[command(flatten)]
        of: StateOf,
    },
    /// Print the state file as it is
    Export(StateOf),
    /// Derive the state from what the lake holds, when the file is lost
    Rebuild(StateOf),
}

#[derive(Debug, Args)]
pub(crate) struct StateOf {
    /// Destination whose state it is
    #[arg(long, value_name = "DEST")]
    pub(crate) dest: Option<String>,

    /// State file, when it is not below the destination
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<String>,

    /// Configuration file [default: openai-elt.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Destination to read back
    #[arg(long, value_name = "DEST")]
    pub(crate) dest: Option<String>,

    /// Instead: grouped costs must add up to ungrouped ones, usage and costs must cover the same days
    #[arg(long)]
    pub(crate) totals: bool,

    /// Difference to accept on a day, in units of each currency
    #[arg(long, value_name = "AMOUNT", default_value = "0.01", requires = "totals")]
    pub(crate) tolerance: String,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Destination to read
    #[arg(long, value_name = "DEST")]
    pub(crate) dest: Option<String>,

    /// Page to write; - is standard output
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub(crate) out: PathBuf,

    /// First day to tell (UTC) [default: 90 days before the last one]
    #[arg(long, value_name = "DATE")]
    pub(crate) since: Option<String>,

    /// Day after the last one to tell (UTC) [default: up to the newest day of the lake]
    #[arg(long, value_name = "DATE")]
    pub(crate) until: Option<String>,

    /// State file, when it is not below the destination
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<String>,

    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// File to write; one that is there is left alone
    #[arg(value_name = "FILE", default_value = "openai-elt.toml")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Shell to complete for
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Folder for the result
    #[arg(long, value_name = "DIR", default_value = "openai-elt-demo")]
    pub(crate) out: PathBuf,

    /// Only serve the simulated organization, until standard input closes
    #[arg(long, conflicts_with = "out")]
    pub(crate) serve: bool,

    /// Port to serve on [default: any free one]
    #[arg(long, value_name = "PORT", default_value_t = 0, requires = "serve")]
    pub(crate) port: u16,

    /// Size of the organization
    #[arg(long, value_enum, default_value_t = Size::Small)]
    pub(crate) size: Size,

    /// Another seed is another organization
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Number of projects, instead of the size's
    #[arg(long, value_name = "N")]
    pub(crate) projects: Option<usize>,

    /// Number of users, instead of the size's
    #[arg(long, value_name = "N")]
    pub(crate) users: Option<usize>,

    /// Days of usage, costs and audit events, instead of the size's
    #[arg(long, value_name = "N")]
    pub(crate) history_days: Option<u32>,

    /// Let each answer take so long
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) latency_ms: u64,

    /// Requests that each key may make in a second
    #[arg(long, value_name = "N")]
    pub(crate) rate_limit: Option<u32>,

    /// Refuse to group by api_source, as an older API does
    #[arg(long)]
    pub(crate) legacy_group_by: bool,

    /// Refuse usage and costs older than this
    #[arg(long, value_name = "DAYS")]
    pub(crate) lookback_limit_days: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    Text,
    Json,
    Markdown,
}

#[cfg(feature = "demo")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    Small,
    Medium,
    Large,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What the program ends with; see the README's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Good = 0,
    Usage = 1,
    Partly = 2,
    Nothing = 3,
    Integrity = 4,
}

impl Exit {
    /// The exit code of an error that ended a whole command.
    pub(crate) fn of(kind: Kind) -> Exit {
        match kind {
            Kind::Integrity => Exit::Integrity,
            Kind::Usage | Kind::Storage => Exit::Usage,
            _ => Exit::Nothing,
        }
    }
}
