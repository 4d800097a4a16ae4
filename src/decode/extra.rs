//! What no column covers, put together as the JSON object of `_extra`.
//!
//! Members keep their nesting: an unknown `/user/badge` becomes
//! `{"user":{"badge":…}}`, one of the enclosing record `{"..":{…}}`.

use std::borrow::Cow;
use std::collections::HashMap;

use super::json::{Malformed, repair};
use super::keep;

/// One value to keep: the names above it as they stand between quotes, and its text.
#[derive(Clone, Debug)]
pub(super) struct Spare<'a> {
    pub(super) path: Vec<&'a str>,
    pub(super) value: &'a str,
}

/// Writes the object; nothing is written when there is nothing to keep. Returns the number of texts repaired.
pub(super) fn assemble(spares: &[Spare<'_>], into: &mut String) -> Result<u64, Malformed> {
    into.clear();
    if spares.is_empty() {
        return Ok(0);
    }
    let mut repaired = 0;
    level(&spares.iter().collect::<Vec<_>>(), 0, into, &mut repaired)?;
    Ok(repaired)
}

fn level(spares: &[&Spare<'_>], depth: usize, into: &mut String, repaired: &mut u64) -> Result<(), Malformed> {
    into.push('{');
    for (index, (name, same)) in by_name(spares, depth).into_iter().enumerate() {
        if index > 0 {
            into.push(',');
        }
        into.push('"');
        let readable = repair(name);
        *repaired += u64::from(matches!(readable, Cow::Owned(_)));
        into.push_str(&readable);
        into.push_str("\":");
        // A leaf and a branch of one name cannot both be kept; the leaf came whole.
        match same.iter().find(|s| s.path.len() == depth + 1) {
            Some(leaf) => *repaired += u64::from(keep::member_value(name, leaf.value, into)?),
            None if keep::is_secret(name) => into.push_str(keep::REDACTED),
            None => level(&same, depth + 1, into, repaired)?,
        }
    }
    into.push('}');
    Ok(())
}

/// In the order in which the names first come. By a map, because a record can have a
/// million members that nobody knows.
fn by_name<'s, 'a>(spares: &[&'s Spare<'a>], depth: usize) -> Vec<(&'a str, Vec<&'s Spare<'a>>)> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut names: Vec<(&str, Vec<&Spare<'_>>)> = Vec::new();
    for spare in spares {
        let Some(name) = spare.path.get(depth).copied() else { continue };
        let place = *places.entry(name).or_insert(names.len());
        if place == names.len() {
            names.push((name, Vec::new()));
        }
        names[place].1.push(spare);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nests_and_redacts() {
        let spare = |path: &[&'static str], value: &'static str| Spare { path: path.to_vec(), value };
        let mut out = String::new();
        assemble(
            &[
                spare(&["a"], "1"),
                spare(&["user", "x"], "[ 2 ]"),
                spare(&["user", "y", "z"], "\"s\""),
                spare(&["client_secret"], "\"s\""),
                spare(&["api_key", "id"], "\"k\""),
            ],
            &mut out,
        )
        .unwrap();
        assert_eq!(
            out,
            r#"{"a":1,"user":{"x":[2],"y":{"z":"s"}},"client_secret":"[redacted]","api_key":"[redacted]"}"#
        );
    }
}
