//! One file: asked for with the key, fetched without it, checked.
//!
//! The API answers with a redirect to a signed address on another host. That
//! host must not get the key, so the redirect is taken by hand. A signed address
//! is short-lived: each attempt asks for a new one. A file of lines may come
//! compressed, whatever its headers say; an attachment's bytes stay as they are.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{Answer, Call, Client, MAX_BODY, Meter, Share, is_private, unpack};
use crate::decode::json;
use crate::error::{Error, Kind, Result};
use crate::report::counted;
use crate::schema::{Files, Pointer};

/// A file as the list tells of it.
#[derive(Clone, Debug)]
pub(crate) struct FileRef {
    pub(crate) id: String,
    /// When it was closed, as the API wrote it.
    pub(crate) time: String,
    pub(crate) path: String,
    pub(crate) size: Option<u64>,
    pub(crate) sha256: Option<String>,
}

impl FileRef {
    /// `None` if the list gave no time that can be read.
    pub(crate) fn closed_at(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(&self.time).ok().map(|time| time.to_utc())
    }

    /// Reads one record of the list.
    pub(crate) fn read<'a>(files: &Files, record: &'a str, bound: impl Fn(&str) -> Option<&'a str>) -> Result<FileRef> {
        let at = |pointer: &Pointer| text(record, pointer);
        let need =
            |pointer: &Pointer| at(pointer).ok_or_else(|| Error::contract(format!("a file without `{pointer}`")));
        let id = need(&files.id)?;
        let names: Vec<(String, String)> = files
            .path
            .names()
            .filter(|name| bound(name).is_none())
            .filter_map(|name| Some((name.to_string(), at(&Pointer(vec![name.to_string()]))?)))
            .collect();
        let member = |name: &str| names.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let path = files.path.fill(|name| bound(name).or_else(|| member(name))).map_err(Error::contract)?;
        Ok(FileRef {
            time: need(&files.time)?,
            size: files.size.as_ref().and_then(at).and_then(|t| t.parse().ok()),
            sha256: files.sha256.as_ref().and_then(at).filter(|hash| !hash.is_empty()),
            id,
            path,
        })
    }

    /// What shows that these bytes are the file: its hash, else its size, where the list gives them.
    /// Errors if they are other ones.
    fn check(&self, bytes: &[u8]) -> Result<Trust> {
        let wrong = |what: String| Error::new(Kind::Unavailable, format!("the file is not what the list says: {what}"));
        if let Some(size) = self.size.filter(|s| *s != bytes.len() as u64) {
            return Err(wrong(format!("{} bytes instead of {size}", bytes.len())));
        }
        let Some(expected) = &self.sha256 else { return Ok(self.size.map_or(Trust::Nothing, |_| Trust::Size)) };
        let hash: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        match hash.eq_ignore_ascii_case(expected) {
            true => Ok(Trust::Hash),
            false => Err(wrong("its sha256 differs".to_string())),
        }
    }
}

/// What shows that a download is the file that the list names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The list gives neither size nor hash: anything could have come.
    Nothing,
    Size,
    Hash,
}

/// The lines of a downloaded file.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) text: String,
    /// Lines that are not UTF-8, in order; they are empty in the text.
    pub(crate) broken: Vec<Error>,
    pub(crate) trust: Trust,
}

impl Content {
    fn new(bytes: Vec<u8>, trust: Trust) -> Content {
        let (text, broken) = lines_of(bytes);
        Content { text, broken, trust }
    }

    /// Whether it is no file of lines at all, without a look at its records: a page of a portal
    /// or proxy, or nothing. Such answers are often gone a moment later.
    fn is_foreign(&self) -> Option<&'static str> {
        match self.text.trim_start().as_bytes().first() {
            None if self.broken.is_empty() => Some("nothing came instead of the file"),
            Some(b'<') => Some("a page of HTML or XML came instead of the file"),
            _ => None,
        }
    }
}

/// The text of a file. A line that is not UTF-8 is left out, and the others are kept.
fn lines_of(bytes: Vec<u8>) -> (String, Vec<Error>) {
    let (mut text, mut broken) = match String::from_utf8(bytes) {
        Ok(text) => (text, Vec::new()),
        Err(e) => valid_lines(e.as_bytes()),
    };
    // One stands at the beginning, or at each place where files with one were joined.
    if text.contains(BYTE_ORDER_MARK) {
        let joined = text.replace(&format!("\n{BYTE_ORDER_MARK}"), "\n");
        text = joined.strip_prefix(BYTE_ORDER_MARK).map(str::to_string).unwrap_or(joined);
    }
    let more = broken.len().saturating_sub(NAMED_LINES);
    if more > 0 {
        broken.truncate(NAMED_LINES);
        broken.push(Error::contract(format!("{more} more lines that are not UTF-8")));
    }
    (text, broken)
}

fn valid_lines(bytes: &[u8]) -> (String, Vec<Error>) {
    let (mut text, mut broken) = (String::with_capacity(bytes.len()), Vec::new());
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match std::str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(e) => {
                let what = format!("not UTF-8 at byte {} of the line", e.valid_up_to());
                broken.push(Error::contract(what).at(format!("line {}", index + 1)));
                // Line numbers stay as they are in the file.
                text.push('\n');
            }
        }
    }
    (text, broken)
}

const BYTE_ORDER_MARK: char = '\u{feff}';
/// Lines that are not UTF-8, as far as they are named one by one.
const NAMED_LINES: usize = 10;

/// A file on its way.
pub(crate) enum Download {
    Whole(Option<Bytes>),
    Parts { response: reqwest::Response, host: String },
}

impl Download {
    /// The next part; none at the end.
    pub(crate) async fn part(&mut self, meter: &Meter) -> Result<Option<Bytes>> {
        match self {
            Download::Whole(bytes) => Ok(bytes.take()),
            Download::Parts { response, host } => {
                let part = response.chunk().await.map_err(|_| unavailable(format!("{host} sent half of it")))?;
                meter.bytes.fetch_add(part.as_ref().map_or(0, Bytes::len) as u64, Ordering::Relaxed);
                Ok(part)
            }
        }
    }
}

fn unavailable(what: String) -> Error {
    Error::new(Kind::Unavailable, format!("the file's signed address: {what}"))
}

impl Client {
    /// The lines of a file of a list, after as many attempts as it takes to get it whole.
    pub(crate) async fn download(&self, file: &FileRef, meter: &Meter) -> Result<Content> {
        let call = Call::file(file.path.clone(), Vec::new());
        self.persist(meter, || self.whole_file(&call, file, meter)).await
    }

    /// Does something about a file again and again, while there is hope.
    pub(crate) async fn persist<T, F: Future<Output = Result<T>>>(
        &self,
        meter: &Meter,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        let mut tries = 0;
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) if error.kind != Kind::Unavailable => return Err(error),
                Err(error) => error,
            };
            tries += 1;
            if tries >= self.retry.attempts {
                return Err(error.at(format!("after {}", counted(u64::from(tries), "attempt"))));
            }
            meter.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.backoff(tries)).await;
        }
    }

    async fn whole_file(&self, call: &Call, file: &FileRef, meter: &Meter) -> Result<Content> {
        let mut download = self.open_with(&self.raw, call, meter).await?;
        let mut bytes = Vec::new();
        // Given back at the end, unlike a page's: files of one list are taken in order, and one that
        // waited for the one before while it held the room could wait for ever.
        let mut share = Share::default();
        while let Some(part) = download.part(meter).await? {
            if bytes.len() + part.len() > MAX_BODY {
                return Err(Error::contract(format!("the file is larger than {} MiB", MAX_BODY >> 20)));
            }
            share.fit(bytes.len() + part.len()).await?;
            bytes.extend_from_slice(&part);
        }
        // Size and hash may be those of the packed bytes, or those of the lines.
        let mut checked = file.check(&bytes);
        let layer = |bytes: &[u8]| {
            if checked.is_err() {
                checked = file.check(bytes);
            }
        };
        let bytes = unpack::unpack(bytes, &mut share, layer).await.map_err(|e| e.at("the file"))?;
        let content = Content::new(bytes, checked?);
        match content.is_foreign().filter(|_| content.trust == Trust::Nothing) {
            Some(what) => Err(Error::new(Kind::Unavailable, what)),
            None => Ok(content),
        }
    }

    /// Asks for a file; what comes may be as large as it likes.
    pub(crate) async fn open(&self, call: &Call, meter: &Meter) -> Result<Download> {
        self.open_with(&self.http, call, meter).await
    }

    async fn open_with(&self, signed: &reqwest::Client, call: &Call, meter: &Meter) -> Result<Download> {
        match self.answer(call, meter).await? {
            Answer::Body(body, _) => Ok(Download::Whole(Some(body.into()))),
            Answer::Elsewhere(location) => self.signed(signed, &location).await,
        }
    }

    /// Fetches a signed address, without the key. Its query is a credential too:
    /// no message shows it.
    async fn signed(&self, client: &reqwest::Client, location: &str) -> Result<Download> {
        let url = reqwest::Url::parse(location).map_err(|e| unavailable(format!("not a URL: {e}")))?;
        if !is_private(&url) {
            return Err(Error::contract(
                "the file's signed address is plain http, and the file would be readable on its way",
            ));
        }
        let host = url.host_str().unwrap_or_default().to_string();
        let request = client.get(url).header("accept-encoding", "gzip");
        let response = request.send().await.map_err(|_| unavailable(format!("{host} did not answer")))?;
        let status = response.status();
        if !status.is_success() {
            return Err(unavailable(format!("{host} answered {}", status.as_u16())));
        }
        Ok(Download::Parts { response, host })
    }
}

fn text(record: &str, pointer: &Pointer) -> Option<String> {
    let value = json::pointer(record, &pointer.0).ok().flatten()?;
    match json::Kind::of(value) {
        json::Kind::String => {
            json::read(json::inner(value)).filter(|(_, replaced)| !replaced).map(|(text, _)| text.into_owned())
        }
        json::Kind::Number => Some(value.to_string()),
        _ => None,
    }
}
