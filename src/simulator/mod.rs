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
//! `ledger` and `money`), `fine_tuning`. A new area brings a file and a line in `route`.

mod api;
mod audit;
mod control;
mod dimension;
mod faults;
mod fine_tuning;
mod governance;
mod identity;
mod ledger;
mod limits;
mod money;
mod mutate;
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
mod server;
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

pub(crate) use options::{Behavior, Options};
use server::Shared;
use world::World;

/// A running simulation. It stops when dropped.
pub(crate) struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Simulator {
    /// Builds the organization and serves it on loopback; port 0 takes any that is free.
    pub(crate) async fn start(options: Options, port: u16) -> io::Result<Simulator> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(World::new(options)));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Simulator { shared, address, accepting })
    }

    /// The API, as `OPENAI_BASE_URL` takes it.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The control plane.
    pub(crate) fn control_url(&self) -> String {
        format!("http://{}/_sim", self.address)
    }

    pub(crate) fn admin_key(&self) -> &'static str {
        api::ADMIN_KEY
    }

    /// The projects that have something only a project key can read, with a key for each.
    pub(crate) fn project_keys(&self) -> Vec<(String, String)> {
        let world = self.shared.world();
        let projects = fine_tuning::TUNING_PROJECTS.into_iter();
        projects
            .map(|project| world.project_id(project).to_owned())
            .map(|id| (id.clone(), format!("{}{id}", api::PROJECT_KEY_PREFIX)))
            .collect()
    }

    /// Lets a day happen; gives plain sentences of what changed.
    pub(crate) fn mutate(&self) -> Vec<String> {
        mutate::day(&mut self.shared.world_mut())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The connections live in a set of their own, so that they end together with this task.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
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
            let service = service_fn(|request| server::serve(&shared, request));
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            // A client that goes away, or a fault that closes: nobody is left to tell.
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}
