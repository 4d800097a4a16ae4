//! The query string of a request: `name=a`, arrays as `name[]=a&name[]=b` (or the
//! plain name repeated), ranges as `name[gte]=1`.

use super::refusal::Refusal;

/// The parameters in the order in which they came, decoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Query {
        let pairs = text
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect();
        Query { pairs }
    }

    /// The members of a JSON object that was posted.
    pub(super) fn posted(body: &[u8]) -> Result<Query, Refusal> {
        let members: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(body).map_err(|error| Refusal::unprocessable("body", "body", error.to_string()))?;
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        let given = members.into_iter().filter(|(_, value)| !value.is_null());
        Ok(Query { pairs: given.map(|(name, value)| (name, text(value))).collect() })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All values of an array parameter.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.pairs
            .iter()
            .filter(|(given, _)| given == name || given.strip_suffix("[]") == Some(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            let message = format!("Invalid type for '{name}': expected an integer, got '{text}'.");
            Refusal::invalid(name, message)
        })
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.text(name) {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(text) => {
                Err(Refusal::invalid(name, format!("Invalid type for '{name}': expected a boolean, got '{text}'.")))
            }
        }
    }

    /// A value that must be one of a closed list.
    pub(super) fn one_of(&self, name: &str, allowed: &[&str]) -> Result<Option<&str>, Refusal> {
        match self.text(name) {
            Some(text) if !allowed.contains(&text) => Err(Refusal::invalid(
                name,
                format!("Invalid value: '{text}'. Supported values are: {}.", quoted(allowed)),
            )),
            found => Ok(found),
        }
    }

    /// The half-open range `[from, until)` that `name[gte]`, `[gt]`, `[lt]` and `[lte]` describe.
    pub(super) fn range(&self, name: &str) -> Result<(i64, i64), Refusal> {
        let (mut from, mut until) = (i64::MIN, i64::MAX);
        for (operator, lower, shift) in [("gte", true, 0), ("gt", true, 1), ("lt", false, 0), ("lte", false, 1)] {
            if let Some(bound) = self.integer(&format!("{name}[{operator}]"))? {
                let bound = bound.saturating_add(shift);
                if lower {
                    from = from.max(bound);
                } else {
                    until = until.min(bound);
                }
            }
        }
        Ok((from, until))
    }

    /// Refuses a parameter that the documents of the path do not name.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        for (name, _) in &self.pairs {
            let (plain, rest) = name.split_once('[').unwrap_or((name, ""));
            let ranges = ["", "]", "gt]", "gte]", "lt]", "lte]"];
            if !known.contains(&plain) || !ranges.contains(&rest) {
                return Err(Refusal::unknown_parameter(name));
            }
        }
        Ok(())
    }

    /// The query without some parameters, in a form that does not depend on their order.
    pub(super) fn without(&self, left_out: &str) -> String {
        let mut kept: Vec<String> = self
            .pairs
            .iter()
            .filter(|(name, _)| name != left_out)
            .map(|(name, value)| format!("{}={value}", name.trim_end_matches("[]")))
            .collect();
        kept.sort();
        kept.join("&")
    }
}

pub(super) fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    quoted.join(", ")
}

/// Percent-decoding; what is no valid escape stays as it is.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, escaped.map(|hex| u8::from_str_radix(hex, 16))) {
            (b'%', Some(Ok(value))) => {
                decoded.push(value);
                at += 3;
                continue;
            }
            (b'+', _) => decoded.push(b' '),
            _ => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_with_or_without_brackets() {
        let query = Query::parse("group_by%5B%5D=a&group_by=b&group_by[]=c+d");
        assert_eq!(query.all("group_by"), ["a", "b", "c d"]);
    }

    #[test]
    fn ranges_are_half_open() {
        let query = Query::parse("effective_at[gt]=10&effective_at%5Blte%5D=20");
        assert_eq!(query.range("effective_at"), Ok((11, 21)));
        assert_eq!(query.range("other"), Ok((i64::MIN, i64::MAX)));
    }

    #[test]
    fn unknown_parameters_are_named() {
        let known = ["limit", "effective_at"];
        assert!(Query::parse("limit=1&effective_at[gte]=2").only(&known).is_ok());
        assert!(Query::parse("limt=1").only(&known).is_err());
        assert!(Query::parse("limit[most]=1").only(&known).is_err());
    }
}
