//! On a disk: a file that is written aside becomes an object, and is one still when the power fails.
//!
//! `object_store` can write, sync and rename too, but opens, renames and syncs
//! an object several times over: what stands aside is nobody's yet, so neither
//! its name nor its folder has to last, and folders are synced once for all
//! objects that appear together.

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

    /// Adds the last bytes, syncs the file and moves it to its place; gives the folders whose entries
    /// are new, for [`sync`].
    pub(super) fn appear(mut self, last: &[u8], root: &Path, object: &Path) -> io::Result<Vec<PathBuf>> {
        self.write(last)?;
        if let Some(file) = &self.file {
            file.sync_all()?;
        }
        let folder = object.parent().unwrap_or(root);
        let mut changed = vec![folder.to_path_buf()];
        make(root, folder, &mut changed)?;
        fs::rename(&self.path, object)?;
        self.file = None;
        Ok(changed)
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
