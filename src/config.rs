//! What the program needs, from flags, environment and configuration file.
//!
//! Everything that can be wrong is found here, before anything is started.
//! Secrets come from the environment (or a file that it names) and live in a
//! type that cannot print itself; a flag never takes one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chrono::Datelike;
use serde::Deserialize;

use crate::credential::{Form, is_key, trimmed};
use crate::error::{Error, Result};
use crate::fetch::{Retry, is_private};
use crate::schema::{Catalog, HoldBack, Policy, Surface, Table, caret, duration_seconds, glob, suggestion};
use crate::secret::Secret;

/// `openai-elt.toml`: what is better kept in a file than typed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Where it was read, for messages.
    #[serde(skip)]
    path: String,
    pub(crate) dest: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) strict: Option<bool>,
    /// For all tables that are read in part: how often they are read whole.
    full_every: Option<String>,
    /// For all snapshot tables: which soft deletes are held back.
    hold_back: Option<HoldBackOptions>,
    #[serde(default)]
    pub(crate) select: Vec<String>,
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    #[serde(default)]
    http: Http,
    #[serde(default)]
    tables: BTreeMap<String, TableOptions>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Http {
    retries: u32,
    backoff: String,
    timeout: String,
}

impl Default for Http {
    fn default() -> Http {
        Http { retries: 5, backoff: "500ms".to_string(), timeout: "90s".to_string() }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableOptions {
    lookback: Option<String>,
    history: Option<History>,
    full_every: Option<String>,
    hold_back: Option<HoldBackOptions>,
}

/// `hold_back = { share = 0.5, rows = 20 }`: what is left out stays as it is.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldBackOptions {
    share: Option<f64>,
    rows: Option<u64>,
}

impl HoldBackOptions {
    fn apply(self, limits: HoldBack) -> Result<HoldBack> {
        let share = self.share.unwrap_or(limits.share);
        match (0.0..=1.0).contains(&share) {
            true => Ok(HoldBack { share, rows: self.rows.unwrap_or(limits.rows) }),
            false => Err(Error::usage(format!("hold_back: a share of {share} is not between 0 and 1"))
                .hint("0.5 holds back what would soft-delete more than half of a table; 1 holds nothing back")),
        }
    }
}

/// `history = "730d"`: how far back a first sync reads; `history = true`: keep each version of a row.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum History {
    Versions(bool),
    Back(String),
}

/// The configuration file of a working folder, read without `--config`.
pub(crate) const USUAL: &str = "openai-elt.toml";

impl File {
    /// Reads the file; without `--config`, `openai-elt.toml` in the working folder if it is there.
    pub(crate) fn read(path: Option<&Path>) -> Result<File> {
        let (path, must) = match path {
            Some(path) => (path, true),
            None => (Path::new(USUAL), false),
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !must => return Ok(File::default()),
            Err(e) => return Err(Error::usage(format!("--config {}: {e}", path.display()))),
        };
        File::parse(&path.display().to_string(), &text)
    }

    /// Reads the text of a configuration file.
    pub(crate) fn parse(path: &str, text: &str) -> Result<File> {
        let mut file: File = toml::from_str(text).map_err(|e| {
            let error = Error::usage(caret(path, text, e.span(), e.message()));
            match suggestion(e.message()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("docs/configuration.md describes every key"),
            }
        })?;
        file.path = path.to_string();
        Ok(file)
    }

    pub(crate) fn retry(&self) -> Result<Retry> {
        let duration = |name: &str, text: &str| -> Result<Duration> {
            let millis = text.strip_suffix("ms").and_then(|n| n.parse().ok()).map(Duration::from_millis);
            let seconds = || duration_seconds(text).ok().and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs);
            millis.or_else(seconds).ok_or_else(|| {
                Error::usage(format!("{}: [http] {name} = {text:?} is not a duration", self.path))
                    .hint("such as \"90s\" or \"500ms\"")
            })
        };
        Ok(Retry {
            attempts: self.http.retries.saturating_add(1),
            backoff: duration("backoff", &self.http.backoff)?,
            timeout: duration("timeout", &self.http.timeout)?,
        })
    }

    /// The catalog with each table's own options applied.
    pub(crate) fn apply(&self, catalog: &mut Catalog) -> Result<()> {
        if let Some(text) = &self.full_every {
            let wrong = |why| Error::usage(format!("{}: full_every: {why}", self.path));
            let every = duration_seconds(text).map_err(wrong)?;
            let parts: Vec<_> = catalog.iter().filter(|t| t.is_read_in_part()).cloned().collect();
            for table in parts {
                catalog.replace(Table { full_every: every, ..Table::clone(&table) });
            }
        }
        if let Some(options) = self.hold_back {
            let limits = options.apply(HoldBack::default()).map_err(|e| e.at(format!("{}:", self.path)))?;
            let snapshots: Vec<_> = catalog.iter().filter(|t| t.policy == Policy::Snapshot).cloned().collect();
            for table in snapshots {
                catalog.replace(Table { hold_back: limits, ..Table::clone(&table) });
            }
        }
        for (name, options) in &self.tables {
            let Some(table) = catalog.get(name) else {
                return Err(catalog.unknown(name).at(format!("{}: [tables.{name}]", self.path)));
            };
            let place = |e: Error| e.at(format!("{}: [tables.{name}]", self.path));
            let table = options.apply(Table::clone(table)).map_err(place)?;
            catalog.replace(table);
        }
        Ok(())
    }
}

impl TableOptions {
    fn apply(&self, mut table: Table) -> Result<Table> {
        let seconds =
            |key: &str, text: &str| duration_seconds(text).map_err(|why| Error::usage(format!("{key}: {why}")));
        let unsliced = |key: &str| Error::usage(format!("`{key}` is for tables cut by day; this one is read whole"));
        if let Some(text) = &self.lookback {
            table.slices.as_mut().ok_or_else(|| unsliced("lookback"))?.lookback = seconds("lookback", text)?;
        }
        if let Some(text) = &self.full_every {
            if !table.is_read_in_part() {
                return Err(Error::usage(
                    "`full_every` is for tables that are read in part; this one is read whole every time, or by day",
                ));
            }
            table.full_every = seconds("full_every", text)?;
        }
        if let Some(options) = self.hold_back {
            if table.policy != Policy::Snapshot {
                return Err(Error::usage(
                    "`hold_back` is for snapshot tables; rows of this one are never soft-deleted",
                ));
            }
            table.hold_back = options.apply(table.hold_back)?;
        }
        match &self.history {
            Some(History::Versions(true)) => table = table.with_history()?,
            Some(History::Back(text)) => {
                table.slices.as_mut().ok_or_else(|| unsliced("history"))?.history = seconds("history", text)?;
            }
            Some(History::Versions(false)) | None => {}
        }
        Ok(table)
    }
}

/// One key of a surface, and what it stands for: for each, tables are read once.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) surface: Surface,
    pub(crate) base: String,
    pub(crate) key: Secret,
    /// `key.project`, `key.workspace` or `key.organization`, with its value.
    pub(crate) stands_for: Vec<Vec<(String, String)>>,
}

impl Access {
    /// The project that the key is named after.
    pub(crate) fn project(&self) -> Option<&str> {
        let mut values = self.stands_for.iter().flatten();
        values.find(|(name, _)| name == "key.project").map(|(_, project)| project.as_str())
    }

    /// Whether the key stands for what the table needs.
    pub(crate) fn can_ask(&self, table: &Table) -> bool {
        self.surface == table.surface && self.stands_for.iter().any(|values| table.can_be_asked_with(values))
    }
}

/// The credentials that the environment gives; a surface without a key is left out.
pub(crate) fn access() -> Result<Vec<Access>> {
    let openai = base("OPENAI_BASE_URL", "https://api.openai.com/v1")?;
    let chatgpt = base("CHATGPT_BASE_URL", "https://api.chatgpt.com/v1")?;
    let named = |name: &str, value: String| vec![(name.to_string(), value)];
    let mut access = Vec::new();
    let mut add = |surface, base: &str, key: String, stands_for| {
        access.push(Access { surface, base: base.to_string(), key: Secret::new(key), stands_for });
    };
    if let Some(key) = variable("OPENAI_ADMIN_KEY")? {
        add(Surface::Admin, &openai, key.one(Form::Key)?, vec![Vec::new()]);
    }
    if let Some(keys) = variable("OPENAI_PROJECT_KEYS")? {
        for (project, key) in project_keys(&keys)? {
            add(Surface::Project, &openai, key, vec![named("key.project", project)]);
        }
    }
    let ids = variable("CHATGPT_WORKSPACE_IDS")?.map(|ids| ids.list(Form::Workspace)).transpose()?;
    let workspaces: Vec<_> = ids.unwrap_or_default().into_iter().map(|id| named("key.workspace", id)).collect();
    let organization = variable("OPENAI_ORGANIZATION_ID")?.map(|id| id.one(Form::Organization)).transpose()?;
    if let Some(key) = variable("CODEX_ANALYTICS_KEY")? {
        let key = key.one(Form::Key)?;
        add(Surface::Codex, &chatgpt, key, needed("CODEX_ANALYTICS_KEY", workspaces.clone())?);
    }
    if let Some(key) = variable("CHATGPT_COMPLIANCE_KEY")? {
        let key = key.one(Form::Key)?;
        let all = workspaces.into_iter().chain(organization.map(|id| named("key.organization", id))).collect();
        add(Surface::Compliance, &chatgpt, key, needed("CHATGPT_COMPLIANCE_KEY", all)?);
    }
    Ok(access)
}

fn needed(key: &str, ids: Vec<Vec<(String, String)>>) -> Result<Vec<Vec<(String, String)>>> {
    match ids.is_empty() {
        false => Ok(ids),
        true => Err(Error::usage(format!("{key} is set, but CHATGPT_WORKSPACE_IDS is not"))
            .hint("give it the workspace's id, a UUID shown in the workspace settings (chatgpt.com/admin); several with commas between")),
    }
}

/// `proj_a=sk-…,proj_b=sk-…`; one key may stand without a name, `default` until a response tells its project.
fn project_keys(variable: &Variable) -> Result<Vec<(String, String)>> {
    let mut keys: Vec<(String, String)> = Vec::new();
    for (index, entry) in variable.entries() {
        let (project, key) = entry.split_once('=').unwrap_or(("default", entry));
        let place = variable.entry(index);
        let wrong = |what: &str| {
            Err(Error::usage(format!("{place}: {what}")).hint("each entry is proj_…=sk-…, with commas between"))
        };
        if trimmed(project).is_empty() || trimmed(key).is_empty() {
            return wrong("half of it is missing");
        }
        // Not quoted: what looks like a key is one.
        if is_key(project) || trimmed(key).starts_with("proj_") {
            return wrong("project and key are the wrong way round");
        }
        let project = clean(Form::Name, &place, project)?;
        if keys.iter().any(|(p, _)| *p == project) {
            return Err(Error::usage(format!("{place}: {project} was named before"))
                .hint("name the project of each key: proj_…=sk-…"));
        }
        keys.push((project, clean(Form::Key, &place, key)?));
    }
    Ok(keys)
}

/// The error when no surface has a key.
pub(crate) fn no_key() -> Error {
    Error::usage("no key is set, so there is nothing to read").hint(
        "set OPENAI_ADMIN_KEY to an Admin key (platform.openai.com, Settings, Admin keys), or OPENAI_ADMIN_KEY_FILE to a file that holds it; `openai-elt demo` needs none",
    )
}

/// The text of a variable, or of the file that `NAME_FILE` names.
struct Variable {
    /// The variable that was set.
    source: String,
    text: String,
}

impl Variable {
    /// The one value that it holds.
    fn one(&self, form: Form) -> Result<String> {
        clean(form, &self.source, &self.text)
    }

    /// The values of a list with commas between.
    fn list(&self, form: Form) -> Result<Vec<String>> {
        self.entries().map(|(index, entry)| clean(form, &self.entry(index), entry)).collect()
    }

    fn entries(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.split(',').enumerate().filter(|(_, entry)| !trimmed(entry).is_empty())
    }

    fn entry(&self, index: usize) -> String {
        format!("{}, entry {}", self.source, index + 1)
    }
}

fn clean(form: Form, place: &str, text: &str) -> Result<String> {
    let clean = form.clean(text).map_err(|fault| Error::usage(format!("{place}: {}", fault.what)).hint(fault.hint))?;
    Ok(clean.to_string())
}

/// Reads a variable, or the file named by `NAME_FILE`. Set and empty is a mistake.
fn variable(name: &str) -> Result<Option<Variable>> {
    let file = format!("{name}_FILE");
    let no_text = |source: &str| {
        Error::usage(format!("{source} is not UTF-8 text")).hint("write it as UTF-8 without a byte order mark")
    };
    let (text, source) = match (std::env::var(name), std::env::var(&file)) {
        (Ok(_), Ok(_)) => return Err(Error::usage(format!("both {name} and {file} are set")).hint("set one of them")),
        (Ok(text), _) => (text, name.to_string()),
        (Err(std::env::VarError::NotUnicode(_)), _) => return Err(no_text(name)),
        (_, Err(std::env::VarError::NotUnicode(_))) => return Err(no_text(&file)),
        // Not quoted: what looks like a key is one.
        (_, Ok(path)) if is_key(&path) => {
            return Err(Error::usage(format!("{file} holds a key where the path of a file is needed"))
                .hint(format!("the key itself goes into {name}")));
        }
        (_, Ok(path)) => match std::fs::read_to_string(&path) {
            Ok(text) => (text, file),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => return Err(no_text(&format!("{file}: {path}"))),
            Err(e) => {
                return Err(Error::usage(format!("{file}: {path}: {e}"))
                    .hint(format!("{file} names a file that this user may read and that holds the value of {name}")));
            }
        },
        _ => return Ok(None),
    };
    let variable = Variable { source, text };
    if variable.entries().next().is_none() {
        let source = &variable.source;
        return Err(
            Error::usage(format!("{source} is set but empty")).hint(format!("give it a value, or unset {source}"))
        );
    }
    Ok(Some(variable))
}

/// A base URL: https, or http on loopback only, because the key goes with every request.
fn base(name: &str, usual: &str) -> Result<String> {
    let text = variable(name)?.map_or_else(|| Ok(usual.to_string()), |text| text.one(Form::Address))?;
    let url = url::Url::parse(&text).map_err(|e| Error::usage(format!("{name} is not a URL: {e}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::usage(format!("{name} holds a user name or a password"))
            .hint("leave it out: the key is sent in a header, and a proxy is named by HTTPS_PROXY"));
    }
    match url.scheme() {
        "https" | "http" if is_private(&url) => Ok(text),
        "http" => {
            Err(Error::usage(format!("{name}={text}: plain http would send the key in the clear")).hint("use https"))
        }
        _ => Err(Error::usage(format!("{name}={text} is not an http(s) URL"))),
    }
}

/// Table names and patterns: which tables a run reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) named: Vec<String>,
    pub(crate) excluded: Vec<String>,
}

impl Selection {
    /// The chosen tables, and the parents they cannot do without.
    pub(crate) fn choose(&self, catalog: &Catalog, access: &[Access]) -> Result<Vec<String>> {
        for pattern in self.named.iter().chain(&self.excluded) {
            if !catalog.iter().any(|t| glob(pattern, &t.name)) {
                return Err(catalog.unknown(pattern));
            }
        }
        // Sensitive and heavy tables want their own name, or a pattern with more in it than `*`.
        let named = |t: &Table| self.named.iter().any(|p| glob(p, &t.name) && (p != "*" || !t.only_if_named));
        let mut chosen = Vec::new();
        for table in catalog.iter().filter(|t| can_ask(t, access)) {
            let wanted = if self.named.is_empty() { !table.only_if_named } else { named(table) };
            if !wanted || self.excluding(table).is_some() {
                continue;
            }
            match self.parents(table, catalog, access) {
                Ok(parents) => {
                    chosen.extend([Some(&table.name), table.same_as.as_ref()].into_iter().flatten().cloned());
                    chosen.extend(parents);
                }
                Err(Orphan::Excluded(error) | Orphan::WithoutKey(error)) if self.named.contains(&table.name) => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        let mut without = self.named.iter().filter(|n| !chosen.iter().any(|c| glob(n, c)));
        if let Some(error) = without.find_map(|pattern| self.none_of(pattern, catalog, access)) {
            return Err(error);
        }
        if chosen.is_empty() && !self.named.is_empty() {
            let (named, excluded) = (self.named.join(","), self.excluded.join(","));
            return Err(Error::usage(format!("all of {named} is excluded")).hint(hint_to_include(&excluded)));
        }
        chosen.sort();
        chosen.dedup();
        Ok(chosen)
    }

    /// The pattern of `--exclude` that matches the table.
    fn excluding(&self, table: &Table) -> Option<&str> {
        self.excluded.iter().map(String::as_str).find(|pattern| glob(pattern, &table.name))
    }

    /// Returns the names of the table's ancestors, or why one of them cannot be read in this run.
    fn parents(&self, table: &Table, catalog: &Catalog, access: &[Access]) -> std::result::Result<Vec<String>, Orphan> {
        let mut names = Vec::new();
        let mut parent = table.parent.as_ref().and_then(|p| catalog.get(&p.table));
        while let Some(up) = parent {
            let needs = format!("{} needs {}", table.name, up.name);
            if let Some(pattern) = self.excluding(up) {
                let hint = format!("exclude {} as well, or {}", table.name, hint_to_include(pattern));
                return Err(Orphan::Excluded(Error::usage(format!("{needs}, which is excluded")).hint(hint)));
            }
            if !can_ask(up, access) {
                let error = Error::usage(format!("{needs}, whose key or id is not set"));
                return Err(Orphan::WithoutKey(error.hint(hint_to_set(up))));
            }
            names.push(up.name.clone());
            parent = up.parent.as_ref().and_then(|p| catalog.get(&p.table));
        }
        Ok(names)
    }

    /// Why a name or pattern of `--tables` chooses no table. `None` if all its tables are excluded.
    fn none_of(&self, pattern: &str, catalog: &Catalog, access: &[Access]) -> Option<Error> {
        let matching: Vec<_> = catalog.iter().filter(|t| glob(pattern, &t.name)).collect();
        let mut excluded = false;
        for table in matching.iter().filter(|t| can_ask(t, access)) {
            match self.parents(table, catalog, access) {
                Err(Orphan::WithoutKey(error)) if self.excluding(table).is_none() => {
                    return Some(error.at(format!("`{pattern}`")));
                }
                _ => excluded = true,
            }
        }
        let table = matching.first().filter(|_| !excluded)?;
        let surface = table.surface.name();
        let error = Error::usage(format!("`{pattern}` is on the {surface} surface, whose key or id is not set"));
        Some(error.hint(hint_to_set(table)))
    }
}

/// Why a table goes without its parent.
enum Orphan {
    Excluded(Error),
    WithoutKey(Error),
}

fn can_ask(table: &Table, access: &[Access]) -> bool {
    access.iter().any(|a| a.can_ask(table))
}

fn hint_to_include(pattern: &str) -> String {
    format!("leave {pattern} out of --exclude, or of `exclude` in the configuration")
}

/// What to set to read a table.
fn hint_to_set(table: &Table) -> String {
    let key = match table.surface {
        Surface::Admin => "OPENAI_ADMIN_KEY",
        Surface::Project => "OPENAI_PROJECT_KEYS",
        Surface::Codex => "CODEX_ANALYTICS_KEY",
        Surface::Compliance => "CHATGPT_COMPLIANCE_KEY",
    };
    let ids = [("key.workspace", "CHATGPT_WORKSPACE_IDS"), ("key.organization", "OPENAI_ORGANIZATION_ID")];
    let id = ids.into_iter().find(|(name, _)| table.key_names().any(|n| n == *name));
    let needed = id.map_or_else(|| key.to_string(), |(_, variable)| format!("{key} and {variable}"));
    format!("set {needed}; docs/configuration.md describes each variable")
}

/// A moment: a date (midnight UTC) or RFC 3339.
pub(crate) fn moment(flag: &str, text: &str) -> Result<chrono::DateTime<chrono::Utc>> {
    let date = text.parse::<chrono::NaiveDate>().map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc());
    let time = date.or_else(|_| chrono::DateTime::parse_from_rfc3339(text).map(|t| t.to_utc()));
    // The years of other moments lead out of the calendar, or are typing errors.
    time.ok().filter(|time| (1970..2300).contains(&time.year())).ok_or_else(|| {
        Error::usage(format!("{flag} {text} is not a moment"))
            .hint("such as 2026-01-01 or 2026-01-01T12:00:00Z, in UTC")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_no_calendar_are_refused() {
        assert!(moment("--since", "2026-01-01").is_ok() && moment("--since", "2026-01-01T12:00:00+02:00").is_ok());
        for text in ["+262142-12-31", "-262143-01-01", "0001-01-01", "9999-12-31T23:59:59Z", "tomorrow"] {
            let error = moment("--until", text).unwrap_err().to_string();
            assert!(error.contains("is not a moment"), "{error}");
        }
    }
}
