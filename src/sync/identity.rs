//! Whose data a run is about to write: the keys' owners, compared with the destination's before anything is written.
//!
//! A project's rows carry its id, which a response tells; so it is known before
//! the first row is decoded. Of several keys of one project the first that
//! answers reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use super::Source;
use crate::console::plain;
use crate::error::{Error, Result};
use crate::fetch::{Call, Client, Expected, Meter, Word};
use crate::lake::{ACCEPT, Lake, Met, Owner, OwnerFile, State};
use crate::plan::{self, Wish};
use crate::report::Track;
use crate::schema::{Catalog, Surface, Table};

/// First requests of one key that are under way at the same time: one that does not come must not hold up the run.
const TOGETHER: usize = 2;

pub(crate) type Sources = BTreeMap<Surface, Vec<Source>>;

/// What the first requests of a run depend on.
pub(crate) struct Asked<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) tracks: &'a BTreeMap<String, Arc<Track>>,
    pub(crate) state: &'a State,
    pub(crate) now: DateTime<Utc>,
    pub(crate) wish: Wish,
}

/// The keys' owners, compared and noted.
pub(crate) struct Known {
    pub(crate) owner: Owner,
    file: OwnerFile,
}

impl Known {
    /// Sends the first requests, compares what their responses tell with the destination's owner, and notes what is new.
    /// Afterwards the sources stand for what their keys really are. Errors if the destination is somebody else's.
    pub(crate) async fn establish(
        lake: &Lake,
        sources: &mut Sources,
        asked: &Asked<'_>,
        accept: bool,
        stop: &CancellationToken,
    ) -> Result<Known> {
        let (file, owner) = OwnerFile::load(lake).await?;
        let mut known = Known { owner, file };
        // What is configured can be compared without a request.
        known.compare(&met(sources, asked), accept)?;
        tokio::select! {
            () = stop.cancelled() => {}
            () = meet(sources, asked) => {}
        }
        known.compare(&met(sources, asked), accept)?;
        known.learn(&met(sources, asked)).await?;
        bind(sources, &known.owner, asked);
        Ok(known)
    }

    fn compare(&self, met: &[Met], accept: bool) -> Result<()> {
        let contradictions = self.owner.contradictions(met);
        if contradictions.is_empty() || accept {
            return Ok(());
        }
        Err(contradicted(&contradictions))
    }

    /// Notes what a later response told. The file is written only when that is something new.
    async fn learn(&mut self, met: &[Met]) -> Result<()> {
        let before = self.owner.clone();
        met.iter().for_each(|met| self.owner.learn(met));
        if self.owner == before { Ok(()) } else { self.file.save(&self.owner).await }
    }

    /// Notes what became known while the run went on.
    pub(crate) async fn learn_late(&mut self, sources: &Sources) -> Result<()> {
        let late = sources.iter().flat_map(|(surface, sources)| sources.iter().map(|source| one(*surface, source)));
        self.learn(&late.collect::<Vec<_>>()).await
    }
}

/// The error of a destination that is somebody else's.
pub(crate) fn contradicted(contradictions: &[String]) -> Error {
    const MOST: usize = 3;
    let mut text = contradictions.iter().take(MOST).cloned().collect::<Vec<_>>().join("; ");
    if let Some(more) = contradictions.len().checked_sub(MOST).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    Error::integrity(text).hint(format!(
        "nothing was written: give the keys that this destination was synced with, or another --dest; if the change is meant, `sync` takes it by {ACCEPT}"
    ))
}

fn one(surface: Surface, source: &Source) -> Met {
    let standing = source.client.standing();
    Met {
        surface,
        values: source.configured.clone(),
        organization: standing.organization().map(str::to_string),
        project: standing.project().map(str::to_string),
        answered: standing.answered(),
    }
}

/// What is known of the sources that this run asks.
fn met(sources: &Sources, asked: &Asked<'_>) -> Vec<Met> {
    let of = |(surface, sources): (&Surface, &Vec<Source>)| {
        let wanted = sources.iter().filter(|source| is_asked(*surface, source, asked));
        wanted.map(|source| one(*surface, source)).collect::<Vec<_>>()
    };
    sources.iter().flat_map(of).collect()
}

fn is_asked(surface: Surface, source: &Source, asked: &Asked<'_>) -> bool {
    tables(asked).any(|table| table.surface == surface && table.can_be_asked_with(&source.values))
}

fn tables<'a>(asked: &'a Asked<'_>) -> impl Iterator<Item = &'a Arc<Table>> {
    asked.catalog.iter().filter(|table| asked.tracks.contains_key(&table.name) && table.retired.is_none())
}

/// Sends first requests until each key told whose it is, or cannot.
async fn meet(sources: &Sources, asked: &Asked<'_>) {
    let mut clients: Vec<(Surface, Arc<Client>, Vec<&Source>)> = Vec::new();
    for (surface, source) in sources.iter().flat_map(|(surface, all)| all.iter().map(|source| (*surface, source))) {
        match clients.iter_mut().find(|(_, client, _)| Arc::ptr_eq(client, &source.client)) {
            Some((_, _, of)) => of.push(source),
            None => clients.push((surface, Arc::clone(&source.client), vec![source])),
        }
    }
    let all = clients.iter().map(|(surface, client, of)| meet_one(*surface, client, first_calls(*surface, of, asked)));
    futures::future::join_all(all).await;
}

async fn meet_one(surface: Surface, client: &Arc<Client>, calls: Vec<(Call, Arc<Meter>)>) {
    let mut calls = calls.into_iter();
    let mut asked: FuturesUnordered<_> =
        calls.by_ref().take(TOGETHER).map(|(call, meter)| client.ask_early(call, meter)).collect();
    while let Some(word) = asked.next().await {
        let known = match surface {
            Surface::Project => client.standing().project().is_some(),
            _ => client.standing().organization().is_some(),
        };
        match word {
            _ if known => return,
            Ok(Word::Refused) => asked.extend(calls.next().map(|(call, meter)| client.ask_early(call, meter))),
            // Without a header a good response will not have one either; the other request may still tell.
            Ok(Word::Good) => return,
            Ok(Word::Failed) | Err(_) => {}
        }
    }
}

/// The first request of each of the key's lists that need no parent: those of whole tables before those of days.
fn first_calls(surface: Surface, of: &[&Source], asked: &Asked<'_>) -> Vec<(Call, Arc<Meter>)> {
    let roots = tables(asked).filter(|t| t.surface == surface && t.parent.is_none() && t.same_as.is_none());
    let mut roots: Vec<&Arc<Table>> = roots.collect();
    roots.sort_by_key(|table| table.slices.is_some());
    let call = |table: &Arc<Table>| {
        let source = of.iter().find(|source| table.can_be_asked_with(&source.values))?;
        let value = |name: &str| source.values.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let window = match &table.slices {
            None => None,
            Some(slices) => {
                let scope = super::scope(table, &source.values);
                let cursor = super::scope_cursor(asked.state, &[Arc::clone(table)], &scope);
                let start = plan::start(slices, table.policy, cursor, asked.now);
                Some(plan::windows(slices, table.policy, start.cursor, asked.now, asked.wish).into_iter().next()?)
            }
        };
        let call = Call::new(table, value, window, 0, &[]).ok()?;
        Some((call, Arc::clone(&asked.tracks.get(&table.name)?.meter)))
    };
    roots.into_iter().filter_map(call).collect()
}

/// Lets the sources stand for what their keys are, and each project be read with one key.
fn bind(sources: &mut Sources, owner: &Owner, asked: &Asked<'_>) {
    for (surface, sources) in sources.iter_mut() {
        for source in sources.iter_mut() {
            let standing = source.client.standing();
            let said = standing.project().map(str::to_string);
            for (name, value) in &mut source.values {
                // A key that is named after a project is held to it (`Client::of_project`).
                if name == "key.project" && !value.starts_with("proj_") {
                    let project = said.clone().or_else(|| owner.project(value).map(str::to_string));
                    *value = project.unwrap_or_else(|| value.clone());
                }
            }
            let organizations = match surface {
                Surface::Admin | Surface::Project => owner.organizations(),
                _ => standing.organization().map(str::to_string).into_iter().collect(),
            };
            let project = source.values.iter().find(|(name, _)| name == "key.project").map(|(_, value)| value.clone());
            standing.expect(Expected { organizations, project });
        }
        if *surface == Surface::Project {
            *sources = one_key_each(std::mem::take(sources), asked);
        }
    }
}

/// Of several keys of one project the first that answered.
fn one_key_each(sources: Vec<Source>, asked: &Asked<'_>) -> Vec<Source> {
    let mut kept: Vec<Source> = Vec::new();
    for source in sources {
        let Some(same) = kept.iter_mut().find(|kept| kept.values == source.values) else {
            kept.push(source);
            continue;
        };
        let better = source.client.standing().answered() && !same.client.standing().answered();
        let unused = if better { std::mem::replace(same, source) } else { source };
        note_unused(&unused, same, asked);
    }
    kept
}

fn note_unused(unused: &Source, used: &Source, asked: &Asked<'_>) {
    let name = |source: &Source| source.configured.first().map(|(_, name)| plain(name)).unwrap_or_default();
    let project = used.values.first().map(|(_, id)| plain(id)).unwrap_or_default();
    let text = format!(
        "the keys `{}` and `{}` of OPENAI_PROJECT_KEYS are of one project, {project}: it is read with the first",
        name(used),
        name(unused)
    );
    // Once, and not for each of forty tables.
    let track = tables(asked).find(|t| t.surface == Surface::Project).and_then(|t| asked.tracks.get(&t.name));
    track.inspect(|track| track.warn(text));
}
