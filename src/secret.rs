//! A key that cannot print itself.
//!
//! `Debug` gives `[secret]`, there is no `Display` and no `Serialize`; the only
//! way out is [`Secret::expose`], called where the header is made.

use std::fmt;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// So many characters of a key tell too much of it.
const TELLING: usize = 12;

impl Secret {
    /// The text without the key, and without any longer piece of it: an API may quote it cut or masked.
    pub(crate) fn hide_in(&self, text: &str) -> String {
        let (key, mut shown, mut rest) = (self.0.as_str(), String::with_capacity(text.len()), text);
        while let Some(next) = rest.chars().next() {
            let piece = longest_of(rest, key);
            if piece >= TELLING.min(key.len()) && piece > 0 {
                shown.push_str("[secret]");
                rest = &rest[piece..];
            } else {
                shown.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        shown
    }
}

/// Length of the longest beginning of `text` that is somewhere in `key`.
fn longest_of(text: &str, key: &str) -> usize {
    let mut longest = 0;
    for (end, c) in text.char_indices() {
        if !key.contains(&text[..end + c.len_utf8()]) {
            break;
        }
        longest = end + c.len_utf8();
    }
    longest
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_longer_piece_of_a_key_is_shown() {
        let key = Secret::new("sk-admin-0123456789abcdef");
        for (text, shown) in [
            ("no sk-admin-0123456789abcdef!", "no [secret]!"),
            ("0123456789abcde", "[secret]"),
            ("sk-admin-0123****cdef", "[secret]****cdef"),
            ("sk-admin-", "sk-admin-"),
            ("ünrelated", "ünrelated"),
        ] {
            assert_eq!(key.hide_in(text), shown);
        }
    }
}
