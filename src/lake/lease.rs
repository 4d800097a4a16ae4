//! One run at a time for a destination: `_state/lease`.
//!
//! On a disk it is a lock of the operating system, which a killed process
//! cannot keep. In an object store it is an object made by a conditional PUT
//! and renewed; it names its holder and is free again [`LIFETIME`] after the
//! last renewal. A process that could not renew in time stops writing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Lake, reason, storage};
use crate::console::plain;
use crate::error::{Error, Kind, Result};

/// How long a dead holder's lease lasts in an object store.
const LIFETIME: Duration = Duration::from_secs(60);
/// Three renewals may fail before it is lost.
const RENEWAL: Duration = Duration::from_secs(15);

/// Held until dropped or released.
pub(crate) struct Lease {
    held: Held,
}

enum Held {
    Folder { lake: Arc<Lake>, _lock: File },
    Store { lake: Arc<Lake>, path: Path, renewal: AbortOnDropHandle<UpdateVersion>, over: CancellationToken },
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    holder: String,
    until: DateTime<Utc>,
}

impl Lease {
    /// Takes the lease, or says who has it. `lost` is cancelled when it cannot be renewed.
    pub(crate) async fn take(lake: &Arc<Lake>, run: &str, lost: &CancellationToken) -> Result<Lease> {
        let holder = format!("run {run}, process {}", std::process::id());
        match &lake.folder {
            Some(folder) => Lease::lock(lake, folder, &holder),
            None => Lease::put(lake, holder, lost.clone()).await,
        }
    }

    /// As [`Lease::take`], again and again until `longest` is over.
    pub(crate) async fn wait(
        lake: &Arc<Lake>,
        run: &str,
        lost: &CancellationToken,
        longest: Duration,
    ) -> Result<Lease> {
        let until = tokio::time::Instant::now() + longest;
        loop {
            match Lease::take(lake, run, lost).await {
                Err(error) if error.kind == Kind::Integrity && tokio::time::Instant::now() < until => {
                    tracing::info!(%error, "waiting");
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(500)) => {}
                        () = lost.cancelled() => {
                            return Err(Error::new(Kind::Interrupted, "interrupted while waiting for another run"));
                        }
                    }
                }
                outcome => return outcome,
            }
        }
    }

    fn lock(lake: &Arc<Lake>, folder: &std::path::Path, holder: &str) -> Result<Lease> {
        use std::os::unix::fs::OpenOptionsExt;
        lake.private_folder("_state")?;
        let unusable = |e: std::io::Error| Error::storage(format!("{}/_state/lease: {}", lake.shown, reason(&e)));
        let path = folder.join("_state").join("lease");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = std::fs::read_to_string(&path).unwrap_or_default();
                return Err(taken(
                    &lake.shown,
                    holder.trim(),
                    "wait until it has ended; a sync does so with --lock-wait",
                ));
            }
            Err(TryLockError::Error(e)) => return Err(unusable(e)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{holder}")).map_err(unusable)?;
        lake.sweep()?;
        Ok(Lease { held: Held::Folder { lake: Arc::clone(lake), _lock: file } })
    }

    async fn put(lake: &Arc<Lake>, holder: String, lost: CancellationToken) -> Result<Lease> {
        let path = lake.path(&["_state", "lease"]);
        let failed = |e: object_store::Error| storage(&e, &lake.shown).at("_state/lease");
        let version = match write(lake, &path, &holder, LIFETIME, PutMode::Create).await {
            Ok(version) => {
                lake.refuses_overwrites().await?;
                version
            }
            Err(object_store::Error::AlreadyExists { .. }) => {
                let found = lake.store.get(&path).await.map_err(failed)?;
                let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
                let bytes = found.bytes().await.map_err(failed)?;
                let note: Option<Note> = serde_json::from_slice(&bytes).ok();
                if let Some(note) = note.filter(|n| n.until > Utc::now()) {
                    let cure = "wait until it has ended; a sync does so with --lock-wait; a run that was killed frees it within 60 seconds";
                    return Err(taken(&lake.shown, &note.holder, cure));
                }
                match write(lake, &path, &holder, LIFETIME, PutMode::Update(version)).await {
                    Ok(version) => version,
                    Err(object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) => {
                        return Err(taken(&lake.shown, "another run", "it took the lease at the same moment"));
                    }
                    Err(e) => return Err(failed(e)),
                }
            }
            Err(e) => return Err(failed(e)),
        };
        let over = CancellationToken::new();
        let renewal = renew(Arc::clone(lake), path.clone(), holder, version, lost, over.clone());
        let renewal = AbortOnDropHandle::new(tokio::spawn(renewal));
        Ok(Lease { held: Held::Store { lake: Arc::clone(lake), path, renewal, over } })
    }

    /// Gives it back at once instead of letting it run out.
    pub(crate) async fn release(self) {
        let outcome = match self.held {
            // Nothing is under way any more: what stands aside belongs to nobody.
            Held::Folder { lake, _lock } => lake.sweep().map_err(|e| e.to_string()),
            // Not by deleting it: if it was lost meanwhile, the object is another run's.
            Held::Store { lake, path, renewal, over } => {
                over.cancel();
                let version = renewal.await.unwrap_or(UpdateVersion { e_tag: None, version: None });
                let given = write(&lake, &path, "nobody", Duration::ZERO, PutMode::Update(version)).await;
                given.map(|_| ()).map_err(|e| format!("the lease could not be given back: {e}"))
            }
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "after the run");
        }
    }
}

fn taken(shown: &str, holder: &str, cure: &str) -> Error {
    Error::integrity(format!("another run holds the lease of {shown} ({})", plain(holder))).hint(cure)
}

async fn write(
    lake: &Lake,
    path: &Path,
    holder: &str,
    lifetime: Duration,
    mode: PutMode,
) -> object_store::Result<UpdateVersion> {
    let note = Note { holder: holder.to_string(), until: Utc::now() + lifetime };
    let text = serde_json::to_vec(&note).unwrap_or_default();
    let refused = match lake.store.put_opts(path, PutPayload::from(text.clone()), PutOptions::from(mode)).await {
        Ok(put) => return Ok(UpdateVersion { e_tag: put.e_tag, version: put.version }),
        Err(e @ (object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })) => e,
        Err(e) => return Err(e),
    };
    // An answer may be lost on its way: asked again, the store refuses what it has already done.
    let Ok(found) = lake.store.get(path).await else { return Err(refused) };
    let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
    match found.bytes().await {
        Ok(there) if there == text => Ok(version),
        _ => Err(refused),
    }
}

/// Renews until the run is over or the lease is lost; gives the version that was written last.
async fn renew(
    lake: Arc<Lake>,
    path: Path,
    holder: String,
    mut version: UpdateVersion,
    lost: CancellationToken,
    over: CancellationToken,
) -> UpdateVersion {
    let mut good_until = tokio::time::Instant::now() + LIFETIME;
    loop {
        tokio::select! {
            () = tokio::time::sleep(RENEWAL) => {}
            () = over.cancelled() => return version,
        }
        let asked = tokio::time::Instant::now();
        match write(&lake, &path, &holder, LIFETIME, PutMode::Update(version.clone())).await {
            Ok(renewed) => {
                version = renewed;
                good_until = asked + LIFETIME;
            }
            Err(object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) => {
                lost.cancel();
                return version;
            }
            // Ten seconds short of its end nobody else has it yet, and a slice in flight can still be dropped.
            Err(_) if tokio::time::Instant::now() + Duration::from_secs(10) > good_until => {
                lost.cancel();
                return version;
            }
            Err(e) => tracing::warn!(error = %e, "the lease could not be renewed yet"),
        }
    }
}
