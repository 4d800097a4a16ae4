//! `sync`: from flags to a run, and from the run's end to summary, report and exit code.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Common, Exit, Format};
use crate::config::{self, Access, File, Selection};
use crate::console::{data, tell};
use crate::error::{Error, Kind, Result};
use crate::fetch::{Client, Clock, Retry};
use crate::lake::{Lake, Lease, State, StateFile};
use crate::panics;
use crate::plan::Wish;
use crate::report::{Progress, RunReport, Track, attention, summary};
use crate::schema::{Catalog, duration_seconds};
use crate::sync::identity::{Asked, Known, Sources};
use crate::sync::{Run, Source, Stamp};

/// Requests in flight for a key, when nothing else is said.
const CONCURRENCY: usize = 64;

/// Everything a sync needs, resolved; nothing was started yet.
pub(crate) struct Plan {
    pub(crate) dest: String,
    pub(crate) state: Option<String>,
    pub(crate) catalog: Catalog,
    pub(crate) chosen: Vec<String>,
    pub(crate) access: Vec<Access>,
    pub(crate) retry: Retry,
    pub(crate) concurrency: usize,
    pub(crate) wish: Wish,
    pub(crate) strict: bool,
    pub(crate) accept_deletes: bool,
    pub(crate) download_files: bool,
    pub(crate) lock_wait: Duration,
    pub(crate) max_duration: Option<Duration>,
    /// The keys may be of another organization or project than before.
    pub(crate) accept_owner: bool,
}

/// The catalog, with `--schemas` and the configuration file applied.
pub(crate) fn catalog(common: &Common) -> Result<(Catalog, File)> {
    let file = File::read(common.config.as_deref())?;
    let mut catalog = Catalog::load(common.schemas.as_deref())?;
    file.apply(&mut catalog)?;
    Ok((catalog, file))
}

pub(crate) fn destination(flag: Option<&String>, file: &File) -> Result<String> {
    flag.or(file.dest.as_ref()).cloned().ok_or_else(|| {
        Error::usage("no destination is given")
            .hint("give --dest a folder, such as --dest ./lake, or a URL such as s3://bucket/openai")
    })
}

fn duration(flag: &str, text: Option<&String>) -> Result<Option<Duration>> {
    let Some(text) = text else { return Ok(None) };
    let seconds = duration_seconds(text).map_err(|why| Error::usage(format!("{flag}: {why}")))?;
    match u64::try_from(seconds) {
        Ok(seconds) => Ok(Some(Duration::from_secs(seconds))),
        Err(_) => Err(Error::usage(format!("{flag}: {text} is before it begins"))),
    }
}

impl Plan {
    fn resolve(args: &super::Sync) -> Result<Plan> {
        let (catalog, file) = catalog(&args.common)?;
        let access = config::access()?;
        if access.is_empty() {
            return Err(config::no_key());
        }
        let or_file = |flags: &[String], file: &[String]| if flags.is_empty() { file.to_vec() } else { flags.to_vec() };
        let selection = Selection {
            named: or_file(&args.choice.tables, &file.select),
            excluded: or_file(&args.choice.exclude, &file.exclude),
        };
        let chosen = selection.choose(&catalog, &access)?;
        let has_files = |name: &String| catalog.get(name).is_some_and(|t| t.contents.is_some());
        if args.download_files && !chosen.iter().any(has_files) {
            return Err(Error::usage("--download-files: no chosen table tells of files")
                .hint("name one that does: --tables chatgpt_files (read with CHATGPT_COMPLIANCE_KEY)"));
        }
        let moment = |flag: &str, text: &Option<String>| text.as_ref().map(|t| config::moment(flag, t)).transpose();
        let wish = Wish {
            since: moment("--since", &args.since)?,
            until: moment("--until", &args.until)?,
            full_refresh: args.full_refresh,
        };
        if let (Some(since), Some(until)) = (wish.since, wish.until)
            && since >= until
        {
            return Err(Error::usage("--since is not before --until: there is nothing to read"));
        }
        Ok(Plan {
            dest: destination(args.dest.as_ref(), &file)?,
            state: args.state.clone().or_else(|| file.state.clone()),
            concurrency: args.concurrency.map(usize::from).or(file.concurrency).unwrap_or(CONCURRENCY),
            strict: args.strict || file.strict == Some(true),
            accept_deletes: args.accept_deletes,
            download_files: args.download_files,
            retry: file.retry()?,
            lock_wait: duration("--lock-wait", args.lock_wait.as_ref())?.unwrap_or_default(),
            max_duration: duration("--max-duration", args.max_duration.as_ref())?,
            accept_owner: args.accept_organization_change,
            catalog,
            chosen,
            access,
            wish,
        })
    }

    fn sources(&self) -> Result<Sources> {
        let mut sources = Sources::new();
        let mut clocks: BTreeMap<&str, Arc<Clock>> = BTreeMap::new();
        for access in &self.access {
            let client = Client::new(access.surface, &access.base, access.key.clone(), self.concurrency, self.retry)?;
            let clock = clocks.entry(&access.base).or_insert_with(|| Arc::new(Clock::new()));
            let client = Arc::new(client.of_project(access.project()).with_clock(Arc::clone(clock)));
            let each = access.stands_for.iter().map(|values| Source {
                client: Arc::clone(&client),
                configured: values.clone(),
                values: values.clone(),
            });
            sources.entry(access.surface).or_default().extend(each);
        }
        Ok(sources)
    }
}

pub(crate) async fn command(args: &super::Sync, now: DateTime<Utc>) -> Result<Exit> {
    let plan = Plan::resolve(args)?;
    if args.dry_run {
        return super::dry_run::command(&plan, args.format, now).await;
    }
    let report = perform(plan, now).await?;
    show(&report, args.format);
    Ok(exit_of(&report))
}

pub(crate) fn show(report: &RunReport, format: Format) {
    match format {
        Format::Text => tell(&summary(report)),
        Format::Json => match serde_json::to_string_pretty(report) {
            Ok(text) => {
                data(&(text + "\n"));
                tell(&attention(report));
            }
            Err(e) => tell(&format!("error: the report could not be written: {e}")),
        },
    }
}

/// Runs the plan to its end. Errors before anything is written are errors here;
/// after it they are part of the report.
pub(crate) async fn perform(plan: Plan, now: DateTime<Utc>) -> Result<RunReport> {
    let run_id = run_id(now);
    let lake = Arc::new(Lake::open(&plan.dest)?);
    let state_file = StateFile::open(&lake, plan.state.as_deref())?;
    // Read first: a state that is refused must be found before anything is touched.
    state_file.load().await?;
    let stop = CancellationToken::new();
    let signals = tokio::spawn(stop_on_signal(stop.clone()));
    let lease = Lease::wait(&lake, &run_id, &stop, plan.lock_wait).await?;
    let work = under_lease(plan, run_id, &lake, state_file, &stop, now);
    let report = lease.during(async {
        let done = panics::caught_async(work).await;
        lake.at_rest().await;
        done
    });
    let report = report.await;
    signals.abort();
    report
}

async fn under_lease(
    plan: Plan,
    run_id: String,
    lake: &Arc<Lake>,
    state_file: StateFile,
    stop: &CancellationToken,
    now: DateTime<Utc>,
) -> Result<RunReport> {
    let state = state_file.load().await?;
    let tracks: BTreeMap<String, Arc<Track>> =
        plan.chosen.iter().map(|name| (name.clone(), Track::new(name))).collect();
    let sources = plan.sources()?;
    let budgets = sources.values().flatten().map(|s| Arc::clone(s.client.budget())).collect();
    let progress = Progress::start(tracks.values().cloned().collect(), budgets);
    let clock = plan.max_duration.map(|most| {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(most).await;
            stop.cancel();
        })
    });
    let mut report = RunReport::begun(run_id, lake, now);
    let begun = Begun { plan, lake: Arc::clone(lake), state_file, state, sources, now, stop: stop.clone() };
    let read = crate::sync::run_apart(begun.read(tracks.clone(), report.clone())).await.and_then(|read| read);
    lake.at_rest().await;
    clock.inspect(|clock| clock.abort());
    progress.stop();
    let unended: Vec<_> = tracks.values().filter(|track| track.ended().is_none()).collect();
    let began = match read {
        // The bug is then that of the tables that it ended.
        Err(bug) if bug.kind == Kind::Internal && !unended.is_empty() => {
            unended.iter().for_each(|track| track.end("failed", Some(&bug)));
            now
        }
        read => read?,
    };
    report.tables = tracks.iter().map(|(name, track)| (name.clone(), track.report())).collect();
    report.interrupted = stop.is_cancelled();
    report.started_at = began;
    report.finished_at = Some(Utc::now() + (began - now));
    report.exit_code = Some(exit_of(&report) as u8);
    if let Err(error) = report.keep(lake).await {
        tracing::warn!(%error, "the run report could not be kept");
    }
    Ok(report)
}

/// A run that has the lease.
struct Begun {
    plan: Plan,
    lake: Arc<Lake>,
    state_file: StateFile,
    state: State,
    sources: Sources,
    now: DateTime<Utc>,
    stop: CancellationToken,
}

impl Begun {
    /// Finds out whose keys these are, and reads the tables. Nothing is written before it is known. Returns when the
    /// run began, by the source's clock.
    async fn read(self, tracks: BTreeMap<String, Arc<Track>>, report: RunReport) -> Result<DateTime<Utc>> {
        let Begun { plan, lake, state_file, state, mut sources, now, stop } = self;
        let asked = Asked { catalog: &plan.catalog, tracks: &tracks, state: &state, now, wish: plan.wish };
        let mut known = Known::establish(&lake, &mut sources, &asked, plan.accept_owner, &stop).await?;
        // Without objects yet: a run that is killed leaves this, and what it wrote is known by its time.
        report.keep(&lake).await?;
        let run = Arc::new(Run {
            run_id: report.run_id,
            lake: Arc::new(lake.renaming(known.owner.renamed())),
            catalog: plan.catalog,
            state_file,
            state: Mutex::new(state),
            sources,
            now,
            stamp: Stamp::default(),
            wish: plan.wish,
            strict: plan.strict,
            accept_deletes: plan.accept_deletes,
            download_files: plan.download_files,
            stop,
            room: crate::sync::room(),
            tracks,
        });
        crate::sync::run(Arc::clone(&run)).await;
        if let Err(error) = known.learn_late(&run.sources).await {
            tracing::warn!(%error, "whose keys these are could not be noted");
        }
        Ok(run.began())
    }
}

pub(crate) fn exit_of(report: &RunReport) -> Exit {
    let asked = || report.tables.values().filter(|t| t.status != "retired upstream");
    let good = asked().filter(|t| t.status == "ok").count();
    let whole = asked().all(|t| t.status == "ok" && t.skipped.is_empty());
    match (whole, good) {
        (true, _) => Exit::Good,
        // Stopped before the first table ended: nothing is wrong, the next run goes on. What is held back was read.
        (false, 0) if !report.interrupted && !asked().any(|t| t.status == "held back") => Exit::Nothing,
        (false, _) => Exit::Partly,
    }
}

/// Sortable, and unique without a clock of its own.
fn run_id(now: DateTime<Utc>) -> String {
    let random = RandomState::new().build_hasher().finish();
    format!("{}-{:08x}", now.format("%Y%m%dT%H%M%SZ"), random as u32)
}

/// The first signal ends the run in order, the second one at once. Signals are caught from the call on, and
/// not only when the task has its first turn.
#[expect(clippy::exit, reason = "a second signal must not wait for anything")]
fn stop_on_signal(stop: CancellationToken) -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut term), Ok(mut int)) = signals else { return };
        for last in [false, true] {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if last {
                std::process::exit(130);
            }
            stop.cancel();
        }
    }
}
