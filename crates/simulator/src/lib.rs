//! A simulated organization behind a real HTTP server on loopback.
//!
//! It answers as the API's documents say, not as the table files of this program say:
//! its own routing table, its own paging, its own field lists, so that it can catch
//! their mistakes. `demo` shows the program on it, the tests prove the program against
//! it, and the official client library proves the simulation.
//!
//! Everything it tells is a function of a seed and of the day. What a day brings is
//! simulated by [`Simulator::mutate`]. Beside the API there is a control plane below
//! `/_sim`: the truth, the log of requests, faults (see `control`).
//!
//! One file per area, each with its part of the routing table: `identity`, `roles`,
//! `projects`, `limits`, `governance`, `audit`, `reports` (with `report`, `dimension`,
//! `ledger` and `money`), `fine_tuning`; what project keys list: `surface`, `surface_agents`;
//! the other host: `codex`, `chatgpt`, `chatgpt_people`, `logs` (with `log_files`). A new area
//! brings a file and a line in `route`. Records of the later areas are data: `collection`,
//! `sample` and `samples/`.

mod api;
mod audit;
mod chatgpt;
mod chatgpt_people;
mod codex;
mod codex_rows;
mod collection;
mod contents;
mod control;
mod dimension;
mod faults;
mod fine_tuning;
mod freshness;
mod governance;
mod identity;
mod ledger;
mod limits;
mod log_files;
mod logs;
mod money;
mod mutate;
mod mutate_surfaces;
mod options;
mod pages;
mod place;
mod projects;
mod query;
mod random;
mod refusal;
mod report;
mod reports;
mod roles;
mod route;
mod sample;
mod server;
mod surface;
mod surface_agents;
#[cfg(test)]
mod tests;
mod traffic;
mod truth;
mod world;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use options::{Behavior, Options};
use server::{Door, Shared};
use world::World;

/// A running simulation. It stops when dropped.
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: [JoinHandle<()>; 2],
}

impl Simulator {
    /// Builds the organization and serves it on loopback; port 0 takes any that is free.
    pub async fn start(options: Options, port: u16) -> io::Result<Simulator> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let downloads = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut world = World::new(options);
        world.downloads = format!("http://{}", downloads.local_addr()?);
        let shared = Arc::new(Shared::new(world));
        let accepting = [(listener, Door::Api), (downloads, Door::Downloads)]
            .map(|(listener, door)| tokio::spawn(accept(listener, door, Arc::clone(&shared))));
        Ok(Simulator { shared, address, accepting })
    }

    /// The API, as `OPENAI_BASE_URL` takes it.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The other host's API, as `CHATGPT_BASE_URL` takes it.
    pub fn chatgpt_base_url(&self) -> String {
        format!("http://{}/chatgpt/v1", self.address)
    }

    /// The control plane.
    pub fn control_url(&self) -> String {
        format!("http://{}/_sim", self.address)
    }

    pub fn admin_key(&self) -> &'static str {
        api::ADMIN_KEY
    }

    pub fn codex_key(&self) -> &'static str {
        api::CODEX_KEY
    }

    pub fn compliance_key(&self) -> &'static str {
        api::COMPLIANCE_KEY
    }

    /// The ChatGPT workspaces, which have the same keys.
    pub fn workspace_ids(&self) -> Vec<String> {
        self.shared.world().workspaces.to_vec()
    }

    pub fn organization_id(&self) -> &'static str {
        world::ORGANIZATION
    }

    /// The projects that have a key of their own, each with its key.
    pub fn project_keys(&self) -> Vec<(String, String)> {
        let world = self.shared.world();
        world
            .keyed_projects()
            .map(|project| world.project_id(project).to_owned())
            .map(|id| (id.clone(), format!("{}{id}", api::PROJECT_KEY_PREFIX)))
            .collect()
    }

    /// Lets a day happen; gives plain sentences of what changed.
    pub fn mutate(&self) -> Vec<String> {
        mutate::day(&mut self.shared.world_mut())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        for accepting in &self.accepting {
            accepting.abort();
        }
    }
}

/// The connections live in a set of their own, so that they end together with this task.
async fn accept(listener: TcpListener, door: Door, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, say: it passes, but not at once.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| server::serve(&shared, door, request));
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            // A client that goes away, or a fault that closes: nobody is left to tell.
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}
