//! An error of the store, in words and with a cure.
//!
//! A store answers in XML, with the request's signature in it: of that, people
//! are told the status, the code and the message.

use std::io::ErrorKind;

use object_store::Error as StoreError;

use crate::console::plain;
use crate::error::Error;

/// No credentials could be got for a request: what was tried, and what to do.
#[derive(Debug)]
pub(super) struct NoCredentials {
    message: String,
    hint: &'static str,
}

impl NoCredentials {
    #[cfg_attr(not(any(feature = "aws-profiles", feature = "google-federation")), expect(dead_code))]
    pub(super) fn new(message: String, hint: &'static str) -> NoCredentials {
        NoCredentials { message, hint }
    }
}

impl std::fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NoCredentials {}

/// `shown` is the destination as the user wrote it.
pub(super) fn storage(e: &StoreError, shown: &str) -> Error {
    let mut cause: &dyn std::error::Error = e;
    let (mut io, mut unspeakable) = (None, false);
    loop {
        if let Some(missing) = cause.downcast_ref::<NoCredentials>() {
            return Error::storage(format!("the destination {shown}: {missing}")).hint(missing.hint);
        }
        if cause.downcast_ref::<tokio::task::JoinError>().is_some_and(tokio::task::JoinError::is_panic) {
            return Error::internal();
        }
        unspeakable |= cause.is::<object_store::path::Error>();
        if let Some(e) = cause.downcast_ref::<std::io::Error>() {
            io = Some(e.kind());
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None => break,
        }
    }
    let said = cause.to_string();
    let hint = match unspeakable {
        true => "a file or folder has a name that cannot be asked for: rename or remove it",
        false => hint(e, io, &said, shown.contains("://")),
    };
    Error::storage(format!("the destination {shown}: {}", words(&said, &e.to_string()))).hint(hint)
}

fn hint(e: &StoreError, io: Option<ErrorKind>, said: &str, remote: bool) -> &'static str {
    const SAFE: &str = "nothing of the slice was changed; run again when the destination answers";
    if remote {
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        return match e {
            _ if has(&["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"]) => {
                "make the bucket (the container), or mend its name"
            }
            _ if has(&["URL scheme is not allowed"]) => {
                "an endpoint of plain http needs AWS_ALLOW_HTTP=true (AZURE_ALLOW_HTTP=true)"
            }
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
                "the store refused these credentials (AWS_*, GOOGLE_*, AZURE_*), or they may not do this there"
            }
            _ if has(&["Connection refused", "dns error", "failed to lookup address", "tunnel"]) => {
                "see whether the endpoint is right (AWS_ENDPOINT_URL, AZURE_STORAGE_ENDPOINT), and the proxy if HTTPS_PROXY names one, and run again; nothing of the slice was changed"
            }
            _ => SAFE,
        };
    }
    match (io, e) {
        (Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge), _) => {
            "the disk is full: free some space and run again; what was committed stays"
        }
        (Some(ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem), _)
        | (_, StoreError::PermissionDenied { .. }) => {
            "this user may not read or write that: give it the right to, or run as the user who owns it"
        }
        _ => SAFE,
    }
}

/// Of an answer in XML its code and message; anything else as one line. The outer
/// error names the endpoint of a connection that failed.
fn words(said: &str, outer: &str) -> String {
    let member = |name: &str| {
        let (_, rest) = said.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.trim())
    };
    if let Some(code) = member("Code") {
        let status = said.split(['<', '\n']).next().unwrap_or_default().trim_end_matches([':', ' ']);
        let status = status.rsplit("status code: ").next().unwrap_or(status);
        return plain(&format!("{status}: {code}: {}", member("Message").unwrap_or_default()));
    }
    let endpoint = outer.split_once("url (").and_then(|(_, rest)| rest.split_once([')', '?'])).map(|(url, _)| url);
    match endpoint.filter(|_| !said.contains("://")) {
        Some(url) => plain(&format!("{url}: {said}")),
        None => plain(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_are_told() {
        let xml = "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error>\
                   <Code>SignatureDoesNotMatch</Code><Message>No.</Message><AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>";
        assert_eq!(words(xml, ""), "403 Forbidden: SignatureDoesNotMatch: No.");
        assert_eq!(words("disk\nfull", ""), "disk full");
        assert_eq!(
            words(
                "Connection refused (os error 111)",
                "error sending request for url (http://127.0.0.1:1/b?x=1): client"
            ),
            "http://127.0.0.1:1/b: Connection refused (os error 111)"
        );
    }
}
