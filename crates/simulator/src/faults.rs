//! Answers that go wrong on purpose, as tests order them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::route::{self, Host};

/// One order: requests to `path` are answered as said here, `times` times.
///
/// A path that is one of the API's is meant exactly (`*` stands for one segment); any
/// other is meant with all that lies below it, as is one that ends in `/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) path: String,
    /// How often; null for ever.
    pub(super) times: Option<u64>,
    /// So many requests are answered as usual first.
    #[serde(default)]
    pub(super) skip: u64,
    /// Without it the usual answer is given, with what the other members do to it.
    pub(super) status: Option<u16>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<String>,
    #[serde(default)]
    pub(super) delay_ms: u64,
    /// Only so many bytes of the body are sent.
    pub(super) truncate: Option<usize>,
    /// The connection is closed: in the middle of a truncated body, else without an answer.
    #[serde(default)]
    pub(super) close: bool,
}

#[derive(Default)]
pub(super) struct Faults {
    ordered: Vec<Fault>,
}

impl Faults {
    pub(super) fn order(&mut self, faults: Vec<Fault>) {
        self.ordered.extend(faults);
    }

    pub(super) fn clear(&mut self) {
        self.ordered.clear();
    }

    /// The first fault that is due for a path, used up by one.
    pub(super) fn due(&mut self, path: &str) -> Option<Fault> {
        for fault in &mut self.ordered {
            if fault.times == Some(0) || !matches(&fault.path, path) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if let Some(times) = &mut fault.times {
                *times -= 1;
            }
            return Some(fault.clone());
        }
        None
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let wanted: Vec<&str> = pattern.trim_matches('/').split('/').collect();
    let given: Vec<&str> = path.trim_matches('/').split('/').collect();
    let below = pattern.ends_with('/') || !is_of_the_api(&wanted);
    let long_enough = wanted.len() == given.len() || (below && wanted.len() < given.len());
    let mut pairs = wanted.iter().zip(&given);
    long_enough && pairs.all(|(wanted, given)| *wanted == "*" || wanted == given)
}

fn is_of_the_api(segments: &[&str]) -> bool {
    let path = format!("/{}", segments.join("/"));
    let Some((host, below)) = Host::of(&path) else {
        return false;
    };
    let below: Vec<String> = below.split('/').map(str::to_owned).collect();
    route::find(host, &below).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_served_path_is_exact_and_any_other_is_a_prefix() {
        let users = "/v1/organization/users";
        assert!(matches(users, users));
        assert!(!matches(users, "/v1/organization/users/user-1/roles"));
        assert!(matches("/v1/organization/users/", "/v1/organization/users/user-1/roles"));
        let keys = "/v1/organization/projects/proj_1/api_keys";
        assert!(matches("/v1/organization/projects/proj_1", keys));
        assert!(matches("/v1/organization/projects/*/api_keys", keys));
        assert!(!matches("/v1/organization/projects/*/users", keys));
    }
}
