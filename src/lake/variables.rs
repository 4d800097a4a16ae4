//! The environment variables of object stores: which ones are passed on, and what each may hold.
//!
//! `object_store` panics on a value that is no HTTP header or no URL, and reports other bad values without the
//! variable's name. So each variable has a form, and a value that does not have it is an error that names the
//! variable, before the first request. Blanks around a value are dropped: a secret made with `echo` ends with a
//! newline. A variable that is empty counts as unset, as it does for the tools of the stores.
//! Messages never repeat a value, because nobody knows what was pasted into it.
//!
//! An allow-list, not a prefix: `AWS_` has many variables that other tools read.

use std::ffi::OsString;
use std::path::Path;

use crate::error::{Error, Result};

/// The stores that variables belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    S3,
    Google,
    Azure,
}

/// What a variable may hold.
#[derive(Clone, Debug)]
enum Form {
    /// A key, id or token: visible ASCII without a space. It becomes a part of a header.
    Word,
    /// A secret that is never a part of a header: ASCII, spaces allowed.
    Phrase,
    /// A part of a host name or of a path.
    Label,
    /// `http://` or `https://` and a host.
    Url,
    /// The same, where a user name and a password are usual.
    Proxy,
    /// The path of an URL.
    UrlPath,
    /// A file that this process can read.
    File,
    Switch,
    OneOf(&'static [&'static str]),
    /// So many bytes in base64, or any number of them.
    Base64(Option<usize>),
    /// Pairs of a shared access signature.
    Pairs,
    Number(std::ops::RangeInclusive<u64>, &'static str),
    /// `30s`, `5 minutes`.
    Time,
    Pem,
    Json,
}

type Known = (&'static str, Form);

const SWITCHES: &[&str] = &["1", "true", "on", "yes", "y", "0", "false", "off", "no", "n"];

/// Of two names for one option the later one wins.
const S3: &[Known] = &[
    ("AWS_ACCESS_KEY_ID", Form::Word),
    ("AWS_SECRET_ACCESS_KEY", Form::Phrase),
    ("AWS_TOKEN", Form::Word),
    ("AWS_SESSION_TOKEN", Form::Word),
    ("AWS_DEFAULT_REGION", Form::Label),
    ("AWS_REGION", Form::Label),
    ("AWS_ENDPOINT", Form::Url),
    ("AWS_ENDPOINT_URL", Form::Url),
    ("AWS_ENDPOINT_URL_S3", Form::Url),
    ("AWS_ENDPOINT_URL_STS", Form::Url),
    ("AWS_METADATA_ENDPOINT", Form::Url),
    ("AWS_IMDSV1_FALLBACK", Form::Switch),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Form::UrlPath),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Form::Url),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Form::File),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", Form::File),
    ("AWS_ROLE_ARN", Form::Word),
    ("AWS_ROLE_SESSION_NAME", Form::Word),
    ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", Form::Switch),
    ("AWS_S3_EXPRESS", Form::Switch),
    ("AWS_UNSIGNED_PAYLOAD", Form::Switch),
    ("AWS_SKIP_SIGNATURE", Form::Switch),
    ("AWS_CHECKSUM_ALGORITHM", Form::OneOf(&["sha256", "crc64nvme"])),
    ("AWS_CONDITIONAL_PUT", Form::OneOf(&["etag", "disabled"])),
    ("AWS_DISABLE_TAGGING", Form::Switch),
    ("AWS_DISABLE_BULK_DELETE", Form::Switch),
    ("AWS_REQUEST_PAYER", Form::OneOf(&["requester", "true", "false"])),
    ("AWS_SERVER_SIDE_ENCRYPTION", Form::OneOf(&["AES256", "aws:kms", "aws:kms:dsse", "sse-c"])),
    ("AWS_SSE_KMS_KEY_ID", Form::Word),
    ("AWS_SSE_BUCKET_KEY_ENABLED", Form::Switch),
    ("AWS_SSE_CUSTOMER_KEY_BASE64", Form::Base64(Some(32))),
];

/// Read by the credential chain and not by `object_store`, so checked and not passed on.
const S3_CHECKED: &[Known] = &[
    ("AWS_PROFILE", Form::Phrase),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", Form::Phrase),
    ("AWS_EC2_METADATA_DISABLED", Form::Switch),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", Form::Url),
];

const GOOGLE: &[Known] = &[
    ("GOOGLE_SERVICE_ACCOUNT", Form::File),
    ("GOOGLE_SERVICE_ACCOUNT_PATH", Form::File),
    ("GOOGLE_SERVICE_ACCOUNT_KEY", Form::Json),
    ("GOOGLE_APPLICATION_CREDENTIALS", Form::File),
    ("GOOGLE_BASE_URL", Form::Url),
    ("GOOGLE_BEARER_TOKEN", Form::Word),
    ("GOOGLE_SKIP_SIGNATURE", Form::Switch),
];

const AZURE: &[Known] = &[
    ("AZURE_STORAGE_ACCOUNT_NAME", Form::Label),
    ("AZURE_STORAGE_MASTER_KEY", Form::Base64(None)),
    ("AZURE_STORAGE_ACCESS_KEY", Form::Base64(None)),
    ("AZURE_STORAGE_ACCOUNT_KEY", Form::Base64(None)),
    ("AZURE_STORAGE_CLIENT_ID", Form::Label),
    ("AZURE_CLIENT_ID", Form::Label),
    ("AZURE_STORAGE_CLIENT_SECRET", Form::Phrase),
    ("AZURE_CLIENT_SECRET", Form::Phrase),
    ("AZURE_STORAGE_TENANT_ID", Form::Label),
    ("AZURE_STORAGE_AUTHORITY_ID", Form::Label),
    ("AZURE_AUTHORITY_ID", Form::Label),
    ("AZURE_TENANT_ID", Form::Label),
    ("AZURE_STORAGE_AUTHORITY_HOST", Form::Url),
    ("AZURE_AUTHORITY_HOST", Form::Url),
    ("AZURE_STORAGE_SAS_TOKEN", Form::Pairs),
    ("AZURE_STORAGE_SAS_KEY", Form::Pairs),
    ("AZURE_STORAGE_TOKEN", Form::Word),
    ("AZURE_STORAGE_USE_EMULATOR", Form::Switch),
    ("AZURE_ENDPOINT", Form::Url),
    ("AZURE_STORAGE_ENDPOINT", Form::Url),
    ("AZURE_IDENTITY_ENDPOINT", Form::Url),
    ("AZURE_MSI_ENDPOINT", Form::Url),
    ("AZURE_OBJECT_ID", Form::Label),
    ("AZURE_MSI_RESOURCE_ID", Form::Word),
    ("AZURE_FEDERATED_TOKEN_FILE", Form::File),
    ("AZURE_USE_FABRIC_ENDPOINT", Form::Switch),
    ("AZURE_USE_AZURE_CLI", Form::Switch),
    ("AZURE_SKIP_SIGNATURE", Form::Switch),
    ("AZURE_DISABLE_TAGGING", Form::Switch),
    ("AZURE_FABRIC_TOKEN_SERVICE_URL", Form::Url),
    ("AZURE_FABRIC_WORKLOAD_HOST", Form::Url),
    ("AZURE_FABRIC_SESSION_TOKEN", Form::Word),
    ("AZURE_FABRIC_CLUSTER_IDENTIFIER", Form::Word),
    (
        "AZURE_CREDENTIAL_TYPE",
        Form::OneOf(&[
            "auto",
            "bearer_token",
            "access_key",
            "client_secret",
            "workload_identity",
            "sas_token",
            "azure_cli",
            "managed_identity",
        ]),
    ),
    ("AZURE_STORAGE_ENCRYPTION_KEY", Form::Base64(Some(32))),
];

/// Options of the HTTP client, below the prefix of each family.
const CLIENT: &[Known] = &[
    ("ALLOW_HTTP", Form::Switch),
    ("ALLOW_INVALID_CERTIFICATES", Form::Switch),
    ("DISABLE_SYSTEM_CERTIFICATES", Form::Switch),
    ("CONNECT_TIMEOUT", Form::Time),
    ("DEFAULT_CONTENT_TYPE", Form::Phrase),
    ("HTTP1_ONLY", Form::Switch),
    ("HTTP2_ONLY", Form::Switch),
    ("HTTP2_KEEP_ALIVE_INTERVAL", Form::Time),
    ("HTTP2_KEEP_ALIVE_TIMEOUT", Form::Time),
    ("HTTP2_KEEP_ALIVE_WHILE_IDLE", Form::Switch),
    ("HTTP2_MAX_FRAME_SIZE", Form::Number(16_384..=16_777_215, "16384 to 16777215")),
    ("POOL_IDLE_TIMEOUT", Form::Time),
    ("POOL_MAX_IDLE_PER_HOST", Form::Number(0..=1_000_000, "such as 16")),
    ("PROXY_URL", Form::Proxy),
    ("PROXY_CA_CERTIFICATE", Form::Pem),
    ("PROXY_EXCLUDES", Form::Phrase),
    ("RANDOMIZE_ADDRESSES", Form::Switch),
    ("READ_TIMEOUT", Form::Time),
    ("TIMEOUT", Form::Time),
    ("USER_AGENT", Form::Phrase),
];

/// The proxies of every program.
const PROXIES: &[&str] = &["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

impl Family {
    fn prefix(self) -> &'static str {
        match self {
            Family::S3 => "AWS_",
            Family::Google => "GOOGLE_",
            Family::Azure => "AZURE_",
        }
    }

    fn known(self) -> &'static [Known] {
        match self {
            Family::S3 => S3,
            Family::Google => GOOGLE,
            Family::Azure => AZURE,
        }
    }
}

/// The variables of one store, checked, in the order of the allow-list.
#[derive(Debug, Default)]
pub(super) struct Variables(Vec<(String, String)>);

impl Variables {
    /// Checks what `read` returns for each known variable. Errors name the variable, never its value.
    pub(super) fn check(family: Family, read: &dyn Fn(&str) -> Option<OsString>) -> Result<Variables> {
        let own = family.known().iter().map(|(name, form)| (name.to_string(), form));
        let client = CLIENT.iter().map(|(name, form)| (format!("{}{name}", family.prefix()), form));
        let mut variables = Variables::default();
        for (name, form) in own.chain(client) {
            if let Some(value) = checked(&name, form, read)? {
                variables.0.push((name, value));
            }
        }
        if family == Family::S3 {
            for (name, form) in S3_CHECKED {
                checked(name, form, read)?;
            }
        }
        for name in PROXIES {
            checked(name, &Form::Proxy, read)?;
        }
        variables.without_plain_http(family)
    }

    /// An endpoint of plain HTTP is an error without the switch that allows it.
    fn without_plain_http(self, family: Family) -> Result<Variables> {
        let switch = format!("{}ALLOW_HTTP", family.prefix());
        let plain =
            ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"];
        let plain = plain.iter().find(|name| self.get(name).is_some_and(|url| url.starts_with("http://")));
        match plain {
            Some(name) if !self.is_on(&switch) => Err(Error::usage(format!("{name} is an endpoint of plain http"))
                .hint(format!("use https, or set {switch}=true where the network may see what is sent"))),
            _ => Ok(self),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The first of some variables that is set, with its name.
    pub(super) fn first<'a>(&self, names: &[&'a str]) -> Option<(&'a str, &str)> {
        names.iter().find_map(|name| Some((*name, self.get(name)?)))
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| SWITCHES[..5].iter().any(|on| value.eq_ignore_ascii_case(on)))
    }

    /// As `object_store` names its options.
    pub(super) fn options(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
    }

    /// The values that no message may show.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let telling = ["KEY", "SECRET", "TOKEN", "SAS", "PROXY", "ACCOUNT"];
        let is_secret = move |name: &str| telling.iter().any(|t| name.contains(t)) && !name.ends_with("_NAME");
        self.0.iter().filter(move |(name, _)| is_secret(name)).map(|(_, value)| value.as_str())
    }
}

/// The value of a variable without blanks around it. `None` if unset or empty.
fn checked(name: &str, form: &Form, read: &dyn Fn(&str) -> Option<OsString>) -> Result<Option<String>> {
    let Some(value) = read(name) else { return Ok(None) };
    let wrong = |what: &str, hint: &str| Error::usage(format!("{name} {what}")).hint(hint.to_string());
    let Ok(value) = value.into_string() else {
        return Err(wrong("is not UTF-8", "check how it was copied"));
    };
    let value = value.trim();
    if value.is_empty() {
        return Ok(None);
    }
    let quoted = |quote: char| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    if quoted('"') || quoted('\'') {
        return Err(wrong(
            "is in quotes",
            "leave them out: `docker --env-file` and YAML blocks keep them as a part of it",
        ));
    }
    match why_not(value, form) {
        None => Ok(Some(value.to_string())),
        Some((what, hint)) => Err(wrong(what, &hint)),
    }
}

/// What is wrong with a value, and what to do; `None` if it has its form.
fn why_not(value: &str, form: &Form) -> Option<(&'static str, String)> {
    let no = |what, hint: &str| Some((what, hint.to_string()));
    let multi_line = matches!(form, Form::Pem | Form::Json);
    if !multi_line && value.chars().any(char::is_control) {
        return no("has a line break or another control character inside", "write it on one line");
    }
    if !multi_line && !matches!(form, Form::File) && !value.is_ascii() {
        return no(
            "has a character that is not ASCII",
            "check how it was copied: some programs replace hyphens, or add characters that cannot be seen",
        );
    }
    let spaceless = matches!(
        form,
        Form::Word | Form::Label | Form::Url | Form::Proxy | Form::UrlPath | Form::Base64(_) | Form::Pairs
    );
    if spaceless && value.contains(char::is_whitespace) {
        return no("has a space inside", "it is one word: check how it was copied");
    }
    match form {
        Form::Word | Form::Phrase => None,
        Form::Label if value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) => None,
        Form::Label => no("has a character that it cannot have", "it has letters, digits and hyphens"),
        Form::Url => url_fault(value, false),
        Form::Proxy => url_fault(value, true),
        Form::UrlPath if value.starts_with('/') && is_url(&format!("http://host{value}")) => None,
        Form::UrlPath => no("is not the path of a URL", "it begins with a slash"),
        Form::File => file_fault(value),
        Form::Switch if SWITCHES.iter().any(|s| value.eq_ignore_ascii_case(s)) => None,
        Form::Switch => no("is neither true nor false", "write true or false"),
        Form::OneOf(values) if values.iter().any(|v| value.eq_ignore_ascii_case(v)) => None,
        Form::OneOf(values) => Some(("has a value that is not known", format!("one of {}", values.join(", ")))),
        Form::Base64(bytes) => match base64_len(value) {
            Some(len) if bytes.is_none_or(|wanted| wanted == len) => None,
            Some(_) => no("does not hold 32 bytes", "it is a 256-bit key in base64"),
            None => no("is not base64", "copy the key again, whole, with the `=` at its end"),
        },
        Form::Pairs if value.trim_start_matches('?').split('&').all(|p| p.trim().is_empty() || p.contains('=')) => None,
        Form::Pairs => no("is not a shared access signature", "it looks like sv=…&sig=…: copy it again, whole"),
        Form::Number(range, hint) => match value.parse::<u64>() {
            Ok(number) if range.contains(&number) => None,
            _ => no("is not a number that it can have", hint),
        },
        Form::Time if is_time(value) => None,
        Form::Time => no("is not a length of time", "such as 30s or 5m"),
        Form::Pem if value.contains("-----BEGIN ") && value.contains("-----END ") => None,
        Form::Pem => no("is not a certificate in PEM", "it begins with -----BEGIN CERTIFICATE-----"),
        Form::Json => match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(value) {
            Ok(_) => None,
            Err(_) => no(
                "is not a JSON object",
                "give it the text of the key file; its path goes into GOOGLE_SERVICE_ACCOUNT",
            ),
        },
    }
}

/// Checks the endpoint of a store that is no variable's value.
pub(super) fn check_endpoint(url: &str, plain: bool) -> Result<()> {
    match why_not(url, &Form::Url) {
        Some((what, hint)) => Err(Error::usage(what).hint(hint)),
        None if !plain && url.starts_with("http://") => Err(Error::usage("is an endpoint of plain http")
            .hint("use https, or set AWS_ALLOW_HTTP=true where the network may see what is sent")),
        None => Ok(()),
    }
}

fn is_url(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok() && url::Url::parse(text).is_ok()
}

fn url_fault(value: &str, proxy: bool) -> Option<(&'static str, String)> {
    let no = |what, hint: &str| Some((what, hint.to_string()));
    let lower = value.to_ascii_lowercase();
    let schemes: &[&str] = if proxy { &["http://", "https://", "socks"] } else { &["http://", "https://"] };
    let known = schemes.iter().any(|scheme| lower.starts_with(scheme));
    if !known && (!proxy || value.contains("://")) {
        return no("is not an http:// or https:// URL", "write the scheme too, such as http://host:9000");
    }
    let whole = if known { value.to_string() } else { format!("http://{value}") };
    let Ok(url) = url::Url::parse(&whole) else {
        return no("is not a URL", "such as https://host:9000");
    };
    if !is_url(&whole) || url.host_str().is_none_or(|host| host.is_empty() || host.contains(['%', '*'])) {
        return no("is not a URL", "such as https://host:9000");
    }
    if proxy {
        let named =
            known || url.port().is_some() || whole[7..].contains(['.', '[']) || url.host_str() == Some("localhost");
        return if named { None } else { no("is not the URL of a proxy", "such as http://proxy.example:3128") };
    }
    if !url.username().is_empty() || url.password().is_some() {
        return no("holds a user name or a password", "leave them out: the store has variables for its credentials");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return no("holds a `?` or a `#`", "write the URL of the endpoint only");
    }
    None
}

fn file_fault(value: &str) -> Option<(&'static str, String)> {
    let no = |what, hint: &str| Some((what, hint.to_string()));
    if value.starts_with(['{', '-']) {
        return no(
            "holds the credential itself",
            "it takes the path of a file; GOOGLE_SERVICE_ACCOUNT_KEY takes the JSON of a service account",
        );
    }
    match std::fs::File::open(Path::new(value)).and_then(|file| file.metadata()) {
        Ok(meta) if meta.is_dir() => no("names a folder", "give it the path of a file"),
        Ok(_) => None,
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            no("names a file that this user may not read", "let this user read it, or name another one")
        }
        Err(_) => no("names a file that is not there", "give it the path of a file that this process can read"),
    }
}

/// The length of what base64 text holds; `None` if it is no base64.
fn base64_len(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    let known = digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    (known && !digits.is_empty() && padding <= 2 && text.len().is_multiple_of(4)).then_some(digits.len() * 3 / 4)
}

fn is_time(text: &str) -> bool {
    const UNITS: &[&str] =
        &["ms", "s", "sec", "secs", "second", "seconds", "m", "min", "mins", "minute", "minutes", "h", "hour", "hours"];
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    (1..=9).contains(&digits) && UNITS.contains(&text[digits..].trim())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all() -> Vec<(Family, String)> {
        [Family::S3, Family::Google, Family::Azure]
            .into_iter()
            .flat_map(|family| {
                let own = family.known().iter().map(|(name, _)| name.to_string());
                own.chain(CLIENT.iter().map(move |(name, _)| format!("{}{name}", family.prefix())))
                    .map(move |n| (family, n))
            })
            .collect()
    }

    /// The library must know every name of the list: one that it ignores would be a setting without effect.
    #[test]
    fn the_library_knows_each_name_of_the_list() {
        for (family, name) in all() {
            let name = name.to_ascii_lowercase();
            let known = match family {
                Family::S3 => name.parse::<object_store::aws::AmazonS3ConfigKey>().is_ok(),
                Family::Google => name.parse::<object_store::gcp::GoogleConfigKey>().is_ok(),
                Family::Azure => name.parse::<object_store::azure::AzureConfigKey>().is_ok(),
            };
            assert!(known, "{name}");
        }
    }

    #[test]
    fn values_have_forms() {
        let base64 = |text| base64_len(text);
        assert_eq!(
            (base64("QUJD"), base64("QUI="), base64("QQ=="), base64("QUJ"), base64("")),
            (Some(3), Some(2), Some(1), None, None)
        );
        assert!(
            is_time("30s")
                && is_time("5 minutes")
                && is_time("100ms")
                && !is_time("s")
                && !is_time("5")
                && !is_time("-1s")
        );
        for (url, good) in [
            ("http://minio:9000", true),
            ("https://host/path", true),
            ("minio:9000", false),
            ("http://", false),
            ("http://user:pass@host", false),
            ("ftp://host", false),
            ("http://host:99999", false),
            ("//host", false),
            ("http://[::1]:9000", true),
            ("http://ho st", false),
            ("http://host?x=1", false),
            ("http://*", false),
        ] {
            assert_eq!(why_not(url, &Form::Url).is_none(), good, "{url}");
        }
        for (proxy, good) in [
            ("garbage", false),
            ("proxy:3128", true),
            ("http://u:p@proxy:3128", true),
            ("10.0.0.1", true),
            (":::", false),
        ] {
            assert_eq!(why_not(proxy, &Form::Proxy).is_none(), good, "{proxy}");
        }
    }

    proptest! {
        /// Whatever a variable holds: it is passed on as an HTTP header and a URL take it, or an error names it.
        #[test]
        fn any_value_is_fit_for_the_library_or_an_error(
            at in any::<prop::sample::Index>(),
            value in prop_oneof![".{0,12}", "[ -~]{0,20}", "https?://.{0,10}", "[\\x00-\\x7f]{1,9}"],
        ) {
            let names = all();
            let (family, name) = &names[at.index(names.len())];
            let read = |asked: &str| (asked == name).then(|| OsString::from(&value));
            match Variables::check(*family, &read) {
                Ok(variables) => {
                    if let Some(passed) = variables.get(name) {
                        let whole = passed.contains("-----BEGIN") || passed.starts_with('{');
                        prop_assert!(whole || http::HeaderValue::from_str(passed).is_ok() || value.trim().is_ascii());
                        prop_assert_eq!(passed, value.trim());
                    } else {
                        prop_assert!(value.trim().is_empty());
                    }
                }
                Err(error) => {
                    prop_assert!(error.to_string().contains(name.as_str()), "{}", error);
                    prop_assert!(error.cure().is_some());
                }
            }
        }
    }
}
