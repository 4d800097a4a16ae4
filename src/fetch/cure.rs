//! What to do when the API says no: one sentence for each surface and kind of refusal.

use crate::error::Kind;
use crate::schema::Surface;

/// The variable that holds a surface's key.
pub(super) fn variable(surface: Surface) -> &'static str {
    match surface {
        Surface::Admin => "OPENAI_ADMIN_KEY",
        Surface::Project => "OPENAI_PROJECT_KEYS",
        Surface::Codex => "CODEX_ANALYTICS_KEY",
        Surface::Compliance => "CHATGPT_COMPLIANCE_KEY",
    }
}

pub(crate) fn cure(surface: Surface, kind: Kind) -> &'static str {
    match (kind, surface) {
        (Kind::WrongKey, Surface::Admin) => {
            "OPENAI_ADMIN_KEY must be an Admin key of this organization (platform.openai.com, Settings, Admin keys), not a project key"
        }
        (Kind::WrongKey, Surface::Project) => {
            "check the keys of OPENAI_PROJECT_KEYS: one may be revoked, or belong to another project"
        }
        (Kind::WrongKey, Surface::Codex) => {
            "CODEX_ANALYTICS_KEY must be a workspace Admin key with the scope codex.enterprise.analytics.read"
        }
        (Kind::WrongKey, Surface::Compliance) => {
            "CHATGPT_COMPLIANCE_KEY must be a key with compliance scopes of this workspace (admin.openai.com, Credentials)"
        }
        (Kind::Forbidden, Surface::Admin) => {
            "give the Admin key the permission that the message names (read is enough), or check the organization's IP allow-list; --exclude leaves the table out"
        }
        (Kind::Forbidden, Surface::Project) => {
            "give the project key read permission for this resource; --exclude leaves the table out"
        }
        (Kind::Forbidden, Surface::Codex) => {
            "the key lacks its scope, or does not belong to that workspace; an owner sets scopes in the Admin Console"
        }
        (Kind::Forbidden, Surface::Compliance) => {
            "the key lacks the compliance scope, or the Compliance API's IP allow-list refuses this machine"
        }
        (Kind::NotThere, Surface::Codex | Surface::Compliance) => {
            "check CHATGPT_WORKSPACE_IDS, and that the workspace has this product; --exclude leaves the table out"
        }
        (Kind::NotThere, _) => {
            "the organization does not have this feature, or the base URL is wrong; --exclude leaves the table out"
        }
        (Kind::Retired, _) => "OpenAI has retired this endpoint; --exclude leaves the table out",
        (Kind::Refused, _) => {
            "the API asks not to repeat this request: the next run asks again; if it stays so, report it to OpenAI's support, or leave the table out by --exclude"
        }
        (Kind::Unavailable, _) => "run again later: what was committed stays, and the next run goes on from there",
        _ => "the API refused the request; if it stays, report it with this message",
    }
}
