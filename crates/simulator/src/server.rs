//! The HTTP side: from a request to the answer's bytes, and the connection faults.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};

use super::api::{self, Answered, Asking};
use super::control;
use super::faults::{Fault, Faults};
use super::logs;
use super::random::Chance;
use super::traffic::{Asked, Traffic};
use super::world::{ORGANIZATION, World};

/// What all connections share.
pub(super) struct Shared {
    world: RwLock<World>,
    pub(super) traffic: Mutex<Traffic>,
    pub(super) faults: Mutex<Faults>,
}

impl Shared {
    pub(super) fn new(world: World) -> Shared {
        Shared { world: RwLock::new(world), traffic: Mutex::default(), faults: Mutex::default() }
    }

    pub(super) fn world(&self) -> RwLockReadGuard<'_, World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn world_mut(&self) -> RwLockWriteGuard<'_, World> {
        self.world.write().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which port a request came in by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Door {
    Api,
    /// Where signed addresses lead.
    Downloads,
}

/// Answers one request. An error closes the connection.
pub(super) async fn serve(shared: &Shared, door: Door, request: Request<Incoming>) -> io::Result<Response<Text>> {
    let path = request.uri().path().to_owned();
    if door == Door::Api && path.starts_with("/_sim") {
        let method = request.method().as_str().to_owned();
        let body = request.into_body().collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        return Ok(plain(control::answer(shared, &method, &path, &body)));
    }
    let (parts, body) = request.into_parts();
    // Read to its end, so that the connection can go on to the next request.
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    lock(&shared.traffic).begin();
    let started = Instant::now();
    let fault = lock(&shared.faults).due(&path);
    let delay = fault.as_ref().map_or(0, |fault| fault.delay_ms);
    let delay = delay + shared.world().behavior.latency_ms;
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let token = parts.headers.get(AUTHORIZATION);
    let token = token.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let query = parts.uri.query().unwrap_or("");
    let answered = match &fault {
        Some(fault) if fault.close && fault.truncate.is_none() => None,
        Some(Fault { status: Some(status), .. }) => Some(Answered::new(*status, String::new())),
        _ if door == Door::Downloads => {
            let authorized = parts.headers.contains_key(AUTHORIZATION);
            Some(logs::download(&shared.world(), &path, query, authorized))
        }
        _ => {
            let beta = parts.headers.get("openai-beta").and_then(|value| value.to_str().ok());
            let asking = Asking {
                method: parts.method.as_str(),
                path: &path,
                query,
                token,
                beta: beta.unwrap_or(""),
                body: &body,
            };
            Some(api::answer(shared, asking))
        }
    };
    let status = answered.as_ref().map_or(0, |answered| answered.status);
    lock(&shared.traffic).end(Asked {
        method: parts.method.to_string(),
        path: path.clone(),
        query: query.to_owned(),
        status,
        key: token.unwrap_or("").to_owned(),
    });
    let answered = answered.ok_or_else(|| io::Error::other("closed on purpose"))?;
    Ok(respond(answered, fault, started))
}

fn plain(answered: Answered) -> Response<Text> {
    let mut response = Response::new(Text::whole(answered.body));
    set_status(&mut response, answered.status);
    set(&mut response, "content-type", "application/json");
    response
}

/// Puts the headers of the API around an answer, and does to it what a fault orders.
fn respond(answered: Answered, fault: Option<Fault>, started: Instant) -> Response<Text> {
    let headers = answered.headers.clone();
    let mut response = plain(answered);
    let elapsed = started.elapsed();
    let request_id = Chance::new(elapsed.as_nanos() as u64).id("req_", 32);
    set(&mut response, "x-request-id", &request_id);
    set(&mut response, "openai-organization", ORGANIZATION);
    set(&mut response, "openai-version", "2020-10-01");
    let milliseconds = elapsed.as_millis().to_string();
    set(&mut response, "openai-processing-ms", &milliseconds);
    for (name, value) in &headers {
        set(&mut response, name, value);
    }
    let Some(fault) = fault else {
        return response;
    };
    for (name, value) in &fault.headers {
        set(&mut response, name, value);
    }
    if let Some(body) = fault.body {
        *response.body_mut() = Text::whole(body);
    }
    if let Some(bytes) = fault.truncate {
        cut(&mut response, bytes, fault.close);
    }
    response
}

/// Sends only the beginning of the body: as if that were all, or as a transfer that breaks off.
fn cut(response: &mut Response<Text>, bytes: usize, breaks_off: bool) {
    let whole = response.body().left.len();
    if breaks_off {
        let length = HeaderValue::from(whole);
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    let body = response.body_mut();
    body.left.truncate(bytes);
    body.breaks_off = breaks_off && bytes < whole;
}

fn set_status(response: &mut Response<Text>, status: u16) {
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
}

fn set(response: &mut Response<Text>, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
        response.headers_mut().insert(name, value);
    }
}

/// A body that is there in one piece, and may break off behind it.
pub(super) struct Text {
    left: Bytes,
    breaks_off: bool,
    flushed: bool,
}

impl Text {
    fn whole(text: String) -> Text {
        Text { left: Bytes::from(text), breaks_off: false, flushed: false }
    }
}

impl Body for Text {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let left = std::mem::take(&mut self.left);
        if !left.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(left))));
        }
        if !self.breaks_off {
            return Poll::Ready(None);
        }
        if !self.flushed {
            // One turn of waiting: what was sent so far goes out before the connection breaks.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::Error::other("broken off on purpose"))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && !self.breaks_off
    }

    fn size_hint(&self) -> SizeHint {
        if self.breaks_off {
            return SizeHint::default();
        }
        SizeHint::with_exact(self.left.len() as u64)
    }
}
