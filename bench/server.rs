//! Serves the three sets on loopback, made before the first request and paged as the API pages them.
//!
//! `cd bench && cargo run --release --bin bench-server -- --scale 1 users usage audit`
//! prints one JSON line with its address and the sizes of the sets, and serves
//! until its standard input closes.

mod pages;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pages::{Asked, Set};
use tokio::net::{TcpListener, TcpStream};

type Sets = BTreeMap<String, Set>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let mut scale = 1.0;
    if let Some(at) = names.iter().position(|n| n == "--scale") {
        scale = names.get(at + 1).ok_or("--scale needs a number")?.parse()?;
        names.drain(at..at + 2);
    }
    let mut sets = Sets::new();
    for name in names {
        let set = Set::new(&name, scale).ok_or_else(|| format!("{name}: there are users, usage and audit"))?;
        sets.insert(name, set);
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let bytes: BTreeMap<&str, usize> = sets.iter().map(|(name, set)| (name.as_str(), set.text.len())).collect();
    let told = serde_json::json!({"base_url": format!("http://{}/v1", listener.local_addr()?), "bytes": bytes});
    writeln!(std::io::stdout(), "{told}")?;
    let sets = Arc::new(sets);
    let (closed, mut over) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = closed.send(());
    });
    loop {
        tokio::select! {
            connection = listener.accept() => {
                tokio::spawn(converse(connection?.0, Arc::clone(&sets)));
            }
            _ = &mut over => return Ok(()),
        }
    }
}

async fn converse(connection: TcpStream, sets: Arc<Sets>) {
    let _ = connection.set_nodelay(true);
    let answer = |request: Request<hyper::body::Incoming>| {
        let answer = answer(&sets, request.uri());
        async move { Ok::<_, Infallible>(answer) }
    };
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service_fn(answer));
    let _ = served.await;
}

fn answer(sets: &Sets, uri: &hyper::Uri) -> Response<Full<Bytes>> {
    let name = match uri.path() {
        "/v1/organization/users" => "users",
        "/v1/organization/usage/completions" => "usage",
        "/v1/organization/audit_logs" => "audit",
        _ => "",
    };
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).into_owned().collect();
    let get = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let second = |names: [&str; 2]| names.iter().find_map(|n| get(n)).and_then(|value| value.parse().ok());
    let asked = Asked {
        since: second(["start_time", "effective_at[gte]"]),
        until: second(["end_time", "effective_at[lt]"]),
        after: get("after").or_else(|| get("page")),
        limit: get("limit").and_then(|n| n.parse().ok()).unwrap_or(20),
    };
    // The second pass of the audit log: this organization has no events of its tenant.
    let nothing = get("tenant_only") == Some("true");
    let page = sets.get(name).and_then(|set| match nothing {
        true => set.page(&Asked { limit: 0, until: Some(0), ..asked }),
        false => set.page(&asked),
    });
    let status = if page.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let text = page.unwrap_or_else(|| "{\"error\":{\"message\":\"no such list or page\"}}".to_string());
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}
