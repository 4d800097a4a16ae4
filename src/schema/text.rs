//! The small texts inside a table file: JSON Pointers, path templates, durations, globs.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A JSON Pointer (RFC 6901), split and unescaped. Empty = the whole value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pointer(pub(crate) Vec<String>);

impl Pointer {
    pub(crate) fn parse(text: &str) -> Result<Pointer, String> {
        if text.is_empty() {
            return Ok(Pointer(Vec::new()));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("a JSON Pointer begins with `/`: `/{text}`?"));
        };
        Ok(Pointer(rest.split('/').map(|s| s.replace("~1", "/").replace("~0", "~")).collect()))
    }

    /// A pointer with leading `../`: how far out, and where from there.
    pub(crate) fn parse_relative(text: &str) -> Result<(usize, Pointer), String> {
        let mut up = 0;
        let mut rest = text;
        while let Some(outer) = rest.strip_prefix("../") {
            up += 1;
            rest = outer;
        }
        if up == 0 {
            return Pointer::parse(text).map(|p| (0, p));
        }
        Pointer::parse(&format!("/{rest}")).map(|p| (up, p))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|s| write!(f, "/{}", s.replace('~', "~0").replace('/', "~1")))
    }
}

/// A path with `{table.column}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Bound(String),
}

/// What may stand unescaped in one segment of a path. `.` is safe because a
/// value that is only dots is refused before it gets here.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        if !text.starts_with('/') {
            return Err("a path begins with `/`".to_string());
        }
        if text.split('/').any(|segment| matches!(segment, "." | "..") || segment.contains(['?', '#', '\\'])) {
            return Err("a path goes downwards, segment by segment, and has no query".to_string());
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let Some(close) = rest[open..].find('}') else {
                return Err("a `{` without its `}`".to_string());
            };
            pieces.push(Piece::Text(rest[..open].to_string()));
            pieces.push(Piece::Bound(rest[open + 1..open + close].to_string()));
            rest = &rest[open + close + 1..];
        }
        pieces.push(Piece::Text(rest.to_string()));
        Ok(Template { pieces, text: text.to_string() })
    }

    /// The names in braces, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|p| match p {
            Piece::Bound(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The path with every name replaced by its percent-encoded value.
    ///
    /// An empty value, or one of dots alone, would name another resource than
    /// the one that is meant, so it is an error.
    pub(crate) fn fill<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
        let mut path = String::with_capacity(self.text.len() + 32);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Bound(name) => {
                    let value = value(name).ok_or_else(|| format!("`{name}` has no value"))?;
                    if value.is_empty() || value.bytes().all(|b| b == b'.') {
                        return Err(format!("`{name}` is {value:?}, which cannot stand in a path"));
                    }
                    path.extend(utf8_percent_encode(value, SEGMENT));
                }
            }
        }
        Ok(path)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A century. What is longer is a mistake, and would lead out of the calendar.
const LONGEST: i64 = 36_525 * 86_400;

/// `90d`, `12h`, `15m`, `30s` in seconds.
pub(crate) fn duration_seconds(text: &str) -> Result<i64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(format!("`{text}` is not a duration such as `3d`, `12h`, `15m` or `30s`")),
    };
    let number: i64 = digits.parse().map_err(|_| format!("`{text}` is not a duration"))?;
    let seconds = number.checked_mul(unit).filter(|seconds| *seconds <= LONGEST);
    seconds.ok_or_else(|| format!("`{text}` is too long: a century is the longest time"))
}

/// Whether `name` fits `pattern`, in which `*` stands for any run of characters.
pub(crate) fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name
            .strip_prefix(head)
            .is_some_and(|rest| (0..=rest.len()).any(|i| rest.is_char_boundary(i) && glob(tail, &rest[i..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers() {
        assert_eq!(Pointer::parse("/a~1b/m~0n").unwrap().0, ["a/b", "m~n"]);
        assert_eq!(Pointer::parse_relative("../start_time").unwrap(), (1, Pointer(vec!["start_time".into()])));
        assert!(Pointer::parse("a").is_err());
    }

    #[test]
    fn path_values_are_encoded() {
        let path = Template::parse("/a/{t.id}/b").unwrap();
        let fill = |v: &'static str| path.fill(move |_| Some(v));
        assert_eq!(fill("ft:gpt-4o/x y").unwrap(), "/a/ft%3Agpt-4o%2Fx%20y/b");
        assert!(fill("..").is_err());
        assert!(fill("").is_err());
    }

    #[test]
    fn durations() {
        assert_eq!(duration_seconds("31d"), Ok(2_678_400));
        assert_eq!(duration_seconds("1h"), Ok(3_600));
        assert!(duration_seconds("3 days").is_err());
        assert!(duration_seconds("d").is_err());
        assert!(duration_seconds("36526d").is_err());
        assert!(duration_seconds("9223372036854775807s").is_err());
    }

    #[test]
    fn globs() {
        assert!(glob("usage_*", "usage_completions"));
        assert!(glob("*_keys", "project_api_keys"));
        assert!(!glob("costs", "costs2"));
    }
}
