//! A JSON text as a tree, read by `serde_json`: the other opinion that the scanner is held against.
//!
//! Numbers keep their text. Half of a surrogate pair, which no UTF-8 text can hold,
//! is U+FFFD, and so is NUL in a name. What JSON allows and makes no tree is told apart
//! from what is no JSON: a name that comes twice in one object (which value counts is
//! nobody's rule).

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// Why a text makes no tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Why {
    NoJson,
    /// JSON, but nobody's rule says what it means.
    Ambiguous,
}

impl Tree {
    pub(super) fn read(text: &str) -> Result<Tree, Why> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| Why::NoJson)?;
        Tree::of(raw)
    }

    fn of(raw: &RawValue) -> Result<Tree, Why> {
        let text = raw.get();
        let ambiguous = |_| Why::Ambiguous;
        Ok(match text.as_bytes().first() {
            Some(b'n') => Tree::Null,
            Some(b't') => Tree::Bool(true),
            Some(b'f') => Tree::Bool(false),
            Some(b'"') => Tree::Text(string(text)),
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(ambiguous)?;
                Tree::List(items.into_iter().map(Tree::of).collect::<Result<_, _>>()?)
            }
            Some(b'{') => {
                let Members(members) = serde_json::from_str(text).map_err(ambiguous)?;
                let read = |(name, raw): (&RawValue, _)| Ok((readable(&string(name.get())), Tree::of(raw)?));
                let members: Vec<(String, Tree)> = members.into_iter().map(read).collect::<Result<_, _>>()?;
                let mut names: Vec<&String> = members.iter().map(|(name, _)| name).collect();
                names.sort_unstable();
                if names.windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err(Why::Ambiguous);
                }
                Tree::Object(members)
            }
            _ => Tree::Number(text.to_string()),
        })
    }

    /// The member of an object, or the numbered item of a list.
    pub(super) fn get(&self, name: &str) -> Option<&Tree> {
        match self {
            Tree::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, value)| value),
            Tree::List(items) => items.get(name.parse::<usize>().ok()?),
            _ => None,
        }
    }

    pub(super) fn at(&self, path: &[String]) -> Option<&Tree> {
        path.iter().try_fold(self, |tree, name| tree.get(name))
    }

    pub(super) fn depth(&self) -> usize {
        match self {
            Tree::List(items) => 1 + items.iter().map(Tree::depth).max().unwrap_or(0),
            Tree::Object(members) => 1 + members.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// As it may be kept: the value of each member whose name says that it is a secret is gone, and so is NUL.
    pub(super) fn redacted(&self) -> Tree {
        match self {
            Tree::Text(text) => Tree::Text(readable(text)),
            Tree::List(items) => Tree::List(items.iter().map(Tree::redacted).collect()),
            Tree::Object(members) => {
                let kept = members.iter().map(|(name, value)| (name.clone(), value.kept_as(name)));
                Tree::Object(kept.collect())
            }
            other => other.clone(),
        }
    }

    /// As it may be kept under a name.
    pub(super) fn kept_as(&self, name: &str) -> Tree {
        match *self != Tree::Null && is_secret(name) {
            true => redaction(),
            false => self.redacted(),
        }
    }

    /// Whether the text stands anywhere that is not under the name of a secret.
    pub(super) fn shows(&self, text: &str) -> bool {
        match self {
            Tree::Text(own) | Tree::Number(own) => own.contains(text),
            Tree::List(items) => items.iter().any(|item| item.shows(text)),
            Tree::Object(members) => {
                members.iter().any(|(name, value)| name.contains(text) || (!is_secret(name) && value.shows(text)))
            }
            Tree::Null | Tree::Bool(_) => false,
        }
    }
}

/// A string's characters, by way of UTF-16, which can hold half of a surrogate pair.
fn string(quoted: &str) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut characters = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().chars();
    while let Some(character) = characters.next() {
        let plain = match (character, if character == '\\' { characters.next() } else { None }) {
            (_, Some('u')) => {
                let digits: String = characters.by_ref().take(4).collect();
                units.push(u16::from_str_radix(&digits, 16).unwrap_or_default());
                continue;
            }
            (_, Some('b')) => '\u{8}',
            (_, Some('f')) => '\u{c}',
            (_, Some('n')) => '\n',
            (_, Some('r')) => '\r',
            (_, Some('t')) => '\t',
            (_, Some(other)) => other,
            (plain, None) => plain,
        };
        units.extend(plain.encode_utf16(&mut [0; 2]).iter());
    }
    String::from_utf16_lossy(&units)
}

/// As JSON text keeps it: PostgreSQL takes no NUL.
fn readable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// What stands in the place of a secret.
pub(super) fn redaction() -> Tree {
    Tree::Text("[redacted]".to_string())
}

/// The rule of `schemas/README.md`, written a second time.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let whole = ["authorization", "cookie", "password", "api_key", "access_token", "refresh_token", "bearer_token"];
    whole.contains(&name.as_str()) || name == "client_secret" || name.ends_with("secret") || name.ends_with("secrets")
}

/// The members of an object in their order, also those that come twice.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Vec<(&'de RawValue, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(All).map(Members)
    }
}
