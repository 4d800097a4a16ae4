//! One run at a time for a destination: `_state/lease`.
//!
//! On a disk it is a lock of the operating system, which a killed process
//! cannot keep. In an object store it is an object made by a conditional PUT
//! and renewed; it names its holder and is free again [`LIFETIME`] after the
//! last renewal. A process that could not renew in time stops writing.
//!
//! How old a renewal is, only the store's clock says: hosts can be minutes apart.
//! A lease that seems to be held is compared with an object that is written now,
//! `_state/clock`: both bear the store's time. What is left of its life is then counted
//! by the monotonic clock, as long as the lease stays as it is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Lake, reason, storage};
use crate::console::plain;
use crate::error::{Error, Kind, Result};
use crate::panics;

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
    /// By the holder's clock: for people, and for programs before `lifetime`.
    until: DateTime<Utc>,
    /// Seconds that it lasts from when it was written, by the store's clock. `None` in notes of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lifetime: Option<u64>,
}

/// A lease of another run as it was found.
struct Found {
    note: Option<Note>,
    version: UpdateVersion,
    written: DateTime<Utc>,
}

impl Found {
    /// Whether it is known to be free without a look at any clock: given back, or no note at all.
    fn is_free(&self) -> bool {
        self.note.as_ref().is_none_or(|note| note.lifetime == Some(0))
    }

    /// How long it still lasts at the store's time `now`. Both times have whole seconds: one more makes sure.
    fn lasts(&self, now: DateTime<Utc>) -> TimeDelta {
        let life = TimeDelta::seconds(LIFETIME.as_secs() as i64);
        let Some(note) = &self.note else { return TimeDelta::zero() };
        let said = note.lifetime.and_then(|seconds| i64::try_from(seconds).ok()).and_then(TimeDelta::try_seconds);
        let left = self.written + said.unwrap_or(life).min(life) + TimeDelta::seconds(1) - now;
        // An older program's note says only when it ends.
        if note.lifetime.is_none() { left.min(note.until - now) } else { left }
    }
}

/// A lease that somebody waits for, and when it is over if it stays as it is, by the waiter's monotonic clock.
#[derive(Default)]
struct Watched {
    version: Option<UpdateVersion>,
    over: Option<tokio::time::Instant>,
}

impl Watched {
    /// Whether a lease that seems to be held is over. The store is asked for its time once for each renewal.
    async fn is_over(&mut self, lake: &Lake, found: &Found) -> Result<bool> {
        let is_known =
            |known: &UpdateVersion| known.e_tag == found.version.e_tag && known.version == found.version.version;
        if !self.version.as_ref().is_some_and(is_known) {
            let left = found.lasts(store_time(lake).await?).to_std().unwrap_or_default();
            (self.version, self.over) = (Some(found.version.clone()), Some(tokio::time::Instant::now() + left));
        }
        Ok(self.over.is_some_and(|over| tokio::time::Instant::now() >= over))
    }
}

/// The store's time: that of an object which it writes now.
async fn store_time(lake: &Lake) -> Result<DateTime<Utc>> {
    let path = lake.path(&["_state", "clock"]);
    let failed = |e: object_store::Error| storage(&e, &lake.shown).at("_state/clock");
    lake.store.put(&path, PutPayload::from_static(b"the store's time\n")).await.map_err(failed)?;
    Ok(lake.store.head(&path).await.map_err(failed)?.last_modified)
}

impl Lease {
    /// Takes the lease, or says who has it. `lost` is cancelled when it cannot be renewed.
    pub(crate) async fn take(lake: &Arc<Lake>, run: &str, lost: &CancellationToken) -> Result<Lease> {
        Lease::attempt(lake, run, lost, &mut Watched::default()).await
    }

    async fn attempt(lake: &Arc<Lake>, run: &str, lost: &CancellationToken, watched: &mut Watched) -> Result<Lease> {
        let holder = format!("run {run}, process {}", std::process::id());
        match &lake.folder {
            Some(folder) => Lease::lock(lake, folder, &holder),
            None => Lease::put(lake, holder, lost.clone(), watched).await,
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
        let mut watched = Watched::default();
        loop {
            match Lease::attempt(lake, run, lost, &mut watched).await {
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

    async fn put(lake: &Arc<Lake>, holder: String, lost: CancellationToken, watched: &mut Watched) -> Result<Lease> {
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
                let written = found.meta.last_modified;
                let note = serde_json::from_slice(&found.bytes().await.map_err(failed)?).ok();
                let found = Found { note, version, written };
                if !found.is_free() && !watched.is_over(lake, &found).await? {
                    let cure = "wait until it has ended; a sync does so with --lock-wait; a run that was killed frees it within 60 seconds";
                    return Err(taken(&lake.shown, found.note.as_ref().map_or("", |note| &note.holder), cure));
                }
                match write(lake, &path, &holder, LIFETIME, PutMode::Update(found.version)).await {
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

    /// Does work that needs the lease, and gives the lease back however the work ends.
    pub(crate) async fn during<T>(self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let done = panics::caught_async(work).await;
        self.release().await;
        done
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
    let note = Note { holder: holder.to_string(), until: Utc::now() + lifetime, lifetime: Some(lifetime.as_secs()) };
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
    // Whatever ends this task too early, a panic too: nobody renews any more, so the run must end.
    let unrenewed = lost.clone().drop_guard();
    let mut good_until = tokio::time::Instant::now() + LIFETIME;
    loop {
        tokio::select! {
            () = tokio::time::sleep(RENEWAL) => {}
            () = over.cancelled() => {
                unrenewed.disarm();
                return version;
            }
        }
        let asked = tokio::time::Instant::now();
        let renewal = write(&lake, &path, &holder, LIFETIME, PutMode::Update(version.clone()));
        // With the last version in hand the lease can still be given back.
        let Ok(renewed) = panics::caught_async(async { Ok(renewal.await) }).await else { return version };
        match renewed {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whose clock the note is by does not matter; what was written in the store's time does.
    #[test]
    fn a_lease_lasts_a_life_of_the_stores_clock() {
        let now = DateTime::from_timestamp(1_795_239_000, 0).unwrap();
        let found = |written: i64, until: i64, lifetime: Option<u64>| Found {
            note: Some(Note { holder: String::new(), until: now + TimeDelta::seconds(until), lifetime }),
            version: UpdateVersion { e_tag: None, version: None },
            written: now + TimeDelta::seconds(written),
        };
        for (written, until, lifetime, left) in [
            // A living lease of a host that is an hour ahead, and of one that is an hour behind.
            (-5, 3_655, Some(60), 56),
            (-5, -3_545, Some(60), 56),
            // A dead one, the same.
            (-61, 3_599, Some(60), 0),
            (-300, -3_900, Some(60), -239),
            // No note lasts for longer than a life, whatever it says.
            (-5, 90_000, Some(90_000), 56),
            (-5, 90_000, Some(u64::MAX), 56),
            // An older program's: what it says itself, and not for longer.
            (-5, 20, None, 20),
            (-5, 3_600, None, 56),
            (-5, -1, None, -1),
        ] {
            let left_of = found(written, until, lifetime).lasts(now);
            assert_eq!(left_of, TimeDelta::seconds(left), "{written} {until} {lifetime:?}");
        }
        assert!(found(0, 0, Some(0)).is_free() && !found(0, 0, Some(60)).is_free() && !found(0, 0, None).is_free());
    }
}
