//! Values written in the way in which most are: a text without escapes, a number of digits alone, a word.
//!
//! Each is read in one step. Where the next value is written in another way, or is
//! no JSON at all, nothing has happened, and the scanner's own steps find out which.

use super::Scanner;
use super::words::plain_until;

/// So many fit an `i64` in any case.
const DIGITS: usize = 18;

impl<'a> Scanner<'a> {
    /// The inner text of the string that comes next, if nothing in it is escaped; else nothing has happened.
    #[inline]
    pub(crate) fn plain_string(&mut self) -> Option<&'a str> {
        let bytes = self.bytes();
        if bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let start = self.at + 1;
        let end = plain_until(bytes, start);
        if bytes.get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// Steps over a word, if it comes next.
    #[inline]
    pub(crate) fn is_word(&mut self, word: &str) -> bool {
        let is_next = self.bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        self.at += if is_next { word.len() } else { 0 };
        is_next
    }

    /// The boolean that comes next; else nothing has happened.
    #[inline]
    pub(crate) fn flag(&mut self) -> Option<bool> {
        if self.is_word("true") { Some(true) } else { self.is_word("false").then_some(false) }
    }

    /// What is made of the number that comes next, if it is one of at most [`DIGITS`] digits and nothing else.
    /// If nothing can be made of it, nothing has happened.
    #[inline]
    pub(crate) fn natural<T>(&mut self, read: impl FnOnce(i64) -> Option<T>) -> Option<T> {
        let rest = self.bytes().get(self.at..)?;
        let (mut number, mut digits) = (0_i64, 0);
        for digit in rest.iter().take(DIGITS).map(|byte| byte.wrapping_sub(b'0')).take_while(|digit| *digit < 10) {
            number = number * 10 + i64::from(digit);
            digits += 1;
        }
        let whole = digits == 1 || (digits > 1 && rest[0] != b'0');
        if !whole || matches!(rest.get(digits)?, b'.' | b'e' | b'E' | b'0'..=b'9') {
            return None;
        }
        let made = read(number)?;
        self.at += digits;
        Some(made)
    }
}
