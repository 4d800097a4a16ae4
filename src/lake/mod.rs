//! The destination: slices of tables as Parquet objects, and beside them state, lease and reports.
//!
//! An object appears whole or not at all: a multipart upload that is completed,
//! or a file written aside, fsynced and renamed. So a plain glob is right at
//! every instant, and no reader needs a manifest.

mod appear;
mod aws;
mod blob;
mod encode;
mod equals;
mod fate;
mod folders;
mod google;
mod identity;
mod key_filter;
mod key_marks;
mod key_runs;
mod key_set;
mod keys;
mod lease;
mod losses;
#[cfg(test)]
mod model;
mod open;
mod owner;
mod ranges;
mod read;
mod scan;
mod slice;
mod state;
mod trouble;
mod upload;
mod variables;
mod verify;
mod versions;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::Handle;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::error::{Error, Result};
use crate::schema::Table;
use appear::Complete;
pub(crate) use fate::{ParentFate, Parents};
use identity::Identity;
pub(crate) use key_set::KeySet;
pub(crate) use keys::{KeyMap, hash_texts, hashes};
pub(crate) use lease::Lease;
pub(crate) use losses::{Loss, Losses, ParentState, only_list};
pub(crate) use owner::{ACCEPT, Met, Owner, OwnerFile};
pub(crate) use read::open_old;
pub(crate) use slice::{Finished, Slice, Written};
pub(crate) use state::{HeldBack, PendingFile, ScopeState, State, StateFile, TableState};
use trouble::storage;
pub(crate) use verify::Found;
#[cfg(test)]
pub(crate) use verify::row_hashes;

/// Name of the one object of a slice.
const OBJECT: &str = "data.parquet";
/// Objects of a disk that appear together. Few of them, and several such groups at the same time: a journal takes the
/// syncs of all threads in one turn, and those of one thread in a turn each.
const TOGETHER: usize = 4;

#[derive(Clone, Debug)]
pub(crate) struct Lake {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// As the user wrote it, for messages.
    shown: String,
    /// The folder, when the destination is a disk.
    folder: Option<PathBuf>,
    /// What must have ended before the destination is left: reading, writing, and taking uploads back.
    tasks: TaskTracker,
    /// Whose threads encode and write; without one, those of whoever asks. It outlives who reads.
    writers: Option<Handle>,
    /// Names that old rows may have as their project, and the id of each: they are read as rows of that id.
    renamed: Arc<BTreeMap<String, String>>,
    /// As whom requests are sent.
    identity: Identity,
}

impl Lake {
    /// Opens a folder or a URL (`s3://`, `gs://`, `az://`). A folder is made when it is not there.
    pub(crate) fn open(dest: &str) -> Result<Lake> {
        let single = dest.split_once(":/").is_some_and(|(s, rest)| {
            s.len() > 1 && s.bytes().all(|b| b.is_ascii_alphanumeric()) && !rest.starts_with('/')
        });
        if single {
            return Err(Error::usage(format!("the destination {dest} is neither a folder nor a URL"))
                .hint("a URL has two slashes after its scheme: s3://bucket/prefix"));
        }
        match scheme(dest) {
            None => Lake::folder(dest, FilePath::new(dest)),
            Some("file") => Lake::folder(dest, FilePath::new(dest.trim_start_matches("file://"))),
            Some(_) => Lake::url(dest),
        }
    }

    /// Opens a destination that must be there already.
    pub(crate) fn existing(dest: &str) -> Result<Lake> {
        if let None | Some("file") = scheme(dest) {
            let path = FilePath::new(dest.trim_start_matches("file://"));
            match path.metadata().and_then(|_| path.canonicalize()) {
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                    return Err(Error::storage(format!("the destination {dest} cannot be read: {}", reason(&e)))
                        .hint("let this user read the folder and those on the way to it, or run as its owner"));
                }
                Err(_) => {
                    return Err(Error::usage(format!("the destination {dest} is not there"))
                        .hint("give --dest the folder that was synced to"));
                }
            }
        }
        Lake::open(dest)
    }

    fn folder(shown: &str, path: &FilePath) -> Result<Lake> {
        let unusable = |e: std::io::Error| {
            Error::storage(format!("the destination {shown} cannot be used: {}", reason(&e))).hint(match e.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                    "give --dest a folder that this user may write"
                }
                _ => "give --dest a folder, or a path where one can be made",
            })
        };
        if path.is_file() {
            return Err(Error::storage(format!("the destination {shown} is a file")).hint("give --dest a folder"));
        }
        std::fs::create_dir_all(path).map_err(unusable)?;
        let folder = path.canonicalize().map_err(unusable)?;
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(|e| storage(&e, shown))?;
        Ok(Lake {
            store: Arc::new(store.with_fsync(true)),
            root: Path::default(),
            shown: shown.to_string(),
            folder: Some(folder),
            tasks: TaskTracker::new(),
            writers: Handle::try_current().ok(),
            renamed: Arc::default(),
            identity: Identity::default(),
        })
    }

    fn url(dest: &str) -> Result<Lake> {
        let opened = open::open(dest)?;
        Ok(Lake { identity: opened.identity, ..Lake::remote(opened.store, opened.root, dest) })
    }

    /// A lake at the root of a store.
    pub(crate) fn of(store: Arc<dyn ObjectStore>) -> Lake {
        Lake::remote(store, Path::default(), "memory")
    }

    fn remote(store: Arc<dyn ObjectStore>, root: Path, shown: &str) -> Lake {
        let writers = Handle::try_current().ok();
        let (folder, tasks, renamed) = (None, TaskTracker::new(), Arc::default());
        Lake { store, root, shown: shown.to_string(), folder, tasks, writers, renamed, identity: Identity::default() }
    }

    /// The same destination, with the rows of these project names read as rows of their project's id.
    pub(crate) fn renaming(&self, names: &BTreeMap<String, String>) -> Lake {
        Lake { renamed: Arc::new(names.clone()), ..self.clone() }
    }

    /// A task of which a part is writing; it is stopped when the handle is dropped.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        AbortOnDropHandle::new(self.tasks.spawn(task))
    }

    /// The same, on the threads that encode and write: who reads goes on reading.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        AbortOnDropHandle::new(self.tasks.spawn_on(task, &self.writers()))
    }

    fn writers(&self) -> Handle {
        self.writers.clone().unwrap_or_else(Handle::current)
    }

    /// Waits until nothing is being written or taken back any more, but not for ever.
    pub(crate) async fn at_rest(&self) {
        const LONGEST: std::time::Duration = std::time::Duration::from_secs(10);
        self.tasks.close();
        if tokio::time::timeout(LONGEST, self.tasks.wait()).await.is_err() {
            tracing::warn!("unfinished uploads were not taken back in time");
        }
    }

    /// As whom requests to the store are sent, in words. `None` for a folder.
    pub(crate) async fn whom(&self) -> Option<String> {
        self.identity.words().await
    }

    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Where other programs find it: the URL, or the absolute path of the folder.
    pub(crate) fn url_or_path(&self) -> String {
        match &self.folder {
            Some(folder) => folder.display().to_string(),
            None => self.shown.trim_end_matches('/').to_string(),
        }
    }

    /// The file that an object is, when the destination is a disk.
    pub(crate) fn file_of(&self, found: &Found) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(&found.path))
    }

    fn path(&self, parts: &[&str]) -> Path {
        parts.iter().fold(self.root.clone(), |path, part| path.join(*part))
    }

    /// Where a slice's object is.
    fn object(&self, table: &Table, day: Option<NaiveDate>) -> Path {
        match day {
            None => self.path(&[&table.name, OBJECT]),
            Some(day) => self.path(&[&table.name, &format!("date={day}"), OBJECT]),
        }
    }

    /// Where an object is written before it appears.
    ///
    /// An object store shows nothing before an upload is completed. A disk does,
    /// and readers that take a folder would read half of it: so it is written
    /// below `_staging`, which they skip, and renamed. (`object_store` writes
    /// aside too, but in the object's own folder.)
    fn aside(&self, path: &Path) -> Path {
        match self.folder {
            None => path.clone(),
            Some(_) => self.path(&["_staging", &self.relative(path).replace('/', "~")]),
        }
    }

    /// How many objects may appear together. In a store each has when it is finished, and is told by itself.
    pub(crate) fn together(&self) -> usize {
        if self.folder.is_some() { TOGETHER } else { 1 }
    }

    /// Lets objects appear that are finished, and tells each; gives the folders in which they did, for [`Lake::settle`].
    pub(crate) async fn appear(
        &self,
        finished: Vec<Finished>,
        tell: impl Fn(&Written) + Send + 'static,
    ) -> Result<Vec<PathBuf>> {
        let (aside, there): (Vec<_>, Vec<_>) = finished.into_iter().partition(|finished| finished.aside.is_some());
        there.iter().for_each(|finished| tell(&finished.written));
        let (written, files): (Vec<_>, Vec<_>) = aside.into_iter().map(|f| (f.written, f.aside)).unzip();
        self.place(files.into_iter().flatten().collect(), move |index| tell(&written[index])).await
    }

    /// Moves files to their places on a disk.
    async fn place(&self, files: Vec<Complete>, told: impl Fn(usize) + Send + 'static) -> Result<Vec<PathBuf>> {
        let Some(folder) = self.folder.clone().filter(|_| !files.is_empty()) else { return Ok(Vec::new()) };
        let root = folder.clone();
        let placed = upload::on_disk(move || Ok(appear::appear(files, &root, told))).await;
        placed.map_err(|e| storage(&e, &self.shown))?.map_err(|(object, e)| {
            let object = object.strip_prefix(&folder).unwrap_or(&object).display().to_string();
            storage(&upload::of_disk(e), &self.shown).at(object)
        })
    }

    /// Syncs the folders in which objects appeared: from then on these are there when the power fails.
    pub(crate) async fn settle(&self, folders: Vec<PathBuf>) -> Result<()> {
        if folders.is_empty() {
            return Ok(());
        }
        upload::on_disk(move || appear::sync(folders)).await.map_err(|e| storage(&e, &self.shown))
    }

    /// Removes what a killed run left aside. Only for the holder of the lease.
    fn sweep(&self) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        match std::fs::remove_dir_all(folder.join("_staging")) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::storage(format!("{}/_staging cannot be cleared: {}", self.shown, reason(&e))))
            }
            _ => Ok(()),
        }
    }

    /// As it is shown in reports: below the destination.
    fn relative(&self, path: &Path) -> String {
        let full = path.to_string();
        full.strip_prefix(self.root.as_ref()).unwrap_or(&full).trim_start_matches('/').to_string()
    }

    /// The days of which the table has an object.
    pub(crate) async fn days(&self, table: &Table) -> Result<BTreeSet<NaiveDate>> {
        let objects = self.below(&table.name).await?;
        let day = |path: &Path| {
            let mut parts = path.parts().collect::<Vec<_>>().into_iter().rev();
            let (object, folder) = (parts.next()?, parts.next()?);
            (object.as_ref() == OBJECT).then(|| folder.as_ref().strip_prefix("date=")?.parse().ok())?
        };
        Ok(objects.iter().filter_map(|o| day(&o.location)).collect())
    }

    /// Writes, reads, lists and removes a small object: whether this destination can be used.
    pub(crate) async fn probe(&self) -> Result<()> {
        let path = self.path(&["_state", "probe"]);
        self.private_folder("_state")?;
        let failed = |e: object_store::Error| storage(&e, &self.shown);
        self.store.put(&path, PutPayload::from_static(b"probe")).await.map_err(failed)?;
        let read = self.store.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)?;
        let listed = self.store.list(Some(&self.path(&["_state"]))).try_collect::<Vec<_>>().await.map_err(failed)?;
        self.store.delete(&path).await.map_err(failed)?;
        match read.as_ref() == b"probe" && listed.iter().any(|o| o.location == path) {
            true if self.folder.is_none() => self.refuses_overwrites().await,
            true => Ok(()),
            false => Err(Error::storage(format!("the destination {} does not give back what was written", self.shown))),
        }
    }

    /// The lease of an object store rests on conditional writes. Some stores accept
    /// the condition and overwrite all the same: then two runs could not be kept apart.
    async fn refuses_overwrites(&self) -> Result<()> {
        let path = self.path(&["_state", "condition"]);
        let create = || self.store.put_opts(&path, PutPayload::from_static(b"1"), PutMode::Create.into());
        let first = create().await;
        let second = create().await;
        let _ = self.store.delete(&path).await;
        match (first, second) {
            (
                Ok(_) | Err(object_store::Error::AlreadyExists { .. }),
                Err(object_store::Error::AlreadyExists { .. }),
            ) => Ok(()),
            (Err(e), _) => Err(storage(&e, &self.shown)),
            _ => Err(Error::integrity(format!(
                "{} overwrites an object that was to be created only if absent",
                self.shown
            ))
            .hint("the lease needs conditional writes (If-None-Match); use a store that has them")),
        }
    }

    /// Writes a small text whole, such as a run report.
    pub(crate) async fn put_text(&self, parts: &[&str], text: String) -> Result<String> {
        let path = self.path(parts);
        self.private_folder(parts[0])?;
        self.put_private(&path, text).await.map_err(|e| e.at(self.relative(&path)))?;
        Ok(self.relative(&path))
    }

    async fn put_private(&self, path: &Path, text: String) -> Result<()> {
        let put = self.store.put(path, PutPayload::from(text.into_bytes())).await;
        put.map_err(|e| storage(&e, &self.shown))?;
        self.make_private(path)
    }

    /// For its owner only, on a disk.
    fn make_private(&self, path: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let Some(folder) = &self.folder else { return Ok(()) };
        let file = folder.join(path.as_ref());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))
            .map_err(|e| Error::storage(format!("{} cannot be made private: {}", file.display(), reason(&e))))
    }

    /// State and reports are for their owner only.
    fn private_folder(&self, name: &str) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let Some(folder) = &self.folder else { return Ok(()) };
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join(name));
        made.map_err(|e| Error::storage(format!("{}/{name} cannot be made: {}", self.shown, reason(&e))))
    }
}

fn scheme(dest: &str) -> Option<&str> {
    dest.split_once("://").map(|(scheme, _)| scheme)
}

/// A checksum as people and `sha256sum` write it.
fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn reason(e: &std::io::Error) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
