//! How JSON is kept: compact, readable by every warehouse, and with the values of secret members replaced.
//!
//! Used for `json` columns and for `_extra`. Tool definitions of eval runs and
//! agents can carry live credentials; whatever stands under a name that says so
//! is gone before anything is written, at any depth and in any case.

use std::borrow::Cow;

use super::json::{Kind, Malformed, Piece, Scanner, repair, unescape};

pub(crate) const REDACTED: &str = "\"[redacted]\"";

/// Whether a member of that name (as it stands between its quotes) holds a secret.
pub(crate) fn is_secret(raw_name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "authorization",
        "cookie",
        "password",
        "api_key",
        "access_token",
        "refresh_token",
        "bearer_token",
        "client_secret",
    ];
    // A name that cannot be read is not trusted.
    let Some(name) = unescape(raw_name) else { return true };
    let ends = |suffix: &str| {
        let cut = name.len().saturating_sub(suffix.len());
        name.is_char_boundary(cut) && name[cut..].eq_ignore_ascii_case(suffix)
    };
    NAMES.iter().any(|n| name.eq_ignore_ascii_case(n)) || ends("secret") || ends("secrets")
}

/// Appends the value of a member of that name; `null` stays, it tells nothing. Returns what [`value_of`] returns.
pub(crate) fn member_value(raw_name: &str, value: &str, into: &mut String) -> Result<bool, Malformed> {
    if is_secret(raw_name) && Kind::of(value) != Kind::Null {
        into.push_str(REDACTED);
        return Ok(false);
    }
    value_of(value, into)
}

/// Appends a value without the space between its tokens. Returns whether text in it was repaired ([`repair`]).
pub(crate) fn value_of(value: &str, into: &mut String) -> Result<bool, Malformed> {
    let readable = repair(value);
    match Kind::of(value) {
        Kind::Object | Kind::Array => copy(&mut Scanner::new(&readable), into)?,
        _ => into.push_str(&readable),
    }
    Ok(matches!(readable, Cow::Owned(_)))
}

/// Copies one object or array. It has been scanned before, so its brackets need not be followed:
/// what stands between two spaces or secrets is copied in one piece.
fn copy(scanner: &mut Scanner<'_>, into: &mut String) -> Result<(), Malformed> {
    let mut from = scanner.position();
    loop {
        let before = scanner.since(from);
        match scanner.piece()? {
            Piece::Other => continue,
            Piece::Space => into.push_str(before),
            Piece::Text(name) => {
                let mut value = scanner.clone();
                if !value.enter(b':')? || !is_secret(name) {
                    continue;
                }
                into.push_str(scanner.since(from));
                into.push(':');
                if value.peek()? != b'n' {
                    value.skip()?;
                    into.push_str(REDACTED);
                }
                *scanner = value;
            }
            Piece::End => {
                into.push_str(before);
                return Ok(());
            }
        }
        from = scanner.position();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(text: &str) -> String {
        let mut out = String::new();
        value_of(text, &mut out).unwrap();
        out
    }

    #[test]
    fn compact() {
        assert_eq!(kept("{ \"a\" : [ 1 , {} , [ ] ],\n\"b\":\"x y\" }"), r#"{"a":[1,{},[]],"b":"x y"}"#);
    }

    #[test]
    fn secrets_are_replaced_at_any_depth_and_in_any_case() {
        assert_eq!(
            kept(
                r#"{"tools":[{"Authorization":"sk","headers":{"COOKIE":["c"]},"domain_secrets":[{"value":"v"}],"x":1}],"api_key":null}"#
            ),
            r#"{"tools":[{"Authorization":"[redacted]","headers":{"COOKIE":"[redacted]"},"domain_secrets":"[redacted]","x":1}],"api_key":null}"#
        );
        assert_eq!(kept(r#"{"p\u0061ssword":"x"}"#), r#"{"p\u0061ssword":"[redacted]"}"#);
        assert_eq!(
            kept(r#"{"api_key.created":{"id":"1"},"secretary":"s"}"#),
            r#"{"api_key.created":{"id":"1"},"secretary":"s"}"#
        );
    }

    proptest! {
        #[test]
        fn keeps_the_value(value in json()) {
            let spaced = serde_json::to_string_pretty(&value).unwrap();
            let back: serde_json::Value = serde_json::from_str(&kept(&spaced)).unwrap();
            prop_assert_eq!(back, without_nul(value));
        }
    }

    fn without_nul(value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(text) => Value::String(text.replace('\0', "\u{fffd}")),
            Value::Array(items) => items.into_iter().map(without_nul).collect(),
            Value::Object(members) => members.into_iter().map(|(name, value)| (name, without_nul(value))).collect(),
            other => other,
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), ".*".prop_map(Value::from)];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-f]{1,3}", inner, 0..4).prop_map(Value::from_iter),
            ]
        })
    }
}
