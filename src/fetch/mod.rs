//! One request: it authenticates, waits its turn, retries, and gives the body's text.
//!
//! A [`Client`] is one surface's host and key. The key is sent to that host
//! only: redirects are never followed. Bodies are limited to [`MAX_BODY`].

pub(crate) mod budget;
mod call;
mod clock;
pub(crate) mod cure;
mod early;
mod file;
mod list;
mod pace;
mod page;
mod reason;
mod room;
mod unpack;
mod verdict;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::Utc;
use reqwest::Response;

use crate::console::plain;
use crate::error::{Error, Kind, Refusal, Result};
use crate::report::counted;
use crate::schema::{Method, Surface};
use crate::secret::Secret;
use crate::tls;
use budget::{Budget, Permit};
pub(crate) use call::Call;
pub(crate) use clock::{Clock, agrees, corrected};
use cure::cure;
use early::{Early, Standing};
pub(crate) use early::{Expected, Word, is_organization_id};
pub(crate) use file::{Content, FileRef, Trust};
pub(crate) use list::{Enough, List};
pub(crate) use page::Chain;
use reason::Said;
use room::Share;
pub(crate) use room::Text;
use verdict::told;
pub(crate) use verdict::{Verdict, verdict};

/// No documented answer comes near it; a body without end does.
pub(crate) const MAX_BODY: usize = 256 << 20;

/// Refusals for the rate limit that one request may collect. They are not
/// failures: other requests of the same key used the budget up.
const MOST_REFUSALS: u32 = 50;

/// The API may ask for a pause of hours (a daily quota); then the run ends and says so.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// How often to try, and how long to wait in between; plain data, so that tests make it tiny.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    pub(crate) attempts: u32,
    pub(crate) backoff: Duration,
    pub(crate) timeout: Duration,
}

/// What the requests of one table cost.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// The largest answer: what one page may take of the memory.
    pub(crate) largest: AtomicU64,
}

pub(crate) struct Client {
    surface: Surface,
    http: reqwest::Client,
    /// For signed addresses of log files: gives the bytes as they came, which is what size and hash may be of.
    raw: reqwest::Client,
    /// Without a slash at its end: a path is put behind it.
    base: reqwest::Url,
    key: Secret,
    budget: Arc<Budget>,
    retry: Retry,
    /// The project that the key is said to be of; the API's header may know better.
    project: Option<String>,
    /// The first refusal that is of the key (a 401, no quota): the other requests would only repeat it.
    denied: OnceLock<Error>,
    /// The clock of the host, shared with the other clients of it.
    clock: Arc<Clock>,
    /// What the responses' headers tell of the key.
    standing: Standing,
    early: Early,
}

/// A good answer: its body, or for a file the signed address that it is at.
enum Answer {
    Body(Vec<u8>, Share),
    Elsewhere(String),
}

/// How one attempt ended.
enum Attempt {
    Done(Answer),
    Again { wait: Option<Duration>, limited: bool, error: Error },
    Fail(Error),
}

impl Client {
    /// `most` is the highest number of requests in flight.
    pub(crate) fn new(surface: Surface, base: &str, key: Secret, most: usize, retry: Retry) -> Result<Client> {
        let base = base.trim_end_matches('/');
        let base = reqwest::Url::parse(base).map_err(|e| Error::usage(format!("{base} is not a URL: {e}")))?;
        // A proxy would get the key of a plain connection in the clear; over https it only passes it on.
        let plain = base.scheme() == "http";
        let failed = |e: &dyn std::error::Error| Error::usage(format!("the HTTP client could not be set up: {e}"));
        let tls = tls::config(&["h2", "http/1.1"]).map_err(|e| failed(&e))?;
        let client = |gzip: bool| {
            let builder = reqwest::Client::builder().tls_backend_preconfigured(tls.clone()).gzip(gzip);
            if plain { builder.no_proxy() } else { builder }
                .user_agent(concat!("openai-elt/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(retry.timeout.min(Duration::from_secs(10)))
                .read_timeout(retry.timeout)
                .pool_idle_timeout(Duration::from_secs(60))
                .build()
                .map_err(|e| failed(&e))
        };
        Ok(Client {
            surface,
            http: client(true)?,
            raw: client(false)?,
            base,
            key,
            budget: Budget::new(most),
            retry,
            project: None,
            denied: OnceLock::new(),
            clock: Arc::new(Clock::new()),
            standing: Standing::default(),
            early: Early::default(),
        })
    }

    /// Shares the clock of a host with its other clients.
    pub(crate) fn with_clock(self, clock: Arc<Clock>) -> Client {
        Client { clock, ..self }
    }

    pub(crate) fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// Holds the key to the project that it was named after.
    pub(crate) fn of_project(mut self, project: Option<&str>) -> Client {
        self.project = project.filter(|p| p.starts_with("proj_")).map(str::to_string);
        self
    }

    /// A key under the wrong name would file one project's rows as another's.
    fn misnamed(&self, said: Option<&str>) -> Option<Error> {
        let (named, said) = (self.project.as_deref()?, said?);
        let wrong = said.starts_with("proj_") && said != named;
        wrong.then(|| {
            Error::new(Kind::WrongKey, format!("the key named {named} belongs to {}", plain(said)))
                .hint("correct the name of this key in OPENAI_PROJECT_KEYS")
        })
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The body of the answer, after as many attempts as it takes.
    pub(crate) async fn send(&self, call: &Call, meter: &Meter) -> Result<Text> {
        match self.answer(call, meter).await? {
            Answer::Body(body, share) => Ok(Text::new(text(body, "answer")?, share)),
            Answer::Elsewhere(_) => Err(Error::contract(format!("{} answered a redirect", call.path))),
        }
    }

    async fn answer(&self, call: &Call, meter: &Meter) -> Result<Answer> {
        let (mut failures, mut refusals) = (0, 0);
        loop {
            let early = match self.early.take(call) {
                Some(early) => early.await.map_err(|e| Error::of_task(&e))?,
                None => None,
            };
            let attempt = match early {
                Some(attempt) => attempt,
                None => self.try_once(call, meter).await?,
            };
            let (wait, limited, error) = match attempt {
                Attempt::Done(answer) => return Ok(answer),
                Attempt::Fail(error) => {
                    self.note_denial(&error);
                    return Err(error);
                }
                Attempt::Again { wait, limited, error } => (wait, limited, error),
            };
            let tries = if limited { &mut refusals } else { &mut failures };
            *tries += 1;
            let most = if limited { MOST_REFUSALS } else { self.retry.attempts };
            if *tries >= most {
                self.note_denial(&error);
                return Err(error
                    .at(format!("after {}", counted(u64::from(most), "attempt")))
                    .hint(cure(self.surface, Kind::Unavailable)));
            }
            if wait.is_some_and(|w| w > LONGEST_WAIT) {
                let asked = wait.unwrap_or_default().as_secs();
                return Err(error
                    .at(format!("the API asks to wait {asked} s"))
                    .hint(cure(self.surface, Kind::Unavailable)));
            }
            meter.retries.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(path = %call.path, %error, wait = ?wait, "asking again");
            // A refusal for the rate limit without a word holds everybody in the budget.
            if let Some(wait) = wait.or_else(|| (!limited).then(|| self.backoff(*tries))) {
                tokio::time::sleep(wait).await;
            }
        }
    }

    /// One attempt, in its turn.
    async fn try_once(&self, call: &Call, meter: &Meter) -> Result<Attempt> {
        self.check_denial()?;
        let permit = self.budget.acquire().await;
        // It may have come while this request waited.
        self.check_denial()?;
        meter.requests.fetch_add(1, Ordering::Relaxed);
        Ok(self.attempt(call, permit, meter).await)
    }

    fn check_denial(&self) -> Result<()> {
        self.denied.get().map_or(Ok(()), |denied| Err(denied.clone()))
    }

    fn note_denial(&self, error: &Error) {
        let of_key = error.refusal.as_ref().map_or(error.kind == Kind::WrongKey, |refusal| refusal.of_key);
        if of_key {
            let _ = self.denied.set(error.clone());
        }
    }

    /// Exponential with full jitter: each failure doubles the longest pause.
    fn backoff(&self, tries: u32) -> Duration {
        let longest = self.retry.backoff.saturating_mul(1 << tries.min(10)).min(Duration::from_secs(60));
        let random = RandomState::new().build_hasher().finish();
        longest.mul_f64(random as f64 / u64::MAX as f64)
    }

    async fn attempt(&self, call: &Call, permit: Permit, meter: &Meter) -> Attempt {
        let request = match self.request(call) {
            Ok(request) => request,
            Err(error) => return Attempt::Fail(error),
        };
        let response = match self.http.execute(request).await {
            Ok(response) => response,
            Err(e) => return self.broken(call, &e),
        };
        let status = response.status().as_u16();
        tracing::trace!(path = %call.path, status, "answer");
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        // A 5xx can be that of a machine on the way, with a clock of its own.
        if status < 500 {
            self.clock.observe(header);
        }
        let (verdict, limit) = (verdict(status, header, Utc::now()), told(header));
        let (organization, project) = (header("openai-organization"), header("openai-project"));
        self.standing.note(organization, project, verdict == Verdict::Done);
        let contradicted = || self.standing.contradicted(self.surface, organization, project);
        if let Some(error) = self.misnamed(project).or_else(contradicted) {
            return Attempt::Fail(error);
        }
        if let (true, 300..=399, Some(location)) = (call.is_file, status, header("location")) {
            permit.succeeded(limit);
            return Attempt::Done(Answer::Elsewhere(location.to_string()));
        }
        let (body, mut share) = match body(response).await {
            Ok(whole) => whole,
            Err(Broken::Gone(error)) => return Attempt::Fail(error),
            Err(Broken::TooLarge) => {
                let error = Error::contract(format!("{}: the answer is larger than {} MiB", call.path, MAX_BODY >> 20));
                return Attempt::Fail(error.hint("nothing of it was written; if it stays so, report it"));
            }
            Err(Broken::Cut(e)) => return self.broken(call, &e),
        };
        meter.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        // A file's bytes are unpacked by those who know whether it is one of lines.
        let body = match call.is_file {
            true => body,
            false => match unpack::unpack(body, &mut share, |_| {}).await {
                Ok(body) => body,
                Err(error) if error.kind == Kind::Unavailable => {
                    let error = error.at(call.path.clone());
                    return Attempt::Again { wait: None, limited: false, error };
                }
                Err(error) => return Attempt::Fail(error.at(call.path.clone())),
            },
        };
        meter.largest.fetch_max(body.len() as u64, Ordering::Relaxed);
        match verdict {
            Verdict::Done => {
                permit.succeeded(limit);
                Attempt::Done(Answer::Body(body, share))
            }
            Verdict::Fail(kind) => Attempt::Fail(refusal(self.surface, &self.key, &call.path, status, kind, &body)),
            Verdict::Again { wait, limited, kind } => {
                let error = refusal(self.surface, &self.key, &call.path, status, kind, &body);
                // The body says that it will not pass.
                if error.kind == Kind::Refused {
                    return Attempt::Fail(error);
                }
                let pause = wait.unwrap_or_else(|| self.backoff(3).max(self.retry.backoff));
                // A longer pause ends this request, and the others are not held up for it.
                if limited && pause <= LONGEST_WAIT {
                    permit.refused(pause);
                }
                Attempt::Again { wait, limited, error }
            }
        }
    }

    fn request(&self, call: &Call) -> Result<reqwest::Request> {
        let method = match call.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), call.path));
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request =
            self.http.request(method, url).bearer_auth(self.key.expose()).header("accept", "application/json");
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &call.body {
            let text = serde_json::Value::Object(body.clone()).to_string();
            request = request.header("content-type", "application/json").body(text);
        }
        request.build().map_err(|e| Error::usage(format!("{}: {e}", call.path)))
    }

    /// No answer, or half of one.
    fn broken(&self, call: &Call, e: &reqwest::Error) -> Attempt {
        let what = match e {
            e if e.is_connect() => "could not connect",
            e if e.is_timeout() => "no answer in time",
            _ => "the connection broke",
        };
        let mut cause: &dyn std::error::Error = e;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let error = Error::new(
            Kind::Unavailable,
            format!("{} of {}: {what}: {}", call.path, self.host(), plain(&cause.to_string())),
        );
        match tls::is_distrust(cause) {
            true => Attempt::Fail(error.hint(
                "give this machine the authority that vouches for the server (its package of CA certificates, or a file named in SSL_CERT_FILE)",
            )),
            false => Attempt::Again { wait: None, limited: false, error },
        }
    }

    fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
    }
}

/// A status that means no, with what the API says about it. `kind` is what the status alone means.
pub(crate) fn refusal(surface: Surface, key: &Secret, path: &str, status: u16, kind: Kind, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(body);
    let told = Said::read(&text);
    let verdict = reason::verdict(surface, status, &told, kind);
    let safe = |text: &str| plain(&key.hide_in(&plain(text)));
    let said =
        told.message.clone().or_else(|| invalid(&text)).unwrap_or_else(|| match text.trim_start().starts_with('<') {
            true => "an HTML page instead of JSON".to_string(),
            false => text.trim().to_string(),
        });
    let said = safe(&said);
    let code = told.shown().map(safe).filter(|code| !said.contains(code.as_str()));
    let mut message = format!("{path} answered {status}");
    if let Some(code) = code {
        message.push_str(&format!(" (`{code}`)"));
    }
    if kind == Kind::Refused && verdict.kind == kind && !verdict.of_key {
        message.push_str(" with `x-should-retry: false`");
    }
    if !said.is_empty() {
        message.push_str(&format!(": {said}"));
    }
    let refusal = Refusal { status, code: told.code, text: said, of_key: verdict.of_key };
    Error::new(verdict.kind, message).hint(verdict.hint).refused(refusal)
}

/// Whether nobody on the way can read along: https, or this machine itself.
pub(crate) fn is_private(url: &url::Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

/// What a 422 says is wrong, member by member: `start_time: cannot be …; limit: …`.
fn invalid(body: &str) -> Option<String> {
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    let complaint = |detail: &serde_json::Value| {
        let place = detail.get("loc")?.as_array()?.last()?;
        let place = place.as_str().map_or_else(|| place.to_string(), str::to_string);
        Some(format!("{place}: {}", detail.get("msg")?.as_str()?))
    };
    let complaints: Vec<String> = body.get("detail")?.as_array()?.iter().filter_map(complaint).collect();
    (!complaints.is_empty()).then(|| complaints.join("; "))
}

/// The text without a byte order mark, which a reader of JSON may overlook.
fn text(mut body: Vec<u8>, what: &str) -> Result<String> {
    if body.starts_with("\u{feff}".as_bytes()) {
        body.drain(..'\u{feff}'.len_utf8());
    }
    String::from_utf8(body).map_err(|e| {
        Error::contract(format!("the {what} is not UTF-8 at byte {}", e.utf8_error().valid_up_to()))
            .hint("something between here and the API changed it; nothing was written")
    })
}

enum Broken {
    TooLarge,
    Cut(reqwest::Error),
    Gone(Error),
}

/// The body, with the room that it takes in memory.
async fn body(mut response: Response) -> std::result::Result<(Vec<u8>, Share), Broken> {
    let announced = response.content_length().unwrap_or(0);
    if announced > MAX_BODY as u64 {
        return Err(Broken::TooLarge);
    }
    let mut share = Share::default();
    share.fit(announced as usize).await.map_err(Broken::Gone)?;
    let mut body = Vec::with_capacity(announced as usize);
    while let Some(chunk) = response.chunk().await.map_err(Broken::Cut)? {
        let size = body.len() + chunk.len();
        if size > MAX_BODY {
            return Err(Broken::TooLarge);
        }
        share.fit(size).await.map_err(Broken::Gone)?;
        body.extend_from_slice(&chunk);
    }
    Ok((body, share))
}
