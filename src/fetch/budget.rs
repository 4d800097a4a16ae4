//! One rate budget for a host and key, shared by all tables.
//!
//! Nobody tells a client its limit beforehand, so it is found: the number of
//! requests in flight grows while answers come well, is halved when one is
//! refused, and everybody waits until the moment that the API named. A fixed
//! `--rate` was rejected: the right number differs by organization, endpoint
//! and day.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) struct Budget {
    state: Mutex<State>,
    changed: Notify,
    most: f64,
}

struct State {
    /// How many may be in flight; fractions count up to the next whole one.
    limit: f64,
    in_flight: usize,
    /// Nobody asks before that moment.
    paused_until: Instant,
    /// Refusals of requests that were sent before it are echoes of one event.
    halved_at: Option<Instant>,
}

/// One request's place in the budget; given back when dropped.
pub(crate) struct Permit {
    budget: Arc<Budget>,
    taken: Instant,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Arc<Budget> {
        let now = Instant::now();
        let most = most.max(1) as f64;
        let state = State { limit: most.min(8.0), in_flight: 0, paused_until: now, halved_at: None };
        Arc::new(Budget { state: Mutex::new(state), changed: Notify::new(), most })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock guards numbers only; they are still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place.
    pub(crate) async fn acquire(self: &Arc<Budget>) -> Permit {
        loop {
            let changed = self.changed.notified();
            let pause = {
                let mut state = self.state();
                let now = Instant::now();
                let pause = state.paused_until.saturating_duration_since(now);
                if pause.is_zero() && state.in_flight < state.limit as usize {
                    state.in_flight += 1;
                    return Permit { budget: Arc::clone(self), taken: now };
                }
                pause
            };
            match pause.is_zero() {
                true => changed.await,
                false => tokio::time::sleep(pause).await,
            }
        }
    }

    /// How long everybody is waiting for the rate limit, from now.
    pub(crate) fn pause(&self) -> Duration {
        self.state().paused_until.saturating_duration_since(Instant::now())
    }
}

impl Permit {
    /// A good answer: one more in flight for each full round of good ones.
    pub(crate) fn succeeded(self) {
        let mut state = self.budget.state();
        state.limit = (state.limit + 1.0 / state.limit).min(self.budget.most);
    }

    /// A refusal: half as many, and a pause for everybody.
    pub(crate) fn refused(self, wait: Duration) {
        let mut state = self.budget.state();
        let now = Instant::now();
        state.paused_until = state.paused_until.max(now + wait);
        if state.halved_at.is_none_or(|at| self.taken > at) {
            state.limit = (state.limit / 2.0).max(1.0);
            state.halved_at = Some(now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.state().in_flight -= 1;
        self.budget.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn grows_halves_and_waits() {
        let budget = Budget::new(64);
        for _ in 0..100 {
            budget.acquire().await.succeeded();
        }
        let grown = budget.state().limit;
        assert!(grown > 10.0);
        let (one, echo) = (budget.acquire().await, budget.acquire().await);
        one.refused(Duration::from_secs(5));
        tokio::time::advance(Duration::from_millis(1)).await;
        echo.refused(Duration::from_secs(5));
        assert_eq!(budget.state().limit, grown / 2.0);
        let before = Instant::now();
        budget.acquire().await.succeeded();
        assert!(before.elapsed() >= Duration::from_secs(5));
    }
}
