//! On a disk: a file that was written aside becomes an object, and is one still when the power fails.
//!
//! `object_store` can sync and rename too, but syncs six times for an object:
//! what stands aside is nobody's yet, so its folder need not be synced at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Syncs the file, moves it to its place, and syncs the folders whose entries are new.
pub(super) fn appear(root: &Path, aside: &Path, object: &Path) -> io::Result<()> {
    File::open(aside)?.sync_all()?;
    let folder = object.parent().unwrap_or(root);
    let new = missing(root, folder);
    fs::create_dir_all(folder)?;
    fs::rename(aside, object)?;
    sync(folder)?;
    new.iter().filter_map(|made| made.parent()).try_for_each(sync)
}

/// Folders on the way that are not there yet.
fn missing(root: &Path, folder: &Path) -> Vec<PathBuf> {
    let below = folder.ancestors().take_while(|f| *f != root);
    below.take_while(|f| !f.exists()).map(Path::to_path_buf).collect()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
