//! `demo`: a simulated organization on loopback, synced, changed, synced again.
//!
//! It is the program's own `sync` that runs, over a real connection; nothing of
//! it knows that the organization is simulated. `--serve` only serves it, for
//! trying a pipeline without owning a key.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::sync::{Plan, exit_of, perform};
use super::{Exit, Format};
use crate::config::Access;
use crate::console::{data, tell};
use crate::error::{Error, Result};
use crate::fetch::Retry;
use crate::plan::Wish;
use crate::report::{RunReport, counted, grouped};
use crate::schema::{Catalog, Surface};
use crate::secret::Secret;
use openai_elt_simulator::{Behavior, Options, Simulator};

pub(crate) async fn command(args: &super::Demo, now: DateTime<Utc>) -> Result<Exit> {
    let simulator = Simulator::start(options(args, now), args.port).await.map_err(|e| {
        Error::usage(format!("the simulated organization could not be served on port {}: {e}", args.port))
    })?;
    match args.serve {
        true => serve(&simulator).await,
        false => show(&simulator, &args.out, now).await,
    }
}

fn options(args: &super::Demo, now: DateTime<Utc>) -> Options {
    let size = match args.size {
        super::Size::Small => "small",
        super::Size::Medium => "medium",
        super::Size::Large => "large",
    };
    let preset = Options::sized(size).unwrap_or_default();
    let behavior = Behavior {
        latency_ms: args.latency_ms,
        rate_limit: args.rate_limit,
        legacy_group_by: args.legacy_group_by,
        lookback_limit_days: args.lookback_limit_days,
        ..preset.behavior
    };
    Options {
        seed: args.seed,
        projects: args.projects.unwrap_or(preset.projects),
        users: args.users.unwrap_or(preset.users),
        history_days: args.history_days.unwrap_or(preset.history_days),
        now,
        behavior,
        ..preset
    }
}

/// Serves until standard input closes or a signal comes; says where in one line of JSON.
async fn serve(simulator: &Simulator) -> Result<Exit> {
    use tokio::signal::unix::{SignalKind, signal};
    let about = json!({
        "base_url": simulator.base_url(),
        "control_url": simulator.control_url(),
        "chatgpt_base_url": simulator.chatgpt_base_url(),
        "admin_key": simulator.admin_key(),
        "codex_key": simulator.codex_key(),
        "compliance_key": simulator.compliance_key(),
        "workspace_ids": simulator.workspace_ids(),
        "organization_id": simulator.organization_id(),
        "project_keys": simulator.project_keys().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
    });
    data(&format!("{about}\n"));
    let mut term = signal(SignalKind::terminate()).map_err(|e| Error::usage(e.to_string()))?;
    let mut input = tokio::io::stdin();
    let mut buffer = [0_u8; 256];
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = tokio::signal::ctrl_c() => break,
            read = input.read(&mut buffer) => if matches!(read, Ok(0) | Err(_)) { break },
        }
    }
    Ok(Exit::Good)
}

async fn show(simulator: &Simulator, out: &Path, now: DateTime<Utc>) -> Result<Exit> {
    tell(&format!("a simulated organization is served at {}", simulator.base_url()));
    tell(&format!("\n1. first sync into {}\n", out.display()));
    let first = sync(simulator, out, now).await?;
    super::sync::show(&first, Format::Text);
    if first.interrupted {
        return Ok(exit_of(&first));
    }
    tell("\n2. a day goes by in the organization\n");
    for change in simulator.mutate() {
        tell(&format!("   {change}"));
    }
    tell("\n3. second sync: only what is new, and what is restated\n");
    // A later moment than the first one's, however fast the machine is.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = sync(simulator, out, Utc::now().trunc_subsecs(6)).await?;
    super::sync::show(&second, Format::Text);
    tell(&story(&first, &second));
    tell(&next(out));
    let exits = [exit_of(&first), exit_of(&second)];
    Ok(exits.into_iter().find(|e| *e != Exit::Good).unwrap_or(Exit::Good))
}

/// The keys of all four surfaces, as the environment would give them.
fn access(simulator: &Simulator) -> Vec<Access> {
    let (openai, chatgpt) = (simulator.base_url(), simulator.chatgpt_base_url());
    let named = |name: &str, value: &str| vec![(name.to_string(), value.to_string())];
    let key = |surface, base: &str, key: &str, stands_for| Access {
        surface,
        base: base.to_string(),
        key: Secret::new(key),
        stands_for,
    };
    let workspaces: Vec<_> = simulator.workspace_ids().iter().map(|id| named("key.workspace", id)).collect();
    let organization = named("key.organization", simulator.organization_id());
    let everywhere = workspaces.iter().cloned().chain([organization]).collect();
    let mut access = vec![
        key(Surface::Admin, &openai, simulator.admin_key(), vec![Vec::new()]),
        key(Surface::Codex, &chatgpt, simulator.codex_key(), workspaces),
        key(Surface::Compliance, &chatgpt, simulator.compliance_key(), everywhere),
    ];
    for (project, secret) in simulator.project_keys() {
        access.push(key(Surface::Project, &openai, &secret, vec![named("key.project", &project)]));
    }
    access
}

async fn sync(simulator: &Simulator, out: &Path, now: DateTime<Utc>) -> Result<RunReport> {
    let access = access(simulator);
    let catalog = Catalog::load(None)?;
    let chosen = crate::config::Selection::default().choose(&catalog, &access)?;
    let plan = Plan {
        dest: out.display().to_string(),
        state: None,
        catalog,
        chosen,
        access,
        retry: Retry { attempts: 6, backoff: Duration::from_millis(500), timeout: Duration::from_secs(30) },
        concurrency: 32,
        wish: Wish::default(),
        strict: false,
        accept_deletes: false,
        download_files: false,
        lock_wait: Duration::ZERO,
        max_duration: None,
        accept_owner: false,
    };
    perform(plan, now).await
}

/// What the second sync did differently.
fn story(first: &RunReport, second: &RunReport) -> String {
    let sum =
        |report: &RunReport, f: fn(&crate::report::TableReport) -> u64| report.tables.values().map(f).sum::<u64>();
    let slices = |report: &RunReport| sum(report, |t| t.objects.len() as u64);
    format!(
        "\nthe first sync made {} and wrote {}, the second {} and {}; tombstones now: {}",
        counted(sum(first, |t| t.requests), "request"),
        counted(slices(first), "slice"),
        grouped(sum(second, |t| t.requests)),
        grouped(slices(second)),
        grouped(sum(second, |t| t.tombstones)),
    )
}

fn next(out: &Path) -> String {
    let out = out.display();
    format!(
        "\nask it something, for instance with DuckDB (pip install duckdb-cli, or any DuckDB):\n\n  \
         SELECT p.name, c.line_item, sum(c.amount) AS spent\n  \
         FROM read_parquet('{out}/costs/*/*.parquet', union_by_name = true) c\n  \
         LEFT JOIN read_parquet('{out}/projects/*.parquet', union_by_name = true) p ON p.id = c.project_id\n  \
         WHERE c.start_time >= now() - INTERVAL 30 DAYS\n  \
         GROUP BY ALL ORDER BY spent DESC LIMIT 10;\n\n  \
         SELECT id, email, _synced_at AS last_seen FROM read_parquet('{out}/users/*.parquet', union_by_name = true) WHERE _deleted;\n"
    )
}
