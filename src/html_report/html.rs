//! Text that becomes HTML. Markup comes from literals of this program, everything else is escaped.
//!
//! [`Html::raw`] takes `&'static str`, so no name out of the lake can pass through it,
//! not even by mistake; a template language would leave that to care.

use std::fmt::{Display, Write as _};

#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of this program.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Html {
        self.0.push_str(markup);
        self
    }

    /// Text between tags or in a quoted attribute.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Html {
        // Writing into a String cannot fail.
        let _ = write!(Escape(&mut self.0), "{text}");
        self
    }

    /// A name from the source: its writing direction stays its own.
    pub(super) fn name(&mut self, name: &str) -> &mut Html {
        self.raw("<bdi>").text(name).raw("</bdi>")
    }

    /// ` name="value"`
    pub(super) fn attribute(&mut self, name: &'static str, value: impl Display) -> &mut Html {
        self.raw(" ").raw(name).raw("=\"").text(value).raw("\"")
    }

    /// What is shown, with the very value for machines beside it.
    pub(super) fn data(&mut self, value: impl Display, shown: impl Display) -> &mut Html {
        self.raw("<data").attribute("value", value).raw(">").text(shown).raw("</data>")
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

struct Escape<'s>(&'s mut String);

impl std::fmt::Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // A control character has no place in a page; HTML forbids most of them.
                c if c.is_control() => self.0.push(' '),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str) -> String {
        let mut html = Html::default();
        html.text(text);
        html.finish()
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escaped("<b onclick='x'>\"&\u{0}"), "&lt;b onclick=&#39;x&#39;&gt;&quot;&amp; ");
    }

    proptest! {
        #[test]
        fn nothing_that_opens_a_tag_or_ends_an_attribute_passes(text in ".*") {
            prop_assert!(!escaped(&text).contains(['<', '>', '"', '\'']));
        }
    }
}
