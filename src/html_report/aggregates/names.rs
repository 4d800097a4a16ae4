//! What ids are called. Only ids that the page shows are looked up, so that a list of
//! names is as long as the page and not as the organization. Pure.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};

use crate::error::Result;
use crate::html_report::columns::{flags, text, texts};

pub(in crate::html_report) const PROJECT_COLUMNS: [&str; 3] = ["id", "name", "status"];
pub(in crate::html_report) const USER_COLUMNS: [&str; 4] = ["id", "name", "email", "_deleted"];
pub(in crate::html_report) const KEY_COLUMNS: [&str; 7] =
    ["id", "name", "redacted_value", "project_id", "owner_user_name", "owner_service_account_name", "_deleted"];

#[derive(Clone, Debug, Default)]
pub(in crate::html_report) struct Project {
    pub(in crate::html_report) name: String,
    pub(in crate::html_report) is_archived: bool,
}

#[derive(Clone, Debug, Default)]
pub(in crate::html_report) struct User {
    pub(in crate::html_report) name: String,
    pub(in crate::html_report) email: String,
    pub(in crate::html_report) is_gone: bool,
}

#[derive(Clone, Debug, Default)]
pub(in crate::html_report) struct Key {
    pub(in crate::html_report) name: String,
    pub(in crate::html_report) redacted: String,
    pub(in crate::html_report) project: String,
    pub(in crate::html_report) owner: String,
    pub(in crate::html_report) is_gone: bool,
}

#[derive(Debug, Default)]
pub(in crate::html_report) struct Names {
    pub(in crate::html_report) projects: BTreeMap<String, Project>,
    pub(in crate::html_report) users: BTreeMap<String, User>,
    pub(in crate::html_report) keys: BTreeMap<String, Key>,
}

/// Rows to look at: with history, a table keeps the versions that were before the current one.
fn current(batch: &RecordBatch) -> impl Iterator<Item = usize> {
    let versions = batch.column_by_name("_current").map(|column| column.as_boolean());
    let is_past = move |row: &usize| versions.is_some_and(|current| current.is_valid(*row) && !current.value(*row));
    (0..batch.num_rows()).filter(move |row| !is_past(row))
}

impl Names {
    pub(in crate::html_report) fn add_projects(
        &mut self,
        batch: &RecordBatch,
        wanted: &BTreeSet<String>,
    ) -> Result<()> {
        let [id, name, status] = [0, 1, 2].map(|column| texts(batch, column));
        for row in current(batch).filter(|row| wanted.contains(text(id, *row))) {
            let project = Project { name: text(name, row).to_string(), is_archived: text(status, row) == "archived" };
            self.projects.insert(text(id, row).to_string(), project);
        }
        Ok(())
    }

    pub(in crate::html_report) fn add_users(&mut self, batch: &RecordBatch, wanted: &BTreeSet<String>) -> Result<()> {
        let [id, name, email] = [0, 1, 2].map(|column| texts(batch, column));
        let gone = flags(batch, 3);
        for row in current(batch).filter(|row| wanted.contains(text(id, *row))) {
            let is_gone = gone.is_valid(row) && gone.value(row);
            let user = User { name: text(name, row).to_string(), email: text(email, row).to_string(), is_gone };
            self.users.insert(text(id, row).to_string(), user);
        }
        Ok(())
    }

    pub(in crate::html_report) fn add_keys(&mut self, batch: &RecordBatch, wanted: &BTreeSet<String>) -> Result<()> {
        let [id, name, redacted, project, user, service] = [0, 1, 2, 3, 4, 5].map(|column| texts(batch, column));
        let gone = flags(batch, 6);
        for row in current(batch).filter(|row| wanted.contains(text(id, *row))) {
            let owners = [text(user, row), text(service, row)];
            let key = Key {
                name: text(name, row).to_string(),
                redacted: text(redacted, row).to_string(),
                project: text(project, row).to_string(),
                owner: owners.into_iter().find(|name| !name.is_empty()).unwrap_or_default().to_string(),
                is_gone: gone.is_valid(row) && gone.value(row),
            };
            self.keys.insert(text(id, row).to_string(), key);
        }
        Ok(())
    }
}
