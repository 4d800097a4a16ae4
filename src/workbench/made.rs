//! Answers made of bytes: always JSON, mostly with the table's own members, seldom as documented.
//!
//! A mutated text is mostly no JSON, and says little about what becomes of
//! values. Here each byte is a choice, so that whoever changes bytes (libFuzzer,
//! proptest) changes which members come, of which type, and where.

use super::MARKER;
use crate::schema::{From, Table};

/// What may stand at a value's place besides lists and objects.
const SCALARS: [&str; 24] = [
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1700000000",
    "1700000000.25",
    "1e3",
    "1.0",
    "-0.5E-3",
    "9223372036854775808",
    "0.1234567890123456789",
    "170141183460469231731.6873037158841057275",
    "1e400",
    "\"\"",
    "\"a\"",
    "\"12.50\"",
    "\"2026-11-20T10:00:00Z\"",
    "\"2026-11-20\"",
    "\"\\u00e9\\ud83d\\ude00\\n\\\"\"",
    "\"\\ud800\"",
    "\"api_key.created\"",
    "\"client_secret\"",
    "\"[redacted]\"",
];

/// Names that no table has, or that are treated specially.
const NAMES: [&str; 12] = [
    "x",
    "y",
    "",
    "password",
    "Domain_Secrets",
    "client_secret",
    "api_key.created",
    "p\\u0061ssword",
    "a/b~",
    "\\\"",
    "id",
    "_extra",
];

/// The answer that these bytes choose.
pub(super) fn page(table: &Table, bytes: &[u8]) -> String {
    let mut making = Making { table, bytes: bytes.iter(), text: String::new() };
    making.record(0, &mut Vec::new(), false);
    making.text
}

struct Making<'a> {
    table: &'a Table,
    bytes: std::slice::Iter<'a, u8>,
    text: String,
}

impl Making<'_> {
    /// The next choice, below `most`; the first one once the bytes have run out.
    fn choose(&mut self, most: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or(0)) % most.max(1)
    }

    /// An object of some level, or what is at `path` inside it. A record's own list always comes.
    fn record(&mut self, level: usize, path: &mut Vec<String>, secret: bool) {
        let list = self.table.record_rows.get(level).map(|p| p.0.clone());
        let mut known = self.known(level, path);
        let next = list.as_ref().filter(|l| l.starts_with(path)).and_then(|l| l.get(path.len()).cloned());
        known.retain(|name| Some(name) != next.as_ref());
        self.text.push('{');
        let mut names: Vec<String> = Vec::new();
        for _ in 0..self.choose(12) {
            let number = self.choose(256);
            let name = match known.get(number % known.len().max(1)) {
                Some(name) if number < 200 => serde_json::Value::from(name.as_str()).to_string(),
                _ => format!("\"{}\"", NAMES[number % NAMES.len()]),
            };
            // A name that comes twice has no meaning to hold the decoder to.
            if !names.contains(&name) && Some(&name) != next.as_ref().map(|n| format!("\"{n}\"")).as_ref() {
                self.member(&name, names.is_empty());
                let hidden = secret || name.to_ascii_lowercase().contains("secret") || name == "\"password\"";
                let plain = serde_json::from_str::<String>(&name).unwrap_or_default();
                path.push(plain);
                if known.contains(&path[path.len() - 1]) && self.choose(4) > 0 && !self.known(level, path).is_empty() {
                    self.record(level, path, hidden);
                } else {
                    self.value(3, hidden);
                }
                path.pop();
                names.push(name);
            }
        }
        if let Some(next) = next {
            self.member(&format!("\"{next}\""), names.is_empty());
            path.push(next);
            match list.as_ref() == Some(path) {
                true => self.list(level + 1),
                false => self.record(level, path, secret),
            }
            path.pop();
        }
        self.text.push('}');
    }

    fn member(&mut self, quoted: &str, first: bool) {
        self.text.push_str(if first { "" } else { "," });
        self.text.push_str(quoted);
        self.text.push(':');
    }

    fn list(&mut self, level: usize) {
        if self.choose(16) == 15 {
            return self.value(1, false);
        }
        self.text.push('[');
        for index in 0..self.choose(4) {
            self.text.push_str(if index > 0 { ", " } else { "" });
            self.record(level, &mut Vec::new(), false);
        }
        self.text.push(']');
    }

    fn value(&mut self, depth: usize, secret: bool) {
        match self.choose(if depth > 0 { 32 } else { 24 }) {
            _ if secret && self.choose(2) == 0 => self.text.push_str(&format!("\"{MARKER}\"")),
            scalar if scalar < SCALARS.len() => self.text.push_str(SCALARS[scalar]),
            number if number % 2 == 0 => {
                self.text.push_str("[ ");
                for index in 0..self.choose(3) {
                    self.text.push_str(if index > 0 { " ,\n" } else { "" });
                    self.value(depth - 1, secret);
                }
                self.text.push(']');
            }
            _ => {
                self.text.push('{');
                let from = self.choose(NAMES.len());
                for index in 0..self.choose(3) {
                    let name = NAMES[(from + index) % NAMES.len()];
                    self.member(&format!("\"{name}\""), index == 0);
                    let hidden = secret || name.contains("ecret") || name.contains("ssword");
                    self.value(depth - 1, hidden);
                }
                self.text.push('}');
            }
        }
    }

    /// The names that the table knows below a path of one level.
    fn known(&self, level: usize, path: &[String]) -> Vec<String> {
        let up = self.table.record_rows.len() - level;
        let columns = self.table.columns.iter().filter_map(|c| match &c.from {
            From::Record(pointers) => Some(pointers),
            _ => None,
        });
        let pointers = columns.flatten().chain(&self.table.ignore).filter(|(u, _)| *u == up);
        let mut names: Vec<String> =
            pointers.filter(|(_, p)| p.0.starts_with(path)).filter_map(|(_, p)| p.0.get(path.len()).cloned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
