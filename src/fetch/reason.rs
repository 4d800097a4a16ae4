//! The reason that the API gives for a refusal → whom it concerns, and what to do about it. Pure.
//!
//! The status alone says little: a 401 can mean a wrong key, a closed account or
//! an address that no allow-list has. The code in the body says which. What is
//! not in [`REASONS`] is shown as it came, with a hint that claims nothing.

use super::cure::{cure, variable};
use crate::decode::json;
use crate::error::Kind;
use crate::schema::Surface;

/// Whom a refusal concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Every request of the key: none of the others needs to be sent.
    Key,
    /// Every request of a project's key; with another key, one request about that project.
    Project,
    /// This request alone.
    Request,
}

struct Reason {
    codes: &'static [&'static str],
    kind: Kind,
    reach: Reach,
    /// `{key}` is the variable that holds the key, `{billing}` the page of the surface. `None`: the hint of the kind.
    hint: Option<&'static str>,
}

const REASONS: &[Reason] = &[
    Reason {
        codes: &["insufficient_quota", "quota_exceeded", "insufficient_credits", "credits_exhausted", "out_of_credits"],
        kind: Kind::Refused,
        reach: Reach::Key,
        hint: Some(
            "the quota is used up and does not come back by itself: buy credits or raise the limit ({billing}), then run again",
        ),
    },
    Reason {
        codes: &["billing_not_active", "billing_inactive", "payment_required", "billing_error", "account_past_due"],
        kind: Kind::Refused,
        reach: Reach::Key,
        hint: Some("activate billing, or settle what is due ({billing}), then run again"),
    },
    Reason {
        codes: &[
            "billing_hard_limit_reached",
            "hard_limit_reached",
            "budget_exceeded",
            "project_budget_exceeded",
            "organization_budget_exceeded",
            "spend_limit_reached",
            "spend_limit_exceeded",
            "usage_limit_reached",
        ],
        kind: Kind::Refused,
        reach: Reach::Key,
        hint: Some("the spending limit is reached: raise it ({billing}) or wait for the next month, then run again"),
    },
    Reason { codes: &["invalid_api_key", "incorrect_api_key"], kind: Kind::WrongKey, reach: Reach::Key, hint: None },
    Reason {
        codes: &["api_key_expired", "expired_api_key", "key_expired", "token_expired", "expired_token"],
        kind: Kind::WrongKey,
        reach: Reach::Key,
        hint: Some("the key has expired: make a new one and put it into {key}"),
    },
    Reason {
        codes: &[
            "api_key_revoked",
            "revoked_api_key",
            "token_revoked",
            "token_invalidated",
            "api_key_disabled",
            "key_disabled",
        ],
        kind: Kind::WrongKey,
        reach: Reach::Key,
        hint: Some("the key was revoked or disabled: make a new one and put it into {key}"),
    },
    Reason {
        codes: &["account_deactivated", "user_deactivated", "account_suspended", "account_disabled", "user_suspended"],
        kind: Kind::WrongKey,
        reach: Reach::Key,
        hint: Some(
            "the account that owns the key is deactivated: reactivate it, or make a key with an active account and put it into {key}",
        ),
    },
    Reason {
        codes: &[
            "organization_deactivated",
            "organization_suspended",
            "organization_disabled",
            "deactivated_organization",
        ],
        kind: Kind::Forbidden,
        reach: Reach::Key,
        hint: Some(
            "the organization is deactivated: its owner or OpenAI's support reactivates it; no key of it can read until then",
        ),
    },
    Reason {
        codes: &["deactivated_workspace", "workspace_deactivated", "workspace_suspended"],
        kind: Kind::Forbidden,
        reach: Reach::Request,
        hint: Some(
            "the workspace is deactivated: its owner or OpenAI's support reactivates it, or take it out of CHATGPT_WORKSPACE_IDS",
        ),
    },
    Reason {
        codes: &["access_terminated"],
        kind: Kind::Forbidden,
        reach: Reach::Key,
        hint: Some("OpenAI has ended this access: ask OpenAI's support why (help.openai.com)"),
    },
    Reason {
        codes: &[
            "ip_not_authorized",
            "ip_not_allowed",
            "ip_address_not_allowed",
            "ip_restricted",
            "ip_allowlist_violation",
        ],
        kind: Kind::Forbidden,
        reach: Reach::Key,
        hint: Some(
            "this machine's address is not on the IP allow-list: add it there ({allow_list}), or run from an address that is on it",
        ),
    },
    Reason {
        codes: &["unsupported_country_region_territory", "unsupported_country"],
        kind: Kind::Forbidden,
        reach: Reach::Key,
        hint: Some(
            "the API is not offered in the country, region or territory of this machine's address: run from one where it is",
        ),
    },
    Reason {
        codes: &[
            "mismatched_organization",
            "invalid_organization",
            "no_such_organization",
            "organization_not_found",
            "not_in_organization",
        ],
        kind: Kind::WrongKey,
        reach: Reach::Key,
        hint: Some(
            "the key and the organization do not go together: make a key in the organization that is to be read, and put it into {key}",
        ),
    },
    Reason {
        codes: &[
            "mismatched_project",
            "invalid_project",
            "project_archived",
            "archived_project",
            "project_deactivated",
            "project_not_found",
        ],
        kind: Kind::Forbidden,
        reach: Reach::Project,
        hint: Some(
            "the project is archived, gone, or not the key's: take its key out of {key}, or put a key of an active project there",
        ),
    },
    Reason {
        codes: &[
            "missing_scope",
            "missing_scopes",
            "insufficient_scope",
            "insufficient_permissions",
            "missing_permission",
            "permission_denied",
        ],
        kind: Kind::Forbidden,
        reach: Reach::Request,
        hint: None,
    },
];

/// What a refusal comes to.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) kind: Kind,
    /// The other requests of the key would meet the same refusal.
    pub(super) of_key: bool,
    pub(super) hint: String,
}

/// What the body of a refusal says: its codes, the first of them for people, and its message.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) code: String,
    more: Vec<String>,
    pub(super) message: Option<String>,
}

impl Said {
    /// Reads `error`, `detail` and the top level: different services of the API put the same thing there.
    pub(super) fn read(body: &str) -> Said {
        let text = |path: &[&str]| {
            let path: Vec<String> = path.iter().map(|p| p.to_string()).collect();
            let value = json::pointer(body, &path).ok().flatten()?;
            (json::Kind::of(value) == json::Kind::String)
                .then(|| json::unescape(json::inner(value)))?
                .map(|t| t.into_owned())
        };
        let places: [&[&str]; 7] = [
            &["error", "code"],
            &["error", "type"],
            &["detail", "code"],
            &["detail", "type"],
            &["code"],
            &["error"],
            &["detail"],
        ];
        // A sentence is no code.
        let codes = places.iter().filter_map(|place| text(place)).filter(|code| is_code(code));
        let codes: Vec<String> = codes.map(|code| code.to_ascii_lowercase()).collect();
        let messages: [&[&str]; 5] =
            [&["error", "message"], &["detail", "message"], &["message"], &["detail"], &["error"]];
        Said {
            code: text(&["error", "code"]).or_else(|| codes.first().cloned()).unwrap_or_default(),
            message: messages.iter().find_map(|place| text(place)),
            more: codes,
        }
    }

    /// The code as it is shown; generic classes of errors say nothing.
    pub(super) fn shown(&self) -> Option<&str> {
        self.more.iter().map(String::as_str).find(|code| !code.ends_with("_error"))
    }

    fn reason(&self, status: u16) -> Option<&'static Reason> {
        let named = |code: &str| REASONS.iter().find(|reason| reason.codes.contains(&code));
        if let Some(reason) = self.more.iter().find_map(|code| named(code)) {
            return Some(reason);
        }
        let says = |words: &str| self.message.as_ref().is_some_and(|m| m.to_ascii_lowercase().contains(words));
        match status {
            402 => named("payment_required"),
            // Keys of restricted permissions have got a 401 without a code for this.
            401 | 403 if says("missing scope") => named("missing_scope"),
            _ => None,
        }
    }
}

fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// What a refusal comes to. `by_status` is the kind that its status alone means.
pub(super) fn verdict(surface: Surface, status: u16, said: &Said, by_status: Kind) -> Verdict {
    // A code cannot make a 404 or a gateway's 5xx something else, but no quota is no quota whatever the status.
    let known =
        said.reason(status).filter(|reason| matches!(status, 400..=403 | 429 | 451) || reason.kind == Kind::Refused);
    let Some(reason) = known else {
        return Verdict {
            kind: by_status,
            of_key: by_status == Kind::WrongKey,
            hint: unknown(surface, by_status, said),
        };
    };
    let of_key = match reason.reach {
        Reach::Key => true,
        Reach::Project => surface == Surface::Project,
        Reach::Request => false,
    };
    let hint = match reason.hint {
        Some(hint) => filled(surface, hint),
        None => cure(surface, reason.kind).to_string(),
    };
    Verdict { kind: reason.kind, of_key, hint }
}

fn unknown(surface: Surface, by_status: Kind, said: &Said) -> String {
    match (by_status, said.shown()) {
        (Kind::WrongKey | Kind::Forbidden, Some(_)) => {
            format!(
                "the API's reason is in its message; if it is about the key, put another one into {}",
                variable(surface)
            )
        }
        _ => cure(surface, by_status).to_string(),
    }
}

fn filled(surface: Surface, hint: &str) -> String {
    let (billing, allow_list) = match surface {
        Surface::Admin | Surface::Project => {
            ("platform.openai.com, Settings, Billing and Limits", "platform.openai.com, Settings, Security")
        }
        Surface::Codex | Surface::Compliance => {
            ("chatgpt.com/admin, Billing", "the workspace's or the Compliance API's, in the Admin Console")
        }
    };
    hint.replace("{key}", variable(surface)).replace("{billing}", billing).replace("{allow_list}", allow_list)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SURFACES: [Surface; 4] = [Surface::Admin, Surface::Project, Surface::Codex, Surface::Compliance];

    #[test]
    fn no_code_is_in_two_reasons_and_every_hint_is_filled() {
        let codes: Vec<&str> = REASONS.iter().flat_map(|reason| reason.codes).copied().collect();
        let mut once = codes.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), codes.len());
        for (surface, code) in SURFACES.into_iter().flat_map(|s| codes.iter().map(move |code| (s, code))) {
            assert!(is_code(code) && *code == code.to_ascii_lowercase());
            let said = Said::read(&format!("{{\"error\":{{\"code\":\"{code}\"}}}}"));
            let verdict = verdict(surface, 401, &said, Kind::WrongKey);
            assert!(!verdict.hint.contains(['{', '}']) && !verdict.hint.is_empty(), "{}", verdict.hint);
        }
    }

    #[test]
    fn cases() {
        let ask = |surface, status, body: &str, kind| {
            let verdict = verdict(surface, status, &Said::read(body), kind);
            (verdict.kind, verdict.of_key)
        };
        let code = |code: &str| format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"no\"}}}}");
        let (admin, project) = (Surface::Admin, Surface::Project);
        for (surface, status, body, by_status, expected) in [
            (admin, 429, code("insufficient_quota"), Kind::Unavailable, (Kind::Refused, true)),
            (admin, 429, code("rate_limit_exceeded"), Kind::Unavailable, (Kind::Unavailable, false)),
            (
                admin,
                429,
                r#"{"error":{"code":null,"type":"insufficient_quota"}}"#.into(),
                Kind::Unavailable,
                (Kind::Refused, true),
            ),
            (admin, 402, "{}".into(), Kind::Contract, (Kind::Refused, true)),
            (admin, 500, code("billing_not_active"), Kind::Unavailable, (Kind::Refused, true)),
            // A gateway's 5xx with some word of permissions passes.
            (admin, 503, code("permission_denied"), Kind::Unavailable, (Kind::Unavailable, false)),
            (admin, 401, code("ip_not_authorized"), Kind::WrongKey, (Kind::Forbidden, true)),
            (admin, 401, code("missing_scope"), Kind::WrongKey, (Kind::Forbidden, false)),
            (
                admin,
                401,
                r#"{"error":{"message":"Missing scopes: api.x"}}"#.into(),
                Kind::WrongKey,
                (Kind::Forbidden, false),
            ),
            (admin, 401, String::new(), Kind::WrongKey, (Kind::WrongKey, true)),
            (admin, 403, String::new(), Kind::Forbidden, (Kind::Forbidden, false)),
            (admin, 400, code("project_archived"), Kind::Contract, (Kind::Forbidden, false)),
            (project, 401, code("project_archived"), Kind::WrongKey, (Kind::Forbidden, true)),
            (admin, 404, code("not_found"), Kind::NotThere, (Kind::NotThere, false)),
            (admin, 404, code("project_not_found"), Kind::NotThere, (Kind::NotThere, false)),
        ] {
            assert_eq!(ask(surface, status, &body, by_status), expected, "{status} {body}");
        }
    }
}
