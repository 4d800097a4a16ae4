//! Whose data a destination holds: `_state/lake.json`.
//!
//! Responses name the organization (`openai-organization`) and the project
//! (`openai-project`) of the key that was sent. The first sync notes them, and a
//! later sync with the keys of somebody else is refused before it writes: its
//! lists would turn every row of the first organization into a tombstone.
//!
//! It belongs to the destination and not to the state: `state reset` and
//! `--state` leave it alone. Comparing and learning are pure; [`OwnerFile`] does the I/O.

use std::collections::{BTreeMap, BTreeSet};

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use serde::{Deserialize, Serialize};

use super::{Lake, storage};
use crate::console::plain;
use crate::error::{Error, Result};
use crate::fetch::is_organization_id;
use crate::schema::Surface;

const VERSION: u64 = 1;

/// The flag that says that another owner is meant.
pub(crate) const ACCEPT: &str = "--accept-organization-change";

/// Whose data a destination holds, as far as responses have told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owner {
    version: u64,
    /// The organization of the Admin key and the project keys, by its id (`org-…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    organization_id: Option<String>,
    /// The same by its name, where responses name it so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    organization_name: Option<String>,
    /// `OPENAI_ORGANIZATION_ID`: the organization whose log files are here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_files_of: Option<String>,
    /// The ChatGPT workspaces, and the organization that responses named for each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    workspaces: BTreeMap<String, Option<String>>,
    /// The name of each project key, and the project that it last answered for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    projects: BTreeMap<String, String>,
    /// Names under which rows may have been written before their project's id was known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    renamed: BTreeMap<String, String>,
}

impl Default for Owner {
    fn default() -> Owner {
        Owner {
            version: VERSION,
            organization_id: None,
            organization_name: None,
            log_files_of: None,
            workspaces: BTreeMap::new(),
            projects: BTreeMap::new(),
            renamed: BTreeMap::new(),
        }
    }
}

/// What one credential is, as configured and as its responses say.
#[derive(Clone, Debug)]
pub(crate) struct Met {
    pub(crate) surface: Surface,
    /// What the key stands for: `key.project`, `key.workspace`, `key.organization`, with its value.
    pub(crate) values: Vec<(String, String)>,
    pub(crate) organization: Option<String>,
    pub(crate) project: Option<String>,
    /// A response was good; a refused key teaches nothing.
    pub(crate) answered: bool,
}

impl Met {
    fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn is_of_the_platform(&self) -> bool {
        matches!(self.surface, Surface::Admin | Surface::Project)
    }

    fn variable(&self) -> String {
        match (self.surface, self.value("key.project")) {
            (Surface::Admin, _) => "OPENAI_ADMIN_KEY".to_string(),
            (Surface::Project, name) => format!("the key `{}` of OPENAI_PROJECT_KEYS", plain(name.unwrap_or_default())),
            (Surface::Codex, _) => "CODEX_ANALYTICS_KEY".to_string(),
            (Surface::Compliance, _) => "CHATGPT_COMPLIANCE_KEY".to_string(),
        }
    }
}

impl Owner {
    /// Reads the text of the file, or says why it cannot be trusted.
    pub(crate) fn parse(text: &str) -> Result<Owner> {
        let refuse = |what: String| {
            Error::integrity(what)
                .hint("restore it from a copy, or move it away: the next sync notes anew whose keys it runs with")
        };
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|e| refuse(format!("the file is corrupt or cut short: {e}")))?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(VERSION) => serde_json::from_value(value).map_err(|e| refuse(format!("the file is corrupt: {e}"))),
            Some(newer) if newer > VERSION => {
                Err(Error::integrity(format!("the file has version {newer}, this program knows version {VERSION}"))
                    .hint("it was written by a newer openai-elt: use that version"))
            }
            _ => Err(refuse("the file is not one of openai-elt: it has no version 1".to_string())),
        }
    }

    fn text(&self) -> String {
        // Maps of strings always have a JSON text.
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }

    /// Returns what contradicts this owner, and what the keys of one run contradict each other in.
    pub(crate) fn contradictions(&self, met: &[Met]) -> Vec<String> {
        let mut found: Vec<String> = self.foreign_workspaces(met).into_iter().collect();
        let mut run = Owner::default();
        for one in met {
            let known = self.contradicts(one, "the destination holds data of");
            found.extend(known.or_else(|| run.contradicts(one, "another key of this run is of")));
            run.learn(one);
        }
        found.dedup();
        found
    }

    fn contradicts(&self, met: &Met, holder: &str) -> Option<String> {
        let other = |known: &str, said: &str| {
            format!("{holder} organization {}, and {} is of {}", plain(known), met.variable(), plain(said))
        };
        if let (true, Some(said)) = (met.is_of_the_platform(), &met.organization)
            && let Some(known) = self.organization(said)
            && known != said
        {
            return Some(other(known, said));
        }
        if let (Some(known), Some(said)) = (&self.log_files_of, met.value("key.organization"))
            && known != said
        {
            return Some(format!(
                "{holder} organization {}, whose log files it has, and OPENAI_ORGANIZATION_ID is {}",
                plain(known),
                plain(said)
            ));
        }
        if let (Some(workspace), Some(said)) = (met.value("key.workspace"), &met.organization)
            && let Some(Some(known)) = self.workspaces.get(workspace)
            && known != said
            && is_organization_id(known) == is_organization_id(said)
        {
            return Some(other(known, said));
        }
        let (name, said) = (met.value("key.project")?, met.project.as_deref()?);
        let known = self.projects.get(name).filter(|known| *known != said)?;
        Some(format!(
            "the key `{}` of OPENAI_PROJECT_KEYS was of project {}, and is of {} now",
            plain(name),
            plain(known),
            plain(said)
        ))
    }

    /// Workspaces come and go; that all of them are strangers means another company's key.
    fn foreign_workspaces(&self, met: &[Met]) -> Option<String> {
        // A workspace is met once for each surface that reads it.
        let asked: BTreeSet<&str> = met.iter().filter_map(|met| met.value("key.workspace")).collect();
        let strange = !asked.is_empty() && !asked.iter().any(|workspace| self.workspaces.contains_key(*workspace));
        let known = self.workspaces.keys().next().filter(|_| strange)?;
        Some(format!(
            "the destination holds data of workspace {}, and CHATGPT_WORKSPACE_IDS names others only ({})",
            plain(known),
            plain(&asked.into_iter().collect::<Vec<_>>().join(", "))
        ))
    }

    /// The organization that is known in the form of `like`: by its id, or by its name.
    fn organization(&self, like: &str) -> Option<&str> {
        if is_organization_id(like) { self.organization_id.as_deref() } else { self.organization_name.as_deref() }
    }

    /// What is known of the organization: its id, its name, or both.
    pub(crate) fn organizations(&self) -> Vec<String> {
        [&self.organization_id, &self.organization_name].into_iter().flatten().cloned().collect()
    }

    /// The project that the key of this name last answered for.
    pub(crate) fn project(&self, name: &str) -> Option<&str> {
        self.projects.get(name).map(String::as_str)
    }

    /// What rows are renamed to, by the name that they may still have.
    pub(crate) fn renamed(&self) -> &BTreeMap<String, String> {
        &self.renamed
    }

    /// Notes what a credential turned out to be, in place of what was known.
    pub(crate) fn learn(&mut self, met: &Met) {
        if !met.answered {
            return;
        }
        let said = met.organization.clone();
        if met.is_of_the_platform()
            && let Some(said) = &said
        {
            let place = if is_organization_id(said) { &mut self.organization_id } else { &mut self.organization_name };
            *place = Some(said.clone());
        }
        if let Some(id) = met.value("key.organization") {
            self.log_files_of = Some(id.to_string());
        }
        if let Some(workspace) = met.value("key.workspace") {
            let known = self.workspaces.entry(workspace.to_string()).or_default();
            *known = said.or(known.take());
        }
        let misnamed = |name: &str, project: &str| name.starts_with("proj_") && name != project;
        if let (Some(name), Some(project)) = (met.value("key.project"), &met.project)
            && !misnamed(name, project)
        {
            self.projects.insert(name.to_string(), project.clone());
            if !name.starts_with("proj_") {
                // Rows of that name are of the first project that it was.
                self.renamed.entry(name.to_string()).or_insert_with(|| project.clone());
            }
        }
    }
}

/// Where the owner is noted.
pub(crate) struct OwnerFile {
    lake: Lake,
    path: Path,
    /// What was read, so that only that is replaced.
    version: Option<UpdateVersion>,
}

impl OwnerFile {
    /// Reads the owner of a destination; the default for one that has none yet.
    pub(crate) async fn load(lake: &Lake) -> Result<(OwnerFile, Owner)> {
        let path = lake.path(&["_state", "lake.json"]);
        let shown = lake.relative(&path);
        let failed = |e: object_store::Error| storage(&e, lake.shown()).at(shown.clone());
        let (version, owner) = match lake.store.get(&path).await {
            Ok(found) => {
                let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
                let text = String::from_utf8_lossy(&found.bytes().await.map_err(failed)?).into_owned();
                (Some(version), Owner::parse(&text).map_err(|e| e.at(shown))?)
            }
            Err(object_store::Error::NotFound { .. }) => (None, Owner::default()),
            Err(e) => return Err(failed(e)),
        };
        Ok((OwnerFile { lake: lake.clone(), path, version }, owner))
    }

    /// An atomic rename on a disk, a conditional PUT elsewhere.
    pub(crate) async fn save(&mut self, owner: &Owner) -> Result<()> {
        self.lake.private_folder("_state")?;
        let saved = match self.lake.folder {
            Some(_) => self.lake.put_private(&self.path, owner.text()).await,
            None => self.swap(owner.text()).await,
        };
        saved.map_err(|e| e.at(self.lake.relative(&self.path)))
    }

    async fn swap(&mut self, text: String) -> Result<()> {
        use object_store::Error::{AlreadyExists, Precondition};
        let mode = self.version.clone().map_or(PutMode::Create, PutMode::Update);
        match self.lake.store.put_opts(&self.path, PutPayload::from(text.clone()), mode.into()).await {
            Ok(put) => {
                self.version = Some(UpdateVersion { e_tag: put.e_tag, version: put.version });
                Ok(())
            }
            // An answer may be lost on its way: the store refuses what it has already done.
            Err(AlreadyExists { .. } | Precondition { .. }) => {
                let found = self.lake.store.get(&self.path).await.map_err(|e| storage(&e, self.lake.shown()))?;
                let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
                let there = found.bytes().await.map_err(|e| storage(&e, self.lake.shown()))?;
                if there.as_ref() != text.as_bytes() {
                    return Err(Error::integrity("it was changed by somebody else while this run went on")
                        .hint("let one run at a time use this destination, then run again"));
                }
                self.version = Some(version);
                Ok(())
            }
            Err(e) => Err(storage(&e, self.lake.shown())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn met(surface: Surface, values: &[(&str, &str)], organization: Option<&str>, project: Option<&str>) -> Met {
        Met {
            surface,
            values: values.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
            organization: organization.map(str::to_string),
            project: project.map(str::to_string),
            answered: true,
        }
    }

    fn owner(met: &[Met]) -> Owner {
        let mut owner = Owner::default();
        met.iter().for_each(|met| owner.learn(met));
        owner
    }

    #[test]
    fn cases() {
        use Surface::{Admin, Codex, Compliance, Project};
        let admin = |organization| met(Admin, &[], Some(organization), None);
        let project =
            |name, organization, project| met(Project, &[("key.project", name)], Some(organization), Some(project));
        let workspace = |id, organization| met(Codex, &[("key.workspace", id)], organization, None);
        let logs = |id| met(Compliance, &[("key.organization", id)], None, None);
        let known =
            owner(&[admin("org-1"), project("a", "org-1", "proj_1"), workspace("w1", Some("org-9")), logs("org-5")]);
        for (contradictions, what) in [
            (0, vec![admin("org-1")]),
            (1, vec![admin("org-2")]),
            // A name says nothing of an id.
            (0, vec![admin("company")]),
            (1, vec![admin("company"), project("b", "company-2", "proj_2")]),
            (1, vec![project("b", "org-2", "proj_2")]),
            (1, vec![project("a", "org-1", "proj_2")]),
            (0, vec![project("b", "org-1", "proj_2")]),
            (0, vec![workspace("w1", Some("org-9")), workspace("w2", Some("org-9"))]),
            (1, vec![workspace("w1", Some("org-8"))]),
            (1, vec![workspace("w2", None)]),
            (0, vec![logs("org-5")]),
            (1, vec![logs("org-6")]),
            // A header that is not there says nothing.
            (0, vec![met(Admin, &[], None, None), met(Project, &[("key.project", "a")], None, None)]),
        ] {
            assert_eq!(
                known.contradictions(&what).len(),
                contradictions,
                "{what:?}: {:?}",
                known.contradictions(&what)
            );
            let strangers = what.len() == 2 && what[1].organization.as_deref() == Some("company-2");
            assert_eq!(Owner::default().contradictions(&what).len(), usize::from(strangers), "{what:?}");
        }
        assert_eq!(known.renamed()["a"], "proj_1");
    }

    proptest! {
        /// After a change was accepted, the same keys contradict nothing; and what is saved is read again.
        #[test]
        fn what_was_learned_contradicts_nothing(all in prop::collection::vec((0..4_usize, "[ab]", "org-[12]|c|d", "proj_[12]", any::<bool>()), 1..6)) {
            let one = |(surface, name, organization, project, said): &(usize, String, String, String, bool)| {
                let surface = [Surface::Admin, Surface::Project, Surface::Codex, Surface::Compliance][*surface];
                let value = match surface {
                    Surface::Admin => vec![],
                    Surface::Project => vec![("key.project", name.as_str())],
                    Surface::Codex => vec![("key.workspace", name.as_str())],
                    Surface::Compliance => vec![("key.organization", name.as_str())],
                };
                let project = project.as_str();
                met(surface, &value, said.then_some(organization.as_str()), (*said && surface == Surface::Project).then_some(project))
            };
            let all: Vec<Met> = all.iter().map(one).collect();
            let mut learned = Owner::default();
            for met in &all {
                learned.learn(met);
                prop_assert_eq!(learned.contradictions(std::slice::from_ref(met)), Vec::<String>::new());
                prop_assert_eq!(&Owner::parse(&learned.text()).unwrap(), &learned);
            }
        }

        #[test]
        fn any_text_ends_without_panic(text in ".*") {
            let _ = Owner::parse(&text);
        }
    }

    #[test]
    fn what_cannot_be_trusted_is_refused() {
        for (text, expected) in [
            ("", "cut short"),
            ("{}", "no version 1"),
            ("{\"version\":2}", "version 2"),
            ("{\"version\":1,\"more\":1}", "corrupt"),
            ("[]", "no version 1"),
        ] {
            assert!(Owner::parse(text).unwrap_err().to_string().contains(expected), "{text}");
        }
    }
}
