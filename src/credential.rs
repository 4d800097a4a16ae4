//! The text of a credential → the value to send, or what is wrong with it and where. Pure.
//!
//! A key that was damaged on its way here gets a 401, which reads like a revoked
//! key. So whatever no key can hold is an error before the first request. A
//! message names the place and the kind of character, never the text around it.

/// What a text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A bearer token (RFC 6750): letters, digits and `-._~+/`, and `=` at its end.
    Key,
    /// The id of a workspace.
    Workspace,
    /// The id of an organization.
    Organization,
    /// The name under which a project's key is configured: its id, or any word.
    Name,
    /// An address, which its own parser checks further.
    Address,
}

/// What is wrong with a text, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: String,
    pub(crate) hint: &'static str,
}

const COPY: &str = "copy it once more from where it was shown, as one word of plain ASCII";

impl Form {
    /// Returns the text without the ASCII whitespace around it, which `echo` and editors add.
    pub(crate) fn clean(self, text: &str) -> Result<&str, Fault> {
        let text = trimmed(text);
        if let Some((index, c)) = text.chars().enumerate().find(|(index, c)| !self.allows(text, *index, *c)) {
            let (kind, hint) = kind(c);
            return Err(Fault { what: format!("character {} of the {} is {kind}", index + 1, self.name()), hint });
        }
        let fault = |what: &str, hint| Err(Fault { what: what.to_string(), hint });
        match self {
            Form::Workspace | Form::Organization if is_key(text) => fault(
                "it holds a key where an id is needed",
                "give it the id; keys go into the variables that end in _KEY or _KEYS",
            ),
            Form::Workspace if text.starts_with("org-") => fault(
                "it holds the id of an organization",
                "give it the workspace's id, a UUID; the organization's id goes into OPENAI_ORGANIZATION_ID",
            ),
            Form::Workspace | Form::Organization if text.starts_with("proj_") => {
                fault("it holds the id of a project", "give it the id that its name asks for")
            }
            _ => Ok(text),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Form::Key => "key",
            Form::Workspace | Form::Organization => "id",
            Form::Name => "name",
            Form::Address => "address",
        }
    }

    fn allows(self, text: &str, index: usize, c: char) -> bool {
        match self {
            Form::Key if c == '=' => text.chars().skip(index).all(|c| c == '='),
            Form::Key => c.is_ascii_alphanumeric() || "-._~+/".contains(c),
            Form::Workspace | Form::Organization => c.is_ascii_alphanumeric() || "-._".contains(c),
            Form::Name => c.is_alphanumeric() || (c.is_ascii_graphic() && !QUOTES.contains(c)),
            Form::Address => c.is_ascii_graphic() && !QUOTES.contains(c),
        }
    }
}

/// Whether a text looks like a key of OpenAI.
pub(crate) fn is_key(text: &str) -> bool {
    trimmed(text).starts_with("sk-")
}

/// The text without ASCII whitespace at its ends. Other blanks are no accident of a shell.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_whitespace())
}

const QUOTES: &str = "\"'`\u{ab}\u{bb}\u{2018}\u{2019}\u{201a}\u{201b}\u{201c}\u{201d}\u{201e}\u{201f}\u{2039}\u{203a}\u{2032}\u{2033}\u{ff02}\u{ff07}";

/// What a character is called, and what to do about it.
fn kind(c: char) -> (String, &'static str) {
    let code = u32::from(c);
    match c {
        '\u{feff}' => (
            format!("a byte order mark (U+{code:04X})"),
            "save the file as UTF-8 without a byte order mark, or copy the value once more",
        ),
        '\n' | '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => (format!("a line break (U+{code:04X})"), COPY),
        _ if QUOTES.contains(c) => (
            format!("a quotation mark (U+{code:04X})"),
            "take the quotes away: `docker --env-file`, systemd and Kubernetes pass them on as part of the value",
        ),
        _ if is_invisible(c) => (format!("an invisible character (U+{code:04X})"), COPY),
        '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => {
            (format!("a dash that is not the hyphen of ASCII (U+{code:04X})"), COPY)
        }
        _ if c.is_whitespace() => (format!("a space (U+{code:04X})"), COPY),
        _ if c.is_control() => (format!("a control character (U+{code:04X})"), COPY),
        '$' | '{' | '}' | '%' | '<' | '>' => {
            (format!("`{c}`"), "give it the value itself: nothing replaces variables or placeholders in it")
        }
        ',' => ("`,`".to_string(), "give this variable one value; only lists have commas"),
        _ if c.is_ascii() => (format!("`{c}`"), COPY),
        _ => (format!("outside ASCII (U+{code:04X})"), COPY),
    }
}

/// Characters that take no place: joiners, direction marks, variation selectors, soft hyphens, tags.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_keys_are_made_of_is_sent_as_it_is() {
        for key in ["sk-admin-Aa0_-", "eyJhbGciOi.eyJzdWIi.c2ln_-", "c2VjcmV0~+/==", "x"] {
            assert_eq!(Form::Key.clean(&format!(" \t{key}\r\n")), Ok(key));
        }
        assert_eq!(Form::Name.clean("M\u{fc}nchen:eu@2"), Ok("M\u{fc}nchen:eu@2"));
        assert!(Form::Key.clean("a=b").is_err() && Form::Organization.clean("sk-x").is_err());
    }

    proptest! {
        /// Whatever stands in a key is sent as it is, or is an error that shows nothing of it but one bad character.
        #[test]
        fn a_key_is_clean_or_refused(text in "[A-Za-z0-9_-]{0,9}\\PC?[A-Za-z0-9_-]{0,9}|.{0,20}", damage in any::<char>(), at in 0_usize..20) {
            let mut damaged: Vec<char> = text.chars().collect();
            damaged.insert(at.min(damaged.len()), damage);
            let damaged: String = damaged.into_iter().collect();
            for form in [Form::Key, Form::Workspace, Form::Organization, Form::Name, Form::Address] {
                match form.clean(&damaged) {
                    Ok(clean) => {
                        prop_assert_eq!(clean, trimmed(&damaged));
                        prop_assert!(!clean.chars().any(|c| c.is_whitespace() || c.is_control() || is_invisible(c)));
                        prop_assert!(form == Form::Name || clean.is_ascii());
                    }
                    Err(fault) => prop_assert!(fault.what.len() < 80 && !fault.hint.is_empty()),
                }
            }
        }
    }
}
