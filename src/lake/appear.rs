//! On a disk: files that are written aside become objects, and are still objects when the power fails.
//!
//! `object_store` can write, sync and rename too, but opens, renames and syncs
//! an object several times over: what stands aside is nobody's yet, so neither
//! its name nor its folder has to last. Objects appear together: all are written
//! before the first is synced, and folders are synced once for all of them
//! (docs/decisions/0020).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A file that is not an object yet. Dropped before it appears, it is removed.
pub(super) struct Aside {
    path: PathBuf,
    /// From the first bytes on, up to its appearance.
    file: Option<File>,
}

impl Aside {
    pub(super) fn new(path: PathBuf) -> Aside {
        Aside { path, file: None }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(created(&self.path)?),
        };
        file.write_all(bytes)
    }

    /// Lets the kernel begin to write what it holds of the file, and does not wait. Linux does so when it is told
    /// that nobody will read it soon; where it does not, the sync has all of it to do.
    fn hasten(&self) {
        #[cfg(target_os = "linux")]
        if let Some(file) = &self.file {
            let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_all)
    }

    /// Moves it to its place; notes the folders whose entries are new by it.
    fn appear(&mut self, root: &Path, object: &Path, changed: &mut Vec<PathBuf>) -> io::Result<()> {
        let folder = object.parent().unwrap_or(root);
        changed.push(folder.to_path_buf());
        make(root, folder, changed)?;
        fs::rename(&self.path, object)?;
        self.file = None;
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if self.file.is_some()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished file could not be removed");
        }
    }
}

/// A file with all its bytes, the last of which are not written yet.
pub(super) struct Complete {
    pub(super) file: Aside,
    pub(super) last: Vec<u8>,
    /// The object that it becomes.
    pub(super) object: PathBuf,
}

/// Which object could not appear, and why.
pub(super) type Failure = (PathBuf, io::Error);

/// Lets files become objects below `root`. None does before the bytes of all are on the disk; each is told by its
/// index. Gives the folders whose entries are new, for [`sync`].
pub(super) fn appear(
    mut files: Vec<Complete>,
    root: &Path,
    told: impl Fn(usize),
) -> std::result::Result<Vec<PathBuf>, Failure> {
    let mut changed = Vec::new();
    each(&mut files, |_, complete| complete.file.write(&complete.last))?;
    files.iter().for_each(|complete| complete.file.hasten());
    each(&mut files, |_, complete| complete.file.sync())?;
    each(&mut files, |index, complete| {
        complete.file.appear(root, &complete.object, &mut changed)?;
        told(index);
        Ok(())
    })?;
    Ok(changed)
}

fn each(
    files: &mut [Complete],
    mut step: impl FnMut(usize, &mut Complete) -> io::Result<()>,
) -> std::result::Result<(), Failure> {
    let mut files = files.iter_mut().enumerate();
    files.try_for_each(|(index, file)| step(index, file).map_err(|e| (file.object.clone(), e)))
}

/// Each folder once. The first one takes the file system's time, the others find theirs done.
pub(super) fn sync(folders: Vec<PathBuf>) -> io::Result<()> {
    let folders: BTreeSet<PathBuf> = folders.into_iter().collect();
    folders.iter().try_for_each(|folder| File::open(folder)?.sync_all())
}

/// A new file. Its folder is there but for the first one, so it is not asked for before.
fn created(path: &Path) -> io::Result<File> {
    match (File::create(path), path.parent()) {
        (Err(e), Some(folder)) if e.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            File::create(path)
        }
        (file, _) => file,
    }
}

/// Makes a folder below `root`, and those on the way to it; notes the folders that have one more by it.
fn make(root: &Path, folder: &Path, changed: &mut Vec<PathBuf>) -> io::Result<()> {
    if folder == root {
        return Ok(());
    }
    let Some(above) = folder.parent() else { return Ok(()) };
    let made = match fs::create_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            make(root, above, changed)?;
            fs::create_dir(folder)
        }
        made => made,
    };
    match made {
        Ok(()) => changed.push(above.to_path_buf()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        Err(e) => return Err(e),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file below `_staging` that is to become an object.
    fn complete(root: &Path, aside: &str, object: &str) -> Complete {
        let file = Aside::new(root.join("_staging").join(aside));
        Complete { file, last: object.as_bytes().to_vec(), object: root.join(object) }
    }

    /// What the told ones hold, and the object of the failure.
    fn appeared(root: &Path, files: Vec<Complete>) -> (Vec<usize>, Option<PathBuf>) {
        let told = std::cell::RefCell::new(Vec::new());
        let failed = appear(files, root, |index| told.borrow_mut().push(index)).err();
        (told.into_inner(), failed.map(|(object, _)| object))
    }

    #[test]
    fn files_appear_together_or_not_at_all_when_one_cannot_be_written() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("_staging/taken")).unwrap();
        let files = || vec![complete(root, "a", "t/date=1/o"), complete(root, "taken", "t/date=2/o")];
        assert_eq!(appeared(root, files()), (vec![], Some(root.join("t/date=2/o"))));
        assert!(!root.join("t").exists() && !root.join("_staging/a").exists());
        fs::remove_dir(root.join("_staging/taken")).unwrap();
        assert_eq!(appeared(root, files()), (vec![0, 1], None));
        assert_eq!(fs::read_to_string(root.join("t/date=2/o")).unwrap(), "t/date=2/o");
    }

    #[test]
    fn those_that_appeared_before_one_that_cannot_are_told() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::write(root.join("file"), "").unwrap();
        let files = ["t/date=1/o", "file/o", "t/date=3/o"].map(|o| complete(root, &o.replace('/', "~"), o));
        assert_eq!(appeared(root, files.into()), (vec![0], Some(root.join("file/o"))));
        assert!(root.join("t/date=1/o").exists() && !root.join("t/date=3").exists());
        assert_eq!(fs::read_dir(root.join("_staging")).unwrap().count(), 0);
    }
}
