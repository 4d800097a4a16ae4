//! Looking for one value in a text that nobody walks: a refusal's message, a page's records.

use super::{Malformed, Scanner, unescape};
use crate::schema::Pointer;

/// The texts of a list's records; a list that is not there has none.
pub(crate) fn records<'a>(value: &'a str, list: Option<&Pointer>) -> Result<Vec<&'a str>, Malformed> {
    let Some(list) = pointer(value, list.map_or(&[], |p| p.0.as_slice()))? else { return Ok(Vec::new()) };
    let (mut scanner, mut first, mut records) = (Scanner::new(list), true, Vec::new());
    if scanner.enter(b'[')? {
        while scanner.element(&mut first)? {
            records.push(scanner.value()?);
        }
    }
    Ok(records)
}

/// The value at a pointer inside a value; none when it is not there.
pub(crate) fn pointer<'a>(value: &'a str, segments: &[String]) -> Result<Option<&'a str>, Malformed> {
    let Some((name, rest)) = segments.split_first() else { return Ok(Some(value)) };
    let mut scanner = Scanner::new(value);
    let mut first = true;
    if scanner.enter(b'{')? {
        while let Some(member) = scanner.member(&mut first)? {
            let found = scanner.value()?;
            if unescape(member).is_some_and(|m| m == name.as_str()) {
                return pointer(found, rest);
            }
        }
    } else if let (true, Ok(wanted)) = (scanner.enter(b'[')?, name.parse::<usize>()) {
        let mut index = 0;
        while scanner.element(&mut first)? {
            let found = scanner.value()?;
            if index == wanted {
                return pointer(found, rest);
            }
            index += 1;
        }
    }
    Ok(None)
}
