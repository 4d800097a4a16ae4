//! Any sequence of syncs of one slice against a model that fits on a page.
//!
//! The real slice over a store in memory: rows are decoded, written as Parquet,
//! read back by the next sync, and given their fate. The model is a map from
//! key to row, changed by the words of the policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::decode::Decoder;
use crate::schema::{Catalog, Policy};

/// Key (parent, id) and value of a record.
type Record = ((u8, u8), u8);

/// One sync: the records that came, and what became of the parents 0, 1 and 2 (of tables with parents).
#[derive(Clone, Debug)]
struct Sync {
    records: Vec<Record>,
    parents: Option<[Option<ParentFate>; 3]>,
}

/// A row of the lake: its key, its value, and whether it is a tombstone.
type Row = ((String, String), String, bool);

fn table(policy: Policy, history: bool) -> Arc<Table> {
    let slices = |policy: &str| {
        format!(
            "[slices]\nby = \"at\"\nsince = \"since\"\nuntil = \"until\"\nwindow = \"1d\"\nlookback = \"1d\"\nhistory = \"9d\"\npolicy = \"{policy}\"\n"
        )
    };
    let cut = match policy {
        Policy::Snapshot => String::new(),
        Policy::Merge => slices("merge"),
        Policy::Replace => slices("replace"),
    };
    let column = |name: &str, kind: &str| format!("{name} = {{ type = \"{kind}\", doc = \"d\" }}\n");
    let columns: String = ["parent", "id", "value"].map(|c| column(c, "string")).concat() + &column("at", "timestamp");
    let text = format!(
        "doc = \"d\"\nkey = [\"parent\", \"id\"]\npaging = \"none\"\n[request]\npath = \"/a\"\nrows = [\"/data\"]\n{cut}[columns]\n{columns}"
    );
    let table = Catalog::alone(&text).unwrap().get("alone").unwrap().as_ref().clone();
    Arc::new(if history { table.with_history().unwrap() } else { table })
}

struct Scene {
    lake: Arc<Lake>,
    table: Arc<Table>,
    day: Option<NaiveDate>,
    syncs: i64,
    /// Keys that a slice keeps in memory.
    keys: usize,
}

impl Scene {
    fn new(policy: Policy, history: bool, keys: usize) -> Scene {
        let day = (policy != Policy::Snapshot).then(NaiveDate::default);
        Scene {
            lake: Arc::new(Lake::of(Arc::new(InMemory::new()))),
            table: table(policy, history),
            day,
            syncs: 0,
            keys,
        }
    }

    async fn sync(&mut self, sync: &Sync) -> Written {
        self.syncs += 1;
        let mut decoder = Decoder::new(Arc::clone(&self.table), self.syncs);
        let record = |((parent, id), value): &Record| {
            format!("{{\"parent\":\"{parent}\",\"id\":\"{id}\",\"value\":\"{value}\",\"at\":0}}")
        };
        let mut slice = Slice::open(&self.lake, &self.table, self.day, self.syncs).await.unwrap();
        slice.keep_in_memory(self.keys);
        // In several pages, so that repetitions are known across them.
        for records in sync.records.chunks(3) {
            let records: Vec<String> = records.iter().map(record).collect();
            decoder.page(&format!("{{\"data\":[{}]}}", records.join(",")), &|_| None).unwrap();
            let lists = decoder.lists_of_rows();
            slice.add(decoder.take().unwrap(), &lists).await.unwrap();
        }
        let parents = sync.parents.map(|fates| Parents {
            columns: vec![self.table.column("parent").unwrap()],
            fates: (0..3)
                .zip(fates)
                .filter_map(|(n, fate)| Some((hash_texts([Some(format!("{n}").as_str())]), fate?)))
                .collect(),
            absent: None,
            answered: None,
        });
        let losses = slice.losses(parents.as_ref(), 0).await.unwrap();
        let written = slice.finish(parents.as_ref(), &CancellationToken::new()).await.unwrap().written;
        // What was counted before is what was soft-deleted.
        let lost =
            losses.values().filter(|loss| loss.parent != ParentState::Kept).map(|loss| loss.missing).sum::<u64>();
        assert_eq!(lost, written.tombstones);
        written
    }

    async fn batches(&self) -> Vec<RecordBatch> {
        match open_old(&self.lake, &self.table, self.day).await.unwrap() {
            Some(old) => old.stream().unwrap().try_collect().await.unwrap(),
            None => Vec::new(),
        }
    }

    /// The rows of the object, sorted; with history, the current ones and the tombstones of the last versions.
    async fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for batch in self.batches().await {
            let text =
                |name: &str, row: usize| batch.column_by_name(name).unwrap().as_string::<i32>().value(row).to_string();
            let flag = |name: &str, row: usize| batch.column_by_name(name).is_some_and(|c| c.as_boolean().value(row));
            for row in 0..batch.num_rows() {
                rows.push(((text("parent", row), text("id", row)), text("value", row), flag("_deleted", row)));
            }
        }
        rows.sort();
        rows
    }
}

/// What the words of the policy make of the old rows and the new ones.
fn model(policy: Policy, old: Vec<Row>, sync: &Sync) -> Vec<Row> {
    let mut new: Vec<Row> = Vec::new();
    let of = |records: &[Record]| -> Vec<Row> {
        let row = |((parent, id), value): &Record| ((parent.to_string(), id.to_string()), value.to_string(), false);
        records.iter().map(row).collect()
    };
    // A repetition is dropped: of a key, and in replaced tables of a whole row that another page had.
    for page in sync.records.chunks(3).map(of) {
        let before = new.clone();
        for (index, row) in page.iter().enumerate() {
            let repeats = |other: &&Row| if policy == Policy::Replace { *other == row } else { other.0 == row.0 };
            let is_new = match policy {
                Policy::Replace => {
                    page[..=index].iter().filter(repeats).count() > before.iter().filter(repeats).count()
                }
                _ => !new.iter().any(|other| repeats(&other)),
            };
            if is_new {
                new.push(row.clone());
            }
        }
    }
    let keys: Vec<(String, String)> = new.iter().map(|row| row.0.clone()).collect();
    for row in old {
        let parent = sync.parents.map(|fates| fates[row.0.0.parse::<usize>().unwrap()]);
        let untouched = parent == Some(Some(ParentFate::Keep));
        let stays = match policy {
            _ if keys.contains(&row.0) => None,
            _ if untouched => Some(row),
            Policy::Merge => Some(row),
            Policy::Replace => (parent == Some(None)).then_some(row),
            Policy::Snapshot => Some((row.0, row.1, true)),
        };
        new.extend(stays);
    }
    new.sort();
    new
}

fn syncs(parents: bool) -> impl Strategy<Value = Vec<Sync>> {
    let fate = prop_oneof![Just(None), Just(Some(ParentFate::Read)), Just(Some(ParentFate::Keep))];
    let fates = [fate.clone(), fate.clone(), fate];
    let records = prop::collection::vec(((0..3_u8, 0..3_u8), 0..3_u8), 0..8);
    let sync = (records, fates).prop_map(move |(records, fates)| Sync { records, parents: parents.then_some(fates) });
    prop::collection::vec(sync, 1..6)
}

fn policies() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::Snapshot), Just(Policy::Merge), Just(Policy::Replace)]
}

/// All in memory, or the others in a file.
fn keys() -> impl Strategy<Value = usize> {
    prop_oneof![1..4_usize, Just(1_000)]
}

fn run<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(story)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_syncs_give_the_rows_of_the_model(
        policy in policies(),
        syncs in prop_oneof![syncs(false), syncs(true)],
        keys in keys(),
    ) {
        run(async {
            let (mut scene, mut expected) = (Scene::new(policy, false, keys), Vec::new());
            for sync in &syncs {
                expected = model(policy, expected, sync);
                let written = scene.sync(sync).await;
                prop_assert_eq!(scene.rows().await, expected.clone());
                prop_assert_eq!(written.rows, expected.len() as u64);
                // Once more with the same rows: nothing changes.
                scene.sync(sync).await;
                prop_assert_eq!(scene.rows().await, expected.clone());
            }
            Ok(())
        })?;
    }

    /// Where keys are changes nothing: the objects are the same to the byte.
    #[test]
    fn keys_in_a_file_give_the_same_object(
        policy in policies(),
        history in any::<bool>(),
        syncs in prop_oneof![syncs(false), syncs(true)],
        keys in 1..4_usize,
    ) {
        run(async {
            let history = history && policy == Policy::Snapshot;
            let (mut few, mut all) = (Scene::new(policy, history, keys), Scene::new(policy, history, 1_000));
            for sync in &syncs {
                let (few, all) = (few.sync(sync).await, all.sync(sync).await);
                prop_assert_eq!(format!("{few:?}"), format!("{all:?}"));
            }
            Ok(())
        })?;
    }

    /// With history, the newest version of each key is what the table without history has,
    /// and the versions of a key follow one another without overlap.
    #[test]
    fn versions_follow_one_another(syncs in prop_oneof![syncs(false), syncs(true)], keys in keys()) {
        run(async {
            let (mut scene, mut expected) = (Scene::new(Policy::Snapshot, true, keys), Vec::new());
            for sync in &syncs {
                expected = model(Policy::Snapshot, expected, sync);
                scene.sync(sync).await;
                let mut newest: BTreeMap<(String, String), (i64, Row)> = BTreeMap::new();
                for batch in scene.batches().await {
                    let text = |name: &str, row: usize| batch.column_by_name(name).unwrap().as_string::<i32>().value(row).to_string();
                    let time = |name: &str, row: usize| {
                        let times = batch.column_by_name(name).unwrap().as_primitive::<arrow_array::types::TimestampMicrosecondType>();
                        times.is_valid(row).then(|| times.value(row))
                    };
                    let flag = |name: &str, row: usize| batch.column_by_name(name).unwrap().as_boolean().value(row);
                    for row in 0..batch.num_rows() {
                        let (from, to) = (time("_valid_from", row).unwrap(), time("_valid_to", row));
                        prop_assert!(to.is_none_or(|to| from < to), "from {} to {:?}", from, to);
                        prop_assert_eq!(flag("_current", row), to.is_none());
                        let key = (text("parent", row), text("id", row));
                        let version = (from, (key.clone(), text("value", row), flag("_deleted", row)));
                        let other = newest.get(&key).map(|(from, _)| *from);
                        prop_assert!(other != Some(from), "two versions of {key:?} from {from}");
                        if other.is_none_or(|other| other < from) {
                            newest.insert(key, version);
                        }
                    }
                }
                let newest: Vec<Row> = newest.into_values().map(|(_, row)| row).collect();
                prop_assert_eq!(newest, expected.clone());
            }
            Ok(())
        })?;
    }
}
