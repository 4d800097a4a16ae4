//! The crown test: whatever operation of the store fails, or is the last one
//! before the process dies, readers never see anything wrong, and the next sync
//! ends with the rows of the run that never failed.
//!
//! A real sync of a snapshot, a merge, a replace and a fan-out table against the
//! simulated organization, over real connections, for every operation in turn.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use chrono::{Duration, SubsecRound, Utc};
use futures::TryStreamExt;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Run, Source};
use crate::fetch::{Client, Retry};
use crate::lake::{Lake, StateFile, row_hashes};
use crate::plan::Wish;
use crate::report::Track;
use crate::schema::{Catalog, Surface};
use crate::secret::Secret;
use openai_elt_simulator::{Options, Simulator};

const TABLES: [&str; 5] = ["users", "audit_logs", "costs", "projects", "project_api_keys"];

/// A store whose `fatal`-th operation fails, alone or with all that follow.
#[derive(Debug)]
struct Failing {
    inner: Arc<InMemory>,
    operations: AtomicUsize,
    fatal: usize,
    for_good: bool,
}

impl Failing {
    fn step(&self) -> Result<()> {
        let step = self.operations.fetch_add(1, Ordering::SeqCst);
        match step == self.fatal || (self.for_good && step > self.fatal) {
            true => Err(object_store::Error::Generic { store: "failing", source: format!("operation {step}").into() }),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failing")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.step()?;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.step()?;
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.step()?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.step()?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.step() {
            Ok(()) => self.inner.list(prefix),
            Err(e) => stream::iter([Err(e)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.step()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.step()?;
        self.inner.copy_opts(from, to, options).await
    }
}

struct Scene {
    simulator: Simulator,
    client: Arc<Client>,
    catalog: Catalog,
    syncs: AtomicUsize,
    began: chrono::DateTime<Utc>,
}

impl Scene {
    async fn new() -> Scene {
        let began = Utc::now().trunc_subsecs(6);
        let options =
            Options { projects: 4, users: 6, history_days: 6, audit_events: 60, now: began, ..Options::default() };
        let simulator = Simulator::start(options, 0).await.unwrap();
        let retry = Retry {
            attempts: 2,
            backoff: std::time::Duration::from_millis(1),
            timeout: std::time::Duration::from_secs(5),
        };
        let key = Secret::new(simulator.admin_key());
        let client = Client::new(Surface::Admin, &simulator.base_url(), key, 8, retry).unwrap();
        Scene {
            simulator,
            client: Arc::new(client),
            catalog: Catalog::load(None).unwrap(),
            syncs: AtomicUsize::new(0),
            began,
        }
    }

    /// One sync; gives how many operations the store saw.
    async fn sync(&self, inner: &Arc<InMemory>, fatal: usize, for_good: bool) -> usize {
        let store = Arc::new(Failing { inner: Arc::clone(inner), operations: AtomicUsize::new(0), fatal, for_good });
        let lake = Arc::new(Lake::of(Arc::clone(&store) as Arc<dyn ObjectStore>));
        let state_file = StateFile::open(&lake, None).unwrap();
        let Ok(state) = state_file.load().await else { return store.operations.load(Ordering::SeqCst) };
        // A moment of its own for each run, all within the second in which the scene began.
        let number = self.syncs.fetch_add(1, Ordering::SeqCst);
        let run = Run {
            run_id: format!("run-{number}"),
            catalog: self.catalog.clone(),
            lake,
            state_file,
            state: Mutex::new(state),
            sources: BTreeMap::from([(
                Surface::Admin,
                vec![Source { client: Arc::clone(&self.client), configured: Vec::new(), values: Vec::new() }],
            )]),
            now: self.began + Duration::microseconds(i64::try_from(number).unwrap()),
            stamp: super::Stamp::default(),
            wish: Wish { since: Some(self.began - Duration::days(8)), ..Wish::default() },
            strict: false,
            accept_deletes: false,
            download_files: false,
            stop: CancellationToken::new(),
            room: super::room(),
            tracks: TABLES.iter().map(|t| (t.to_string(), Track::new(t))).collect(),
        };
        super::run(Arc::new(run)).await;
        store.operations.load(Ordering::SeqCst)
    }

    /// What a plain glob of every table gives: each object's rows, without the moment they were read.
    async fn glob(&self, store: &Arc<InMemory>) -> BTreeMap<String, Vec<u128>> {
        let lake = Lake::of(Arc::clone(store) as Arc<dyn ObjectStore>);
        let objects: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
        let mut rows = BTreeMap::new();
        for object in objects.iter().filter(|o| o.location.as_ref().ends_with(".parquet")) {
            let path = object.location.to_string();
            let table = self.catalog.get(path.split('/').next().unwrap()).unwrap();
            let (keys, all) = row_hashes(&lake, table, &object.location).await.unwrap();
            let mut unique = keys.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), keys.len(), "{path} holds a key twice");
            rows.insert(path, all);
        }
        rows
    }
}

async fn copy(store: &Arc<InMemory>) -> Arc<InMemory> {
    Arc::new(store.fork())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_every_operation_costs_work_and_nothing_else() {
    let scene = Scene::new().await;
    let first = Arc::new(InMemory::new());
    scene.sync(&first, usize::MAX, false).await;
    let before = scene.glob(&first).await;
    scene.simulator.mutate();
    let good = copy(&first).await;
    let operations = scene.sync(&good, usize::MAX, false).await;
    let after = scene.glob(&good).await;
    assert!(before != after && operations > 40, "{operations}");

    // Every operation by default; a larger stride where time is short.
    let stride = std::env::var("CRASH_STRIDE").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    for for_good in [false, true] {
        for fatal in (0..operations).step_by(stride) {
            let store = copy(&first).await;
            scene.sync(&store, fatal, for_good).await;
            for (path, rows) in scene.glob(&store).await {
                let was = before.get(&path) == Some(&rows);
                assert!(
                    was || after.get(&path) == Some(&rows),
                    "{path} is neither old nor new after operation {fatal}"
                );
            }
            scene.sync(&store, usize::MAX, false).await;
            assert_eq!(scene.glob(&store).await, after, "after operation {fatal}, for good: {for_good}");
        }
    }
    record(
        "an operation of the store fails",
        "each read, write, part, completion and listing of a sync in turn is refused",
    );
    record(
        "the program dies between two operations",
        "the sync ends for good before each operation of the store in turn",
    );
}

/// One row of docs/reliability.md (`tests/support/reliability.py`).
fn record(fault: &str, done: &str) {
    let row = serde_json::json!({
        "part": "The program dies, or is told to end",
        "fault": fault,
        "done": done,
        "before": "a snapshot, a merge, a replace and a fan-out table",
        "during": "each object is the old one or the new one, whole; no key twice",
        "after": "the rows of the run that never failed",
    });
    let usual = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/reliability");
    let folder = std::env::var_os("RELIABILITY_DIR").map_or(usual, std::path::PathBuf::from);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("crash {fault}.json")), row.to_string()).unwrap();
}
