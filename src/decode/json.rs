//! A pull scanner for JSON text: one pass, no tree, nothing allocated for what is skipped.
//!
//! Values are handed out as slices of the text they came from, so that a
//! decimal is parsed from its own digits and an unknown member is kept as it
//! came. `serde_json` was the alternative; its `Value` costs three times the
//! time, and its visitors do not give the raw text of a number or object while
//! walking. The grammar is RFC 8259, strictly; `tests` hold it against
//! `serde_json` on generated and on mutilated texts.
//!
//! Nesting is limited to [`MAX_DEPTH`]; the scanner itself does not recurse.

mod find;
mod plain;
mod text;
mod words;

use std::fmt;

pub(crate) use find::{pointer, records};
pub(crate) use text::{has_escape, inner, read, repair, unescape};
use words::{are_same, plain_until, structure_from};

/// Deeper nesting than any documented answer by far; a stack overflow is out of reach.
pub(crate) const MAX_DEPTH: usize = 256;

/// Not JSON: what was wrong, and at which byte.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Malformed {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON at byte {}: {}", self.at, self.what)
    }
}

/// What a value is, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    pub(crate) fn of(text: &str) -> Kind {
        match text.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// With its article, for messages.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        }
    }
}

/// A piece of a text that is known to be JSON.
pub(crate) enum Piece<'a> {
    /// What stands between the quotes of a value or a name.
    Text(&'a str),
    /// Between two tokens.
    Space,
    /// Neither quotes nor spaces.
    Other,
    End,
}

#[derive(Clone)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, at: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The text from an earlier position up to here.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, Malformed> {
        let what = if self.at >= self.text.len() { "the text ends too early" } else { what };
        Err(Malformed { at: self.at, what })
    }

    fn space(&mut self) {
        let bytes = self.bytes();
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// The first byte of the next token.
    pub(crate) fn peek(&mut self) -> Result<u8, Malformed> {
        self.space();
        match self.bytes().get(self.at) {
            Some(byte) => Ok(*byte),
            None => self.fail("a value was expected"),
        }
    }

    /// Nothing but space may follow.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        self.space();
        match self.at == self.text.len() {
            true => Ok(()),
            false => self.fail("more text after the value"),
        }
    }

    pub(crate) fn at_end(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    /// Steps into `{` or `[`; false when the value is something else.
    pub(crate) fn enter(&mut self, open: u8) -> Result<bool, Malformed> {
        let found = self.peek()? == open;
        self.at += usize::from(found);
        Ok(found)
    }

    /// The next member's name inside an object, or none at its end.
    ///
    /// The name is given as it stands between the quotes; [`unescape`] reads it.
    pub(crate) fn member(&mut self, first: &mut bool) -> Result<Option<&'a str>, Malformed> {
        if !self.separator(first, b'}')? {
            return Ok(None);
        }
        if self.peek()? != b'"' {
            return self.fail("a member's name was expected");
        }
        let name = self.string()?;
        if self.peek()? != b':' {
            return self.fail("a `:` was expected");
        }
        self.at += 1;
        Ok(Some(name))
    }

    /// Steps over `,"name":`, without the comma for the first, if that is what comes next, as it is mostly
    /// written: space only before the name. Else nothing has happened. The name is compared, and not looked
    /// through; it is `written` with its quotes and its colon, and has nothing that JSON escapes.
    #[inline]
    pub(crate) fn member_named(&mut self, first: &mut bool, written: &str) -> Option<&'a str> {
        let bytes = self.bytes();
        let mut start = self.at;
        if !*first {
            if bytes.get(start) != Some(&b',') {
                return None;
            }
            start += 1;
        }
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(start) {
            start += 1;
        }
        let end = start + written.len();
        if !are_same(bytes.get(start..end)?, written.as_bytes()) {
            return None;
        }
        self.at = end;
        *first = false;
        self.text.get(start + 1..end - 2)
    }

    /// Whether another element follows inside an array.
    pub(crate) fn element(&mut self, first: &mut bool) -> Result<bool, Malformed> {
        self.separator(first, b']')
    }

    fn separator(&mut self, first: &mut bool, close: u8) -> Result<bool, Malformed> {
        let next = self.peek()?;
        if next == close {
            self.at += 1;
            return Ok(false);
        }
        if std::mem::take(first) {
            return Ok(true);
        }
        if next != b',' {
            return self.fail("a `,` or the end of the list was expected");
        }
        self.at += 1;
        if self.peek()? == close {
            return self.fail("a value was expected after the `,`");
        }
        Ok(true)
    }

    /// The next value's text, whole.
    pub(crate) fn value(&mut self) -> Result<&'a str, Malformed> {
        let next = self.peek()?;
        let start = self.at;
        match next {
            b'{' | b'[' => self.skip()?,
            _ => self.scalar(next)?,
        }
        Ok(&self.text[start..self.at])
    }

    /// Steps over the next value, checking it.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        // One bit for each open bracket: 1 = object.
        let (mut objects, mut open) = ([0_u64; MAX_DEPTH / 64], 0_usize);
        let mut first = false;
        loop {
            let next = self.peek()?;
            match next {
                b'{' | b'[' if open == MAX_DEPTH => return self.fail("nested too deeply"),
                b'{' | b'[' => {
                    self.at += 1;
                    let bit = 1 << (open % 64);
                    let word = &mut objects[open / 64];
                    *word = if next == b'{' { *word | bit } else { *word & !bit };
                    open += 1;
                    first = true;
                }
                _ => self.scalar(next)?,
            }
            // Close what ends here, then go to the next value of what is still open.
            loop {
                let Some(last) = open.checked_sub(1) else { return Ok(()) };
                let more = match objects[last / 64] >> (last % 64) & 1 == 1 {
                    true => self.member(&mut first)?.is_some(),
                    false => self.element(&mut first)?,
                };
                if more {
                    break;
                }
                open = last;
                first = false;
            }
        }
    }

    /// The next piece, by which a text can be copied that was scanned before.
    pub(crate) fn piece(&mut self) -> Result<Piece<'a>, Malformed> {
        let rest = self.bytes().get(self.at..).unwrap_or_default();
        let other = |byte: &u8| !matches!(byte, b'"' | b' ' | b'\n' | b'\t' | b'\r');
        Ok(match rest.first() {
            Some(b'"') => Piece::Text(self.string()?),
            Some(byte) if other(byte) => {
                self.at += rest.iter().take_while(|byte| other(byte)).count();
                Piece::Other
            }
            Some(_) => {
                self.space();
                Piece::Space
            }
            None => Piece::End,
        })
    }

    /// Steps over the next value without checking it: to be used where its text is checked later.
    ///
    /// Only strings and brackets are looked at, so that it takes a part of the time of [`Scanner::value`].
    pub(crate) fn leap(&mut self) -> Result<&'a str, Malformed> {
        if !matches!(self.peek()?, b'{' | b'[') {
            return self.value();
        }
        let (bytes, start, mut depth) = (self.bytes(), self.at, 0_usize);
        loop {
            self.at = structure_from(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => self.leap_string()?,
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(_) => {
                    depth -= 1;
                    self.at += 1;
                    if depth == 0 {
                        return Ok(&self.text[start..self.at]);
                    }
                }
                None => return self.fail("a list or an object without its end"),
            }
        }
    }

    fn leap_string(&mut self) -> Result<(), Malformed> {
        let bytes = self.bytes();
        self.at += 1;
        loop {
            self.at = plain_until(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return self.fail("a string without its end"),
            }
        }
    }

    fn scalar(&mut self, next: u8) -> Result<(), Malformed> {
        match next {
            b'"' => self.string().map(|_| ()),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Malformed> {
        if self.is_word(word) { Ok(()) } else { self.fail("a value was expected") }
    }

    /// What stands between the quotes, escapes checked but not read.
    fn string(&mut self) -> Result<&'a str, Malformed> {
        self.at += 1;
        let start = self.at;
        let bytes = self.bytes();
        loop {
            self.at = plain_until(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at - 1]);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.fail("a control character inside a string"),
                None => return self.fail("a string without its end"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        let bytes = self.bytes();
        match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u')
                if bytes.len() >= self.at + 6 && bytes[self.at + 2..self.at + 6].iter().all(u8::is_ascii_hexdigit) =>
            {
                self.at += 6;
                Ok(())
            }
            _ => self.fail("an escape that JSON does not have"),
        }
    }

    fn number(&mut self) -> Result<(), Malformed> {
        let bytes = self.bytes();
        let digits = |mut at: usize| {
            let start = at;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            (at, at > start)
        };
        let start = self.at + usize::from(bytes.get(self.at) == Some(&b'-'));
        let (mut at, any) = digits(start);
        if !any || (bytes[start] == b'0' && at > start + 1) {
            return self.fail("a value was expected");
        }
        if bytes.get(at) == Some(&b'.') {
            let (end, any) = digits(at + 1);
            if !any {
                return self.fail("a number without digits after its point");
            }
            at = end;
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let (end, any) = digits(at + 1 + sign);
            if !any {
                return self.fail("a number without digits in its exponent");
            }
            at = end;
        }
        self.at = at;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
