//! The events of the audit log that somebody should know of: by kind, and the newest one by one. Pure.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use chrono::{DateTime, Utc};

use crate::error::Result;
use crate::html_report::columns::{text, texts, time, times};
use crate::html_report::period::Period;

/// Columns of `audit_logs`, in the order in which [`Audit::add`] takes them.
pub(in crate::html_report) const COLUMNS: [&str; 9] = [
    "effective_at",
    "type",
    "actor_session_user_email",
    "actor_api_key_user_email",
    "actor_api_key_service_account_id",
    "actor_api_key_id",
    "project_name",
    "actor_session_ip_address",
    "id",
];

/// How many of the newest events are told one by one.
const NEWEST: usize = 20;

/// What an event is about, most alarming first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::html_report) enum Group {
    FailedSignIns,
    Keys,
    Roles,
    People,
    ServiceAccounts,
    SignInRules,
    Removals,
    Limits,
}

impl Group {
    pub(in crate::html_report) fn title(self) -> &'static str {
        match self {
            Group::FailedSignIns => "Failed sign-ins",
            Group::Keys => "API keys and tokens",
            Group::Roles => "Roles and groups",
            Group::People => "People and invitations",
            Group::ServiceAccounts => "Service accounts",
            Group::SignInRules => "Sign-in, network and certificates",
            Group::Removals => "Projects and resources removed",
            Group::Limits => "Limits, billing and settings",
        }
    }

    /// The group of an event type; none for everyday events. New types appear without
    /// notice, so parts of the name decide; `tenant.` says where it happened, not what.
    pub(in crate::html_report) fn of(kind: &str) -> Option<Group> {
        let name = kind.strip_prefix("tenant.").unwrap_or(kind);
        let (subject, verb) = name.rsplit_once('.').unwrap_or((name, ""));
        let about = |words: &[&str]| words.iter().any(|word| subject.contains(word));
        let group = match verb {
            "succeeded" | "resolved" | "looked_up" => return None,
            "failed" if about(&["login", "logout"]) => Group::FailedSignIns,
            _ if about(&["api_key", "access_token", "service_account.token"]) => Group::Keys,
            _ if about(&["workload_identity", "ip_allowlist", "certificate", "scim", "sso", "policy", "session"]) => {
                Group::SignInRules
            }
            _ if about(&["tunnel", "external_key", "domains"]) => Group::SignInRules,
            _ if about(&["service_account"]) => Group::ServiceAccounts,
            _ if about(&["rate_limit", "usage_limit", "billing", "organization"]) && !about(&["invite"]) => {
                Group::Limits
            }
            "updated" if subject == "user" => Group::Roles,
            _ if about(&["role", "group", "resource_access", "share_grant", "permission"]) => Group::Roles,
            _ if about(&["user", "invite", "membership"]) => Group::People,
            "deleted" | "archived" if about(&["project", "resource"]) => Group::Removals,
            _ => return None,
        };
        Some(group)
    }
}

/// One event. Ordered by time; the id makes the order the same at every run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::html_report) struct Event {
    pub(in crate::html_report) at: DateTime<Utc>,
    pub(in crate::html_report) id: String,
    pub(in crate::html_report) kind: String,
    pub(in crate::html_report) actor: String,
    pub(in crate::html_report) project: String,
    pub(in crate::html_report) address: String,
}

#[derive(Debug, Default)]
pub(in crate::html_report) struct Audit {
    pub(in crate::html_report) groups: BTreeMap<Group, BTreeMap<String, u64>>,
    pub(in crate::html_report) events: u64,
    /// Oldest first, at most [`NEWEST`].
    pub(in crate::html_report) newest: std::collections::BTreeSet<Event>,
}

impl Audit {
    pub(in crate::html_report) fn add(&mut self, batch: &RecordBatch, period: Period) -> Result<()> {
        let moments = times(batch, 0);
        let kinds = texts(batch, 1);
        for row in 0..batch.num_rows() {
            let Some(at) = time(moments, row).filter(|at| period.contains(at.date_naive())) else { continue };
            self.events += 1;
            let kind = text(kinds, row);
            let Some(group) = Group::of(kind) else { continue };
            *self.groups.entry(group).or_default().entry(kind.to_string()).or_default() += 1;
            self.keep(at, batch, row);
        }
        Ok(())
    }

    fn keep(&mut self, at: DateTime<Utc>, batch: &RecordBatch, row: usize) {
        if self.newest.len() == NEWEST && self.newest.first().is_some_and(|oldest| oldest.at > at) {
            return;
        }
        let value = |column| text(texts(batch, column), row).to_string();
        let actors = [value(2), value(3), value(4), value(5)];
        self.newest.insert(Event {
            at,
            id: value(8),
            kind: value(1),
            actor: actors.into_iter().find(|name| !name.is_empty()).unwrap_or_default(),
            project: value(6),
            address: value(7),
        });
        if self.newest.len() > NEWEST {
            self.newest.pop_first();
        }
    }

    pub(in crate::html_report) fn count(&self, group: Group) -> u64 {
        self.groups.get(&group).map(|kinds| kinds.values().sum()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_sorted_by_what_they_are_about() {
        for (kind, group) in [
            ("login.failed", Some(Group::FailedSignIns)),
            ("login.succeeded", None),
            ("api_key.created", Some(Group::Keys)),
            ("tenant.admin_api_key.deleted", Some(Group::Keys)),
            ("tenant.service_account.token.revoked", Some(Group::Keys)),
            ("tenant.chatgpt_access_token.revoked", Some(Group::Keys)),
            ("role.assignment.created", Some(Group::Roles)),
            ("user.updated", Some(Group::Roles)),
            ("tenant.group.member.added", Some(Group::Roles)),
            ("user.deleted", Some(Group::People)),
            ("tenant.api_organization_invite.upserted", Some(Group::People)),
            ("service_account.created", Some(Group::ServiceAccounts)),
            ("ip_allowlist.config.deactivated", Some(Group::SignInRules)),
            ("scim.disabled", Some(Group::SignInRules)),
            ("workload_identity_provider.created", Some(Group::SignInRules)),
            ("project.archived", Some(Group::Removals)),
            ("project.created", None),
            ("rate_limit.updated", Some(Group::Limits)),
            ("organization.updated", Some(Group::Limits)),
            ("", None),
            ("something.new", None),
        ] {
            assert_eq!(Group::of(kind), group, "{kind}");
        }
    }
}
