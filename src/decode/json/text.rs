//! What stands between a string's quotes: its characters, escapes read.

use std::borrow::Cow;

use super::words::marks;

/// The characters of a string's inner text.
///
/// A lone surrogate (`\ud800` without its other half) has no character: U+FFFD stands in its place, so that the
/// rest of the text is kept. Returns `None` only for text that the scanner refuses.
pub(crate) fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    read(raw).map(|(text, _)| text)
}

/// The same, and whether a lone surrogate was replaced.
pub(crate) fn read(raw: &str) -> Option<(Cow<'_, str>, bool)> {
    if !has_escape(raw) {
        return Some((Cow::Borrowed(raw), false));
    }
    let mut next = raw.find('\\')?;
    let mut text = String::with_capacity(raw.len());
    let (mut rest, mut replaced) = (raw, false);
    loop {
        text.push_str(&rest[..next]);
        let escape = *rest.as_bytes().get(next + 1)?;
        rest = rest.get(next + 2..)?;
        match escape {
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'u' => {
                let (character, used) = unicode(rest)?;
                replaced |= character.is_none();
                text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
                rest = &rest[used..];
            }
            other => text.push(char::from(other)),
        }
        match rest.find('\\') {
            Some(at) => next = at,
            None => {
                text.push_str(rest);
                return Some((Cow::Owned(text), replaced));
            }
        }
    }
}

/// JSON text that every reader parses: each escape of a lone surrogate or of NUL is replaced by `\ufffd`.
///
/// RFC 8259 allows both. DuckDB refuses a whole text for a lone surrogate, PostgreSQL's operators and `jsonb` for
/// either. Takes any JSON text, or what stands between the quotes of a string; one that needs nothing is returned
/// as it is. Escapes are the only backslashes in JSON, so its structure need not be known.
pub(crate) fn repair(text: &str) -> Cow<'_, str> {
    let (mut rest, mut repaired) = (text, String::new());
    let mut from = 0;
    while let Some(found) = rest.get(from..).and_then(|rest| rest.find('\\')) {
        let at = from + found;
        from = (at + 2).min(rest.len());
        if rest.as_bytes().get(at + 1) != Some(&b'u') {
            continue;
        }
        let Some((character, used)) = rest.get(from..).and_then(unicode) else { continue };
        from += used;
        if matches!(character, None | Some('\0')) {
            repaired.push_str(&rest[..at]);
            repaired.push_str("\\ufffd");
            rest = &rest[from..];
            from = 0;
        }
    }
    match repaired.is_empty() {
        true => Cow::Borrowed(text),
        false => Cow::Owned(repaired + rest),
    }
}

/// Most texts have none, and most are short: eight bytes at a time are faster than a search made for long texts.
pub(crate) fn has_escape(raw: &str) -> bool {
    let (words, rest) = raw.as_bytes().as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| found | marks(u64::from_le_bytes(*word), b'\\'));
    found != 0 || rest.contains(&b'\\')
}

/// The character after `\u`, and how much of the text it took; the character is `None` for a lone surrogate.
fn unicode(rest: &str) -> Option<(Option<char>, usize)> {
    let high = hex(rest)?;
    if let Some(character) = char::from_u32(high) {
        return Some((Some(character), 4));
    }
    let low = rest.get(4..).and_then(|rest| rest.strip_prefix("\\u")).and_then(hex);
    let low = low.filter(|low| (0xD800..0xDC00).contains(&high) && (0xDC00..0xE000).contains(low));
    Some(match low {
        Some(low) => (char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), 10),
        None => (None, 4),
    })
}

fn hex(text: &str) -> Option<u32> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

/// The inner text of a string value.
pub(crate) fn inner(string: &str) -> &str {
    string.get(1..string.len().saturating_sub(1)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lone_surrogates_become_the_replacement_character() {
        for (raw, text, json) in [
            (r"a\ud83d b", "a\u{fffd} b", r"a\ufffd b"),
            (r"\uD83D", "\u{fffd}", r"\ufffd"),
            (r"\ude00", "\u{fffd}", r"\ufffd"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}", r"\ufffd\ufffd"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀", r"\ufffd\ud83d\ude00"),
            (r"\ud83d\n", "\u{fffd}\n", r"\ufffd\n"),
            (r"\ud83d\u0041", "\u{fffd}A", r"\ufffd\u0041"),
            (r"\ud83dé", "\u{fffd}é", r"\ufffdé"),
            (r"\\ud83d", r"\ud83d", r"\\ud83d"),
            (r"\\\ud83d", "\\\u{fffd}", r"\\\ufffd"),
            (r"\ud83d\\ude00", "\u{fffd}\\ude00", r"\ufffd\\ude00"),
            (r"\ud83d\ude00 \u202e", "😀 \u{202e}", r"\ud83d\ude00 \u202e"),
            (r"a\u0000b", "a\0b", r"a\ufffdb"),
        ] {
            assert_eq!(unescape(raw).as_deref(), Some(text), "{raw}");
            assert_eq!(repair(raw), json, "{raw}");
        }
    }

    proptest! {
        /// Whatever halves stand beside each other: what is repaired is text for `serde_json`, and the same text
        /// but for NUL.
        #[test]
        fn what_is_repaired_is_readable(pieces in prop::collection::vec(prop::sample::select(&[
            "\\ud83d", "\\uDE00", "\\udfff", "\\uD800", "\\u0000", "\\n", "\\\\", "\\u00e9", "é", "u", "ud800", "\\\"", "x",
        ][..]), 0..12)) {
            let raw = pieces.concat();
            let read: String = serde_json::from_str(&format!("\"{}\"", repair(&raw))).unwrap();
            prop_assert_eq!(&read, &unescape(&raw).unwrap().replace('\0', "\u{fffd}"));
            let once = repair(&raw);
            prop_assert_eq!(repair(&once), once.as_ref());
        }
    }
}
