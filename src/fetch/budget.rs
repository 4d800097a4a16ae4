//! One rate budget for a host and key, shared by all tables: it waits as [`Pace`] says.
//!
//! Requests pass one after the other, in the order in which they came. Only the
//! first of the queue looks at the clock and is woken when something changes; the
//! others sleep until it is their turn. Waking all of them for each answer cost
//! as many wake-ups as there were lists.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::pace::{Change, Limit, Pace, Turn};

pub(crate) struct Budget {
    pace: std::sync::Mutex<Pace>,
    /// Whoever holds it is the first of the queue.
    first: Mutex<()>,
    changed: Notify,
}

/// One request's place in the budget; given back when dropped.
pub(crate) struct Permit {
    budget: Arc<Budget>,
    taken: Instant,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Arc<Budget> {
        let pace = std::sync::Mutex::new(Pace::new(most, Instant::now().into_std()));
        Arc::new(Budget { pace, first: Mutex::new(()), changed: Notify::new() })
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // A poisoned lock guards numbers only; they are still good.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place.
    pub(crate) async fn acquire(self: &Arc<Budget>) -> Permit {
        let _first = self.first.lock().await;
        loop {
            let now = Instant::now();
            let turn = self.pace().turn(now.into_std());
            match turn {
                Turn::Go => return Permit { budget: Arc::clone(self), taken: now },
                Turn::Full => self.changed.notified().await,
                Turn::At(at) => {
                    let _ = tokio::time::timeout_at(at.into(), self.changed.notified()).await;
                }
            }
        }
    }

    /// How long everybody is waiting for the rate limit, from now.
    pub(crate) fn pause(&self) -> Duration {
        self.pace().pause(Instant::now().into_std())
    }

    fn tell(change: Option<Change>) {
        if let Some(change) = change {
            tracing::debug!("{change}");
        }
    }
}

impl Permit {
    /// A good answer, and what it tells of the limit.
    pub(super) fn succeeded(self, limit: Option<Limit>) {
        let change = self.budget.pace().answered(self.taken.into_std(), Instant::now().into_std(), limit);
        Budget::tell(change);
    }

    /// A refusal: a pause for everybody, and slower afterwards.
    pub(super) fn refused(self, wait: Duration) {
        let change = self.budget.pace().refused(self.taken.into_std(), Instant::now().into_std(), wait);
        Budget::tell(change);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.pace().ended(Instant::now().into_std());
        self.budget.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_waited_out_by_everybody() {
        let budget = Budget::new(64);
        budget.acquire().await.refused(Duration::from_secs(5));
        let before = Instant::now();
        budget.acquire().await.succeeded(None);
        assert!(before.elapsed() >= Duration::from_secs(5));
    }

    /// The first of the queue may be given up while it waits: the next one is not forgotten.
    #[tokio::test(start_paused = true)]
    async fn a_place_goes_to_the_next_one_when_the_first_is_given_up() {
        let budget = Budget::new(1);
        let held = budget.acquire().await;
        let wait = || {
            let budget = Arc::clone(&budget);
            tokio::spawn(async move { budget.acquire().await })
        };
        let (first, second) = (wait(), wait());
        tokio::time::sleep(Duration::from_millis(1)).await;
        first.abort();
        let _ = first.await;
        drop(held);
        second.await.unwrap();
    }

    /// With a thousand waiting, an answer wakes one of them.
    #[tokio::test(start_paused = true)]
    async fn all_of_a_long_queue_get_through_in_order() {
        let budget = Budget::new(4);
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let waiting = (0..1_000).map(|number| {
            let (budget, order) = (Arc::clone(&budget), Arc::clone(&order));
            tokio::spawn(async move {
                let permit = budget.acquire().await;
                order.lock().unwrap().push(number);
                tokio::time::sleep(Duration::from_millis(10)).await;
                permit.succeeded(None);
            })
        });
        for one in futures::future::join_all(waiting).await {
            one.unwrap();
        }
        assert!(order.lock().unwrap().is_sorted());
    }
}
