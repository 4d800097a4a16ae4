//! What is listed of a destination: the folders of tables, and nothing that happens to lie beside them.
//!
//! The root of a volume has `lost+found`, which nobody may read but root; a share has `.snapshot`, a removable disk
//! `.Trash-1000`. A table is a name in lower case, so these are never opened. A folder that has such a name and may
//! not be read is an error if a table is in it, and nothing of ours otherwise. In an object store a listing is of
//! names only, and one for all tables costs the fewest requests.

use std::io::ErrorKind;
use std::path::Path as FilePath;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::{Lake, reason, storage};
use crate::error::{Error, Result};
use crate::schema::Catalog;

impl Lake {
    /// The objects of all tables, in no order; of a store, everything else below the destination too.
    pub(super) async fn listed(&self) -> Result<Vec<ObjectMeta>> {
        let Some(folder) = self.folder.clone() else {
            let prefix = Some(&self.root).filter(|root| !root.as_ref().is_empty());
            return self.store.list(prefix).try_collect().await.map_err(|e| storage(&e, &self.shown));
        };
        let shown = self.shown.clone();
        let read = tokio::task::spawn_blocking(move || tables(&folder));
        let names = read.await.map_err(|e| Error::of_task(&e))?;
        let names = names.map_err(|e| unreadable(&shown, "", e.kind(), &reason(&e)))?;
        let mut listed = Vec::new();
        for name in names {
            listed.extend(self.below(&name).await?);
        }
        Ok(listed)
    }

    /// The objects in the folder of a table; none if there is no such folder.
    pub(super) async fn below(&self, table: &str) -> Result<Vec<ObjectMeta>> {
        let prefix = self.path(&[table]);
        match self.store.list(Some(&prefix)).try_collect().await {
            Ok(listed) => Ok(listed),
            Err(StoreError::NotFound { .. }) => Ok(Vec::new()),
            Err(e) if self.folder.is_some() && is_denied(&e) => self.readable(table, &prefix).await,
            Err(e) => Err(storage(&e, &self.shown)),
        }
    }

    /// The same, folder by folder, where one of them may not be read.
    async fn readable(&self, table: &str, prefix: &Path) -> Result<Vec<ObjectMeta>> {
        let denied = |folder: &str| unreadable(&self.shown, folder, ErrorKind::PermissionDenied, "permission denied");
        let first = match self.store.list_with_delimiter(Some(prefix)).await {
            Ok(first) => first,
            Err(e) if is_denied(&e) && self.is_table(table).await => return Err(denied(table)),
            Err(e) if is_denied(&e) => {
                tracing::info!(folder = table, "passed over: it may not be read, and no table is known by its name");
                return Ok(Vec::new());
            }
            Err(e) => return Err(storage(&e, &self.shown)),
        };
        let mut listed = first.objects;
        for folder in first.common_prefixes {
            let slice = folder.filename().is_some_and(|name| name.starts_with("date="));
            match self.store.list(Some(&folder)).try_collect::<Vec<_>>().await {
                Ok(more) => listed.extend(more),
                Err(e) if is_denied(&e) && slice => return Err(denied(&self.relative(&folder))),
                Err(e) if is_denied(&e) => {}
                Err(e) => return Err(storage(&e, &self.shown)),
            }
        }
        Ok(listed)
    }

    /// Whether a folder is known to be a table's: by the catalog of this program, or by a run that wrote it.
    async fn is_table(&self, name: &str) -> bool {
        let known = Catalog::load(None).is_ok_and(|catalog| catalog.get(name).is_some());
        let object = format!("\"{name}/");
        known || self.reports(usize::MAX).await.is_ok_and(|all| all.iter().any(|(_, text)| text.contains(&object)))
    }

    /// Errors if there is no lake at the destination: a typing error must not look like a lake in which all is well.
    pub(crate) async fn must_be_there(&self) -> Result<()> {
        let state = self.store.head(&self.path(&["_state", "state.json"])).await;
        match state {
            Ok(_) => return Ok(()),
            Err(StoreError::NotFound { .. }) => {}
            Err(e) if self.folder.is_some() && is_denied(&e) => {}
            Err(e) => return Err(storage(&e, &self.shown)),
        }
        if !self.objects().await?.is_empty() || !self.reports(1).await?.is_empty() {
            return Ok(());
        }
        Err(Error::usage(format!("there is no lake at {}: no table, no state and no run report", self.shown))
            .hint("give --dest the folder or URL that `openai-elt sync` wrote to"))
    }
}

/// The folders that may be tables, in the order of their names.
fn tables(root: &FilePath) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let name = entry?.file_name();
        names.extend(name.to_str().filter(|name| is_table_name(name)).map(str::to_string));
    }
    names.sort();
    names.retain(|name| root.join(name).is_dir());
    Ok(names)
}

/// Tables are named in lower case, with digits and `_` inside.
fn is_table_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn is_denied(e: &StoreError) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(e);
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if io == Some(ErrorKind::PermissionDenied) {
            return true;
        }
        cause = inner.source();
    }
    matches!(e, StoreError::PermissionDenied { .. })
}

fn unreadable(shown: &str, folder: &str, kind: ErrorKind, why: &str) -> Error {
    let place = format!("{}/{folder}", shown.trim_end_matches('/'));
    let error = Error::storage(format!("{}: the folder cannot be read: {why}", place.trim_end_matches('/')));
    match kind {
        ErrorKind::PermissionDenied => {
            error.hint("let this user read the folder and what is in it, or run as its owner")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::is_table_name;

    #[test]
    fn what_lies_at_the_root_of_a_volume_is_no_table() {
        for name in ["costs", "log_codex", "a1"] {
            assert!(is_table_name(name), "{name}");
        }
        for name in
            ["lost+found", ".Trash-1000", "System Volume Information", ".snapshot", "$RECYCLE.BIN", "_state", "", "1a"]
        {
            assert!(!is_table_name(name), "{name}");
        }
    }

    /// A table with a name that is passed over would be lost to every command that reads.
    #[test]
    fn each_table_of_the_catalog_has_such_a_name() {
        let catalog = crate::schema::Catalog::load(None).unwrap();
        assert!(catalog.iter().all(|table| is_table_name(&table.name)));
    }
}
