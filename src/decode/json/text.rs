//! What stands between a string's quotes: its characters, escapes read.

use std::borrow::Cow;

use super::words::marks;

/// The characters that a string's inner text stands for; none when it holds half
/// of a surrogate pair, which no UTF-8 text can.
pub(crate) fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    if !has_escape(raw) {
        return Some(Cow::Borrowed(raw));
    }
    let mut next = raw.find('\\')?;
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
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
                text.push(character);
                rest = &rest[used..];
            }
            other => text.push(char::from(other)),
        }
        match rest.find('\\') {
            Some(at) => next = at,
            None => {
                text.push_str(rest);
                return Some(Cow::Owned(text));
            }
        }
    }
}

/// Most texts have none, and most are short: eight bytes at a time are faster than a search made for long texts.
pub(crate) fn has_escape(raw: &str) -> bool {
    let (words, rest) = raw.as_bytes().as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| found | marks(u64::from_le_bytes(*word), b'\\'));
    found != 0 || rest.contains(&b'\\')
}

/// The character after `\u`, and how much of the text it took.
fn unicode(rest: &str) -> Option<(char, usize)> {
    let high = u32::from_str_radix(rest.get(..4)?, 16).ok()?;
    if let Some(character) = char::from_u32(high) {
        return Some((character, 4));
    }
    let low = rest.get(4..10)?.strip_prefix("\\u")?;
    let low = u32::from_str_radix(low, 16).ok()?;
    let paired = (0xD800..0xDC00).contains(&high) && (0xDC00..0xE000).contains(&low);
    let code = paired.then(|| 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))?;
    Some((char::from_u32(code)?, 10))
}

/// The inner text of a string value.
pub(crate) fn inner(string: &str) -> &str {
    string.get(1..string.len().saturating_sub(1)).unwrap_or("")
}
