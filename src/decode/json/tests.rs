//! The grammar held against `serde_json`, on cases, on generated and on mutilated texts.

use super::*;
use proptest::prelude::*;

fn valid(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.skip().and_then(|()| scanner.end()).is_ok()
}

#[test]
fn grammar() {
    for good in ["0", "-0.5e+10", "\"a\\u00e9\\n\"", "[]", "[1, {\"a\": []}]", " {} ", "true", "1E5"] {
        assert!(valid(good), "{good}");
    }
    for bad in [
        "",
        "01",
        "1.",
        ".5",
        "+1",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "\"\t\"",
        "\"\\x\"",
        "nul",
        "[1 2]",
        "{} {}",
        "-",
        "1e",
    ] {
        assert!(!valid(bad), "{bad}");
    }
}

#[test]
fn depth_is_limited() {
    let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert!(valid(&deep(MAX_DEPTH)));
    assert!(!valid(&deep(MAX_DEPTH + 1)));
    assert!(!valid(&"[".repeat(1_000_000)));
}

#[test]
fn escapes() {
    assert_eq!(unescape("a\\u00e9\\ud83d\\ude00\\/").as_deref(), Some("aé😀/"));
    assert_eq!(unescape("\\ud83d").as_deref(), Some("\u{fffd}"));
    assert_eq!(unescape("\\ud83d\\u0041").as_deref(), Some("\u{fffd}A"));
}

#[test]
fn pointers() {
    let text = r#"{"a":{"b.c":[1,{"d":"x"}]},"n":null}"#;
    let at = |p: &[&str]| pointer(text, &p.iter().map(|s| s.to_string()).collect::<Vec<_>>()).unwrap();
    assert_eq!(at(&["a", "b.c", "1", "d"]), Some("\"x\""));
    assert_eq!(at(&["n"]), Some("null"));
    assert_eq!(at(&["a", "z"]), None);
}

/// Texts that are JSON, or nearly.
fn nearly_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_string()),
        Just("true".to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(|f| format!("{f:e}")),
        ".*".prop_map(|s| serde_json::to_string(&s).unwrap()),
        r#"[\[\]{}",:0-9eE.\\ntu -]{0,6}"#.prop_map(|s| s),
    ];
    leaf.prop_recursive(5, 64, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|v| format!("[{}]", v.join(" , "))),
            prop::collection::vec(("[a-z\"\\\\]{0,4}", inner), 0..5).prop_map(|v| {
                let members: Vec<_> =
                    v.iter().map(|(k, v)| format!("{}:{v}", serde_json::to_string(k).unwrap())).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_serde_json(text in nearly_json()) {
        prop_assert_eq!(valid(&text), serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok());
    }

    #[test]
    fn strings_agree_with_serde_json(text in ".*") {
        let encoded = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(unescape(inner(&encoded)).unwrap(), text);
    }

    #[test]
    fn any_text_ends_without_panic(text in ".*") {
        let _ = valid(&text);
        let _ = unescape(&text);
    }
}
