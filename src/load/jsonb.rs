//! JSON text that PostgreSQL's `jsonb` accepts.
//!
//! Pure. `jsonb` refuses three things that valid JSON may hold: the escape `\u0000`,
//! half a surrogate pair, and a number beyond NUMERIC. The first two become
//! `\ufffd`, the number becomes a string of its text. Each is counted.

use std::borrow::Cow;

/// Exponents up to here fit NUMERIC, which ends at 131,072 digits before the point and 16,383 after it.
const EXPONENT: u64 = 9_999;
/// Numbers as long as this are not tried.
const DIGITS: usize = 6_000;

/// Returns the text that `jsonb` accepts, and the number of values that were changed.
pub(super) fn accepted(text: &str) -> (Cow<'_, str>, u64) {
    let bytes = text.as_bytes();
    let mut changed: Option<String> = None;
    let (mut copied, mut count, mut at) = (0, 0, 0);
    while at < bytes.len() {
        let (end, instead) = match bytes[at] {
            b'"' => {
                at = string(text, at + 1, &mut changed, &mut copied, &mut count);
                continue;
            }
            b'-' | b'0'..=b'9' => number(text, at),
            _ => (at + 1, None),
        };
        if let Some(instead) = instead {
            put(&mut changed, text, copied..at, &instead);
            (copied, count) = (end, count + 1);
        }
        at = end;
    }
    match changed {
        None => (Cow::Borrowed(text), 0),
        Some(mut changed) => {
            changed.push_str(&text[copied..]);
            (Cow::Owned(changed), count)
        }
    }
}

fn put(changed: &mut Option<String>, text: &str, before: std::ops::Range<usize>, instead: &str) {
    let changed = changed.get_or_insert_with(|| String::with_capacity(text.len()));
    changed.push_str(&text[before]);
    changed.push_str(instead);
}

/// Returns the end of a number, and what stands in its place if it is too large.
fn number(text: &str, at: usize) -> (usize, Option<String>) {
    let rest = &text.as_bytes()[at..];
    let length = rest.iter().position(|b| !matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
    let end = at + length.unwrap_or(rest.len());
    let number = &text[at..end];
    let exponent = number.split(['e', 'E']).nth(1).map(|e| e.trim_start_matches(['+', '-']).trim_start_matches('0'));
    let large = exponent.is_some_and(|e| !e.is_empty() && e.parse::<u64>().map_or(true, |e| e > EXPONENT));
    let fits = !large && number.len() <= DIGITS;
    (end, (!fits).then(|| format!("\"{number}\"")))
}

/// Goes over a string whose first quote is before `at`, and returns the place behind its last quote.
fn string(text: &str, mut at: usize, changed: &mut Option<String>, copied: &mut usize, count: &mut u64) -> usize {
    let bytes = text.as_bytes();
    let mut bad = false;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                break;
            }
            b'\\' if bytes.get(at + 1) == Some(&b'u') => {
                let unit = unit(bytes, at);
                let paired = matches!(unit, Some(0xd800..=0xdbff))
                    && bytes.get(at + 6..at + 8) == Some(br"\u")
                    && matches!(self::unit(bytes, at + 6), Some(0xdc00..=0xdfff));
                if paired {
                    at += 12;
                } else if matches!(unit, Some(0 | 0xd800..=0xdfff)) {
                    put(changed, text, *copied..at, "\\ufffd");
                    at += 6;
                    *copied = at;
                    bad = true;
                } else {
                    at += 2;
                }
            }
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    *count += u64::from(bad);
    at.min(bytes.len())
}

/// The four hexadecimal digits behind `\u`.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = std::str::from_utf8(bytes.get(at + 2..at + 6)?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_jsonb_refuses_is_changed() {
        for (text, wanted, changed) in [
            (r#"{"a":1.5e3,"b":"x"}"#, r#"{"a":1.5e3,"b":"x"}"#, 0),
            (r#"{"a":"\u0000"}"#, r#"{"a":"\ufffd"}"#, 1),
            (r#"["\\u0000"]"#, r#"["\\u0000"]"#, 0),
            (r#"["\\\u0000"]"#, r#"["\\\ufffd"]"#, 1),
            (r#"["\ud83d\ude00"]"#, r#"["\ud83d\ude00"]"#, 0),
            (r#"["\ud83d\ud83d\ude00\ude00"]"#, r#"["\ufffd\ud83d\ude00\ufffd"]"#, 1),
            (r#"["\ud83d\n","\udc00"]"#, r#"["\ufffd\n","\ufffd"]"#, 2),
            ("1e400", "1e400", 0),
            ("[1e999999,-1E-0099999]", r#"["1e999999","-1E-0099999"]"#, 2),
            (r#"["1e999999 \u00e9"]"#, r#"["1e999999 \u00e9"]"#, 0),
        ] {
            assert_eq!(accepted(text), (Cow::Borrowed(wanted), changed), "{text}");
        }
    }

    proptest! {
        /// Any text at all: no panic, and what is accepted is not changed again.
        #[test]
        fn what_is_accepted_stays(text in r#"([\[\]{}",:é]|\\[u"\\n]|d[89cd]0[0-9]|00|[-+.eE0-9])*"#) {
            let (once, _) = accepted(&text);
            prop_assert_eq!(accepted(&once).1, 0, "{} became {}", text, once);
        }
    }
}
