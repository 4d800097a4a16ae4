//! `check`: each key, each table and the destination, with what to do about each no.
//!
//! One small request for each table; nothing is written but one object of the
//! destination's own test, which is removed again.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use serde::Serialize;

use super::{Exit, Format};
use crate::config::{self, Selection};
use crate::console::data;
use crate::error::{Error, Kind, Result};
use crate::fetch::{Call, Client, Meter, cure::cure};
use crate::lake::{Lake, Met, Owner, OwnerFile};
use crate::plan::Window;
use crate::report::text_table;
use crate::schema::{Catalog, Pointer, Surface, Table};
use crate::sync::identity::contradicted;

/// What came of asking for one table.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    name: String,
    surface: &'static str,
    status: &'static str,
    detail: String,
    cure: Option<String>,
    /// The destination: as whom it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
}

impl Finding {
    fn new(name: &str, surface: Surface, status: &'static str) -> Finding {
        Finding::of(name, surface.name(), status)
    }

    fn of(name: &str, surface: &'static str, status: &'static str) -> Finding {
        Finding { name: name.to_string(), surface, status, detail: String::new(), cure: None, identity: None }
    }

    fn failed(name: &str, surface: Surface, error: &Error) -> Finding {
        let status = match error.kind {
            Kind::Unavailable => "not reachable",
            kind => kind.word(),
        };
        let cure = error.cure().map_or_else(|| cure(surface, error.kind).to_string(), str::to_string);
        Finding { detail: error.to_string(), cure: Some(cure), ..Finding::new(name, surface, status) }
    }

    fn is_bad(&self) -> bool {
        !matches!(self.status, "ok" | "empty" | "no parent yet" | "retired upstream")
    }
}

/// One key with the answers it gave, by table: where children find a parent.
struct Asker {
    surface: Surface,
    /// What the key stands for here.
    values: Vec<(String, String)>,
    client: Arc<Client>,
    meter: Meter,
    now: DateTime<Utc>,
}

pub(crate) async fn command(args: &super::Check, now: DateTime<Utc>) -> Result<Exit> {
    let (catalog, file) = super::sync::catalog(&args.common)?;
    let access = config::access()?;
    if access.is_empty() {
        return Err(config::no_key());
    }
    let selection = Selection { named: args.choice.tables.clone(), excluded: args.choice.exclude.clone() };
    let chosen = selection.choose(&catalog, &access)?;
    let mut findings = Vec::new();
    let dest = args.dest.as_ref().or(file.dest.as_ref());
    let mut owner = Ok(Owner::default());
    if let Some(dest) = dest {
        let (finding, known) = destination(dest).await?;
        findings.push(finding);
        owner = known;
    }
    let mut askers = Vec::new();
    for access in access {
        let client = Client::new(access.surface, &access.base, access.key.clone(), 8, file.retry()?)?;
        let client = Arc::new(client.of_project(access.project()));
        for values in access.stands_for {
            let (surface, client) = (access.surface, Arc::clone(&client));
            askers.push(Asker { surface, values, client, meter: Meter::default(), now });
        }
    }
    for asker in &askers {
        findings.extend(asker.all(&catalog, &chosen, &askers).await);
    }
    let stranger = whose(dest, owner, &askers);
    let is_stranger = stranger.is_some();
    findings.extend(stranger);
    print(&findings, args.format)?;
    let (bad, good) = (
        findings.iter().filter(|f| f.is_bad()).count(),
        findings.iter().any(|f| f.status == "ok" || f.status == "empty"),
    );
    Ok(match (bad, good) {
        _ if is_stranger => Exit::Integrity,
        (0, _) => Exit::Good,
        (_, true) => Exit::Partly,
        (_, false) => Exit::Nothing,
    })
}

impl Asker {
    fn can_ask(&self, table: &Table) -> bool {
        self.surface == table.surface && table.can_be_asked_with(&self.values)
    }

    fn met(&self) -> Met {
        let standing = self.client.standing();
        Met {
            surface: self.surface,
            values: self.values.clone(),
            organization: standing.organization().map(str::to_string),
            project: standing.project().map(str::to_string),
            answered: standing.answered(),
        }
    }

    /// Whether both stand for the same: one project's key knows nothing of another one's parents.
    fn agrees(&self, other: &Asker) -> bool {
        other.values.iter().all(|(name, value)| self.values.iter().all(|(n, v)| n != name || v == value))
    }

    async fn all(&self, catalog: &Catalog, chosen: &[String], askers: &[Asker]) -> Vec<Finding> {
        let own = |name: &&String| catalog.get(name).is_some_and(|t| self.can_ask(t));
        let tables: Vec<Arc<Table>> = chosen.iter().filter(own).filter_map(|name| catalog.get(name).cloned()).collect();
        stream::iter(tables)
            .map(|table| async move { self.one(catalog, &table, askers).await })
            .buffered(8)
            .collect()
            .await
    }

    async fn one(&self, catalog: &Catalog, table: &Table, askers: &[Asker]) -> Finding {
        let named = match self.values.first() {
            Some((_, project)) => format!("{} ({project})", table.name),
            None => table.name.clone(),
        };
        if let Some(text) = &table.retired {
            return Finding { detail: text.clone(), ..Finding::new(&named, table.surface, "retired upstream") };
        }
        let bound = match self.parent_values(catalog, table, askers).await {
            Ok(Some(bound)) => bound,
            Ok(None) => return Finding::new(&named, table.surface, "no parent yet"),
            Err(error) => return Finding::failed(&named, table.surface, &error),
        };
        match self.ask(table, &bound).await {
            Ok(None) => Finding::new(&named, table.surface, "empty"),
            Ok(Some(_)) => Finding::new(&named, table.surface, "ok"),
            Err(error) => Finding::failed(&named, table.surface, &error),
        }
    }

    /// Asks for one page; gives its first record, if it has one.
    async fn ask(&self, table: &Table, bound: &BTreeMap<String, String>) -> Result<Option<String>> {
        let window =
            table.slices.as_ref().map(|_| Window { start: self.now - chrono::Duration::days(1), end: self.now });
        let call =
            Call::new(table, |name| bound.get(name).map(String::as_str), window, 0, &[]).map_err(Error::contract)?;
        let answer = match self.client.send(&call, &self.meter).await {
            Ok(answer) => answer,
            Err(error) if error.refusal.as_ref().is_some_and(|r| table.request.absent.contains(&r.status)) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        first(&answer, table.request.rows.first())
    }

    /// The values of one active parent; none when there is no parent to ask for.
    async fn parent_values(
        &self,
        catalog: &Catalog,
        table: &Table,
        askers: &[Asker],
    ) -> Result<Option<BTreeMap<String, String>>> {
        let mut bound: BTreeMap<String, String> = self.values.iter().cloned().collect();
        let Some(parent) = &table.parent else { return Ok(Some(bound)) };
        let Some(of) = catalog.get(&parent.table) else { return Ok(None) };
        for asker in askers.iter().filter(|a| a.can_ask(of) && self.agrees(a)) {
            let Some(values) = Box::pin(asker.parent_values(catalog, of, askers)).await? else { continue };
            let mut request = Table::clone(of);
            // Archived parents refuse questions about their children.
            request.request.query.0.retain(|(name, _)| name != "include_archived");
            let Some(record) = asker.ask(&request, &values).await? else { continue };
            for (name, column) in &parent.values {
                let column = of.column(column).map(|i| &of.columns[i]);
                let value = match column.map(|c| &c.from) {
                    Some(crate::schema::From::Bound(outer)) => values.get(outer).cloned(),
                    Some(crate::schema::From::Record(pointers)) => {
                        pointers.first().and_then(|(_, p)| text_at(&record, p))
                    }
                    _ => None,
                };
                bound.extend(value.map(|v| (name.clone(), v)));
            }
            return Ok(Some(bound));
        }
        Ok(None)
    }
}

/// The first record of an answer, as text; an answer that is no JSON object is an error.
fn first(answer: &str, rows: Option<&Pointer>) -> Result<Option<String>> {
    let value: serde_json::Value =
        serde_json::from_str(answer).map_err(|e| Error::contract(format!("the answer is not JSON: {e}")))?;
    let Some(rows) = rows else { return Ok(Some(answer.to_string())) };
    let list = value.pointer(&rows.to_string()).and_then(serde_json::Value::as_array);
    let list = list.ok_or_else(|| Error::contract(format!("the list `{rows}` is missing")))?;
    Ok(list.first().map(serde_json::Value::to_string))
}

fn text_at(record: &str, pointer: &Pointer) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(record).ok()?;
    value.pointer(&pointer.to_string())?.as_str().map(str::to_string)
}

/// Whether the destination can be written, as whom, and whose data it holds. Errors if it is not configured: then no
/// request is sent.
async fn destination(dest: &str) -> Result<(Finding, Result<Owner>)> {
    let about = Finding::of(dest, "destination", "ok");
    let there = dest.contains("://") || std::path::Path::new(dest).exists();
    let (outcome, identity, owner) = match Lake::open(dest) {
        Ok(lake) => (lake.probe().await, lake.whom().await, OwnerFile::load(&lake).await.map(|(_, owner)| owner)),
        Err(error) if error.kind == Kind::Usage => return Err(error),
        // What is wrong with the destination is its finding.
        Err(error) => (Err(error), None, Ok(Owner::default())),
    };
    if !there {
        // Only tried: a folder that was not there is not there afterwards. Fails when it is not empty.
        let folder = std::path::Path::new(dest);
        let _ = std::fs::remove_dir(folder.join("_state")).and_then(|()| std::fs::remove_dir(folder));
    }
    let about = Finding { identity, ..about };
    let finding = match outcome {
        Ok(()) => about,
        Err(error) => {
            Finding { status: "not usable", detail: error.to_string(), cure: error.cure().map(str::to_string), ..about }
        }
    };
    Ok((finding, owner))
}

/// Returns the finding that the keys are of another organization, workspace or project than the destination's, if
/// they are.
fn whose(dest: Option<&String>, owner: Result<Owner>, askers: &[Asker]) -> Option<Finding> {
    let met: Vec<Met> = askers.iter().map(Asker::met).collect();
    let error = match owner.map(|owner| owner.contradictions(&met)) {
        Ok(contradictions) if contradictions.is_empty() => return None,
        Ok(contradictions) => contradicted(&contradictions),
        Err(error) if error.kind == Kind::Integrity => error,
        Err(_) => return None,
    };
    let name = dest.map_or("keys", String::as_str).to_string();
    let cure = error.cure().map(str::to_string);
    Some(Finding {
        name,
        surface: "destination",
        status: "another owner",
        detail: error.to_string(),
        cure,
        identity: None,
    })
}

fn print(findings: &[Finding], format: Format) -> Result<()> {
    if format == Format::Json {
        let text = serde_json::to_string_pretty(findings).map_err(|e| Error::usage(e.to_string()))?;
        data(&(text + "\n"));
        return Ok(());
    }
    let rows: Vec<Vec<String>> =
        findings.iter().map(|f| vec![f.name.clone(), f.surface.to_string(), f.status.to_string()]).collect();
    data(&text_table(&["what", "surface", "status"], &rows, &[false; 3]));
    for finding in findings {
        if let Some(identity) = &finding.identity {
            data(&format!("\n{}: requests are sent as {identity}\n", finding.name));
        }
    }
    // One cure is often that of many tables: say it once, with all their names.
    let mut cures: BTreeMap<(&str, &str), Vec<&Finding>> = BTreeMap::new();
    for finding in findings.iter().filter(|f| f.is_bad()) {
        cures.entry((finding.status, finding.cure.as_deref().unwrap_or_default())).or_default().push(finding);
    }
    for ((status, cure), of) in cures {
        let names: Vec<&str> = of.iter().map(|f| f.name.as_str()).collect();
        data(&format!("\n{status}: {}\n  {}\n  hint: {cure}\n", names.join(", "), of[0].detail));
    }
    Ok(())
}
