//! The memory that answers may take together, whatever their size.
//!
//! An answer of ordinary size needs no leave. A larger one takes its bytes from
//! [`ROOM`], as it grows, and gives them back when its text is dropped. When they
//! are used up, one answer at a time may still go on: so nothing waits for
//! itself, and all of them need no more than the room and one of the largest.
//!
//! Memory belongs to the process, so this is a static and not a part of a client.
//! Fewer requests in flight were the alternative: they would slow down the many
//! small answers for the sake of a few large ones.

use std::fmt;
use std::ops::Deref;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::{Error, Result};

/// Answers up to this size are not counted.
const SMALL: usize = 1 << 20;
/// Bytes of one permit.
const UNIT: usize = 64 << 10;
/// Bytes of all larger answers together.
const ROOM: usize = 256 << 20;

static MANY: Semaphore = Semaphore::const_new(ROOM / UNIT);
static ONE: Semaphore = Semaphore::const_new(1);

/// What one answer has taken of the room.
#[derive(Debug, Default)]
pub(super) struct Share {
    units: usize,
    many: Option<SemaphorePermit<'static>>,
    /// The one that needs no room.
    one: Option<SemaphorePermit<'static>>,
}

impl Share {
    /// Waits until the answer may be so large.
    pub(super) async fn fit(&mut self, bytes: usize) -> Result<()> {
        let units = bytes.div_ceil(UNIT);
        if bytes <= SMALL || units <= self.units || self.one.is_some() {
            return Ok(());
        }
        // Ahead of what is needed now: a large answer arrives in thousands of pieces.
        let more = (units - self.units).max(self.units / 4).max(SMALL / UNIT);
        let closed = |_| Error::interrupted();
        tokio::select! {
            biased;
            taken = MANY.acquire_many(more as u32) => {
                let taken = taken.map_err(closed)?;
                self.units += more;
                match &mut self.many {
                    Some(many) => many.merge(taken),
                    many => *many = Some(taken),
                }
            }
            one = ONE.acquire() => self.one = Some(one.map_err(closed)?),
        }
        Ok(())
    }

    /// Whether it has the one place that others wait for when the room is used up.
    pub(super) fn is_the_one(&self) -> bool {
        self.one.is_some()
    }
}

/// An answer's text, with the room that it takes until it is dropped.
pub(crate) struct Text {
    text: String,
    _share: Share,
}

impl Text {
    pub(super) fn new(text: String, share: Share) -> Text {
        Text { text, _share: share }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Eight answers of the largest size, each piece by piece, all at once: every one gets
    /// through, and at no moment do they hold more than the room and one of them.
    #[tokio::test(start_paused = true)]
    async fn answers_of_any_size_get_through_in_bounded_room() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static HELD: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        let largest = super::super::MAX_BODY;
        let answers = (0..8).map(|_| {
            tokio::spawn(async move {
                let mut share = Share::default();
                for size in (0..=largest).step_by(4 << 20).skip(1) {
                    share.fit(size).await.unwrap();
                    let held = HELD.fetch_add(4 << 20, Ordering::Relaxed) + (4 << 20);
                    MOST.fetch_max(held, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                HELD.fetch_sub(largest, Ordering::Relaxed);
            })
        });
        for answer in futures::future::join_all(answers).await {
            answer.unwrap();
        }
        let most = MOST.load(Ordering::Relaxed);
        assert!(most > ROOM && most <= ROOM + largest, "{most}");
    }
}
