//! What clients did: a log of the requests, counts, and the rate limit of each key.

use std::collections::HashMap;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};

/// The log ends here; a client that makes more requests is counted all the same.
const LONGEST_LOG: usize = 500_000;

/// A request below `/v1`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) status: u16,
    pub(super) key: String,
}

#[derive(Default)]
pub(super) struct Traffic {
    log: Vec<Asked>,
    requests: u64,
    refused: u64,
    concurrent: u64,
    most_concurrent: u64,
    buckets: HashMap<String, Bucket>,
}

/// The requests a key may still make.
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// What the rate limit says to a request.
pub(super) struct Allowance {
    pub(super) granted: bool,
    pub(super) remaining: u64,
    /// Milliseconds until all that the limit allows is there again.
    pub(super) reset_ms: u64,
    /// Milliseconds until the next request is granted.
    pub(super) next_ms: u64,
    /// Every third refusal tells the time in the `x-ratelimit` headers only.
    pub(super) tells_retry_after: bool,
}

impl Traffic {
    pub(super) fn begin(&mut self) {
        self.requests += 1;
        self.concurrent += 1;
        self.most_concurrent = self.most_concurrent.max(self.concurrent);
    }

    pub(super) fn end(&mut self, asked: Asked) {
        self.concurrent = self.concurrent.saturating_sub(1);
        if self.log.len() < LONGEST_LOG {
            self.log.push(asked);
        }
    }

    pub(super) fn log(&self) -> String {
        serde_json::to_string(&self.log).unwrap_or_default()
    }

    pub(super) fn forget(&mut self) {
        self.log.clear();
    }

    pub(super) fn stats(&self) -> Value {
        json!({
            "requests": self.requests,
            "refused": self.refused,
            "max_concurrent": self.most_concurrent,
        })
    }

    /// Takes one request of a key: a bucket that holds what one second allows.
    pub(super) fn take(&mut self, key: &str, per_second: u32) -> Allowance {
        let rate = f64::from(per_second.max(1));
        let now = Instant::now();
        let bucket = self.buckets.entry(key.to_owned()).or_insert(Bucket { tokens: rate, filled: now });
        let passed = now.duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * rate).min(rate);
        bucket.filled = now;
        let granted = bucket.tokens >= 1.0;
        if granted {
            bucket.tokens -= 1.0;
        } else {
            self.refused += 1;
        }
        let until = |tokens: f64| ((tokens - bucket.tokens).max(0.0) / rate * 1_000.0).ceil() as u64;
        Allowance {
            granted,
            remaining: bucket.tokens as u64,
            reset_ms: until(rate),
            next_ms: until(1.0),
            tells_retry_after: !self.refused.is_multiple_of(3),
        }
    }
}
