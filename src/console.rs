//! The two places where words go: stdout for data, stderr for people.
//!
//! A reader that has had enough (`| head`) is no error: what it did not want is
//! not written, and the exit code stays that of the work. The `print` macros
//! would panic there.

use std::io::Write;

/// Data, to stdout.
pub(crate) fn data(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
}

/// Words for people, to stderr; ends the line.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
