//! The two places where words go: stdout for data, stderr for people.
//!
//! A reader that has had enough (`| head`) is no error: what it did not want is
//! not written, and the exit code stays that of the work. The `print` macros
//! would panic there.
//!
//! Names come from outside, and some are made to take a terminal over: whatever
//! is written here moves no cursor and turns no line around, wherever it came from.

use std::borrow::Cow;
use std::io::Write;

/// Data, to stdout.
pub(crate) fn data(text: &str) {
    let _ = std::io::stdout().lock().write_all(harmless(text).as_bytes()).and_then(|()| std::io::stdout().flush());
}

/// Words for people, to stderr; ends the line.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", harmless(text));
}

/// One line of what somebody else said, and not too much of it.
pub(crate) fn plain(text: &str) -> String {
    const LONGEST: usize = 400;
    let mut line: String =
        text.chars().map(|c| if is_harmful(c) || c.is_whitespace() { ' ' } else { c }).take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line.trim().to_string()
}

/// A word as it is typed into a shell: quoted where the shell would read something else.
pub(crate) fn typed(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => Cow::Borrowed(word),
        false => Cow::Owned(format!("'{}'", word.replace('\'', "'\\''"))),
    }
}

/// The text with its lines, and without what a terminal obeys.
fn harmless(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| is_harmful(c) && c != '\n' && c != '\t';
    match text.contains(harmful) {
        true => Cow::Owned(text.chars().map(|c| if harmful(c) { ' ' } else { c }).collect()),
        false => Cow::Borrowed(text),
    }
}

/// Control characters; marks that turn, isolate or override the direction of writing; the line ends of Unicode.
fn is_harmful(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    turns || c.is_control()
}
