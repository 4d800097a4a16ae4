//! Google credentials: which file or variable gives them, whether it can be used, and whose they are.
//!
//! `object_store` reads keys of service accounts and of users. Workload and workforce identity federation and
//! impersonation come from Google's own library, behind the feature `google-federation`; a kind that nobody reads is
//! an error before the first request. What a file holds is never repeated in a message.

use std::path::Path;

use object_store::gcp::GcpCredentialProvider;
use serde_json::{Map, Value};

use super::identity::Identity;
use super::variables::{Variables, check_endpoint};
use crate::console::plain;
use crate::error::{Error, Result};

/// Where `gcloud auth application-default login` writes, below the home folder.
const USUAL: &str = ".config/gcloud/application_default_credentials.json";
const SERVICE_ACCOUNT: &[&str] = &["client_email", "private_key", "private_key_id"];
const USER: &[&str] = &["client_id", "client_secret", "refresh_token"];

/// The credentials that `object_store` would not find, and whose those are that requests are sent with.
pub(super) fn credentials(variables: &Variables) -> Result<(Option<GcpCredentialProvider>, Identity)> {
    let known = |words: String| Ok((None, Identity::Known(words)));
    if variables.is_on("GOOGLE_SKIP_SIGNATURE") {
        return known("nobody: requests are not signed (GOOGLE_SKIP_SIGNATURE)".to_string());
    }
    if variables.get("GOOGLE_BEARER_TOKEN").is_some() {
        return known("the bearer token of GOOGLE_BEARER_TOKEN".to_string());
    }
    let file = variables.first(&["GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT"]);
    match (file, variables.first(&["GOOGLE_SERVICE_ACCOUNT_KEY"])) {
        (Some((path, _)), Some((key, _))) => {
            return Err(Error::usage(format!("both {path} and {key} are set")).hint("set one of them"));
        }
        (Some((name, path)), None) => return known(service_account(name, &read(name, Path::new(path))?)?),
        (None, Some((name, text))) => return known(service_account(name, &object(name, text)?)?),
        (None, None) => {}
    }
    if let Some((name, path)) = variables.first(&["GOOGLE_APPLICATION_CREDENTIALS"]) {
        return of_kind(name, read(name, Path::new(path))?);
    }
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(USUAL)).filter(|path| path.exists());
    match home {
        Some(path) => of_kind(&path.display().to_string(), read(&path.display().to_string(), &path)?),
        None => known("the service account of this machine".to_string()),
    }
}

fn read(place: &str, path: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::usage(format!("{place}: the file cannot be read: {}", super::reason(&e))))?;
    object(place, &text)
}

fn object(place: &str, text: &str) -> Result<Map<String, Value>> {
    serde_json::from_str(text).map_err(|e| {
        // The library's own words would repeat a part of the text.
        Error::usage(format!("{place}: not a JSON object (line {}, column {})", e.line(), e.column()))
            .hint("it is a key file of a service account, or what `gcloud iam workload-identity-pools create-cred-config` wrote")
    })
}

/// By the file's `type`.
fn of_kind(place: &str, file: Map<String, Value>) -> Result<(Option<GcpCredentialProvider>, Identity)> {
    let kind = file.get("type").and_then(Value::as_str).unwrap_or_default().to_string();
    match kind.as_str() {
        "service_account" => Ok((None, Identity::Known(service_account(place, &file)?))),
        "authorized_user" => {
            needs(place, &file, USER)?;
            let account = file.get("account").and_then(Value::as_str).filter(|a| !a.is_empty());
            let words = format!("the user {} of {place}", plain(account.unwrap_or("who signed in with gcloud")));
            Ok((None, Identity::Known(words)))
        }
        "external_account" | "impersonated_service_account" | "external_account_authorized_user" => {
            federated(place, &kind, file)
        }
        "" => Err(Error::usage(format!("{place}: the file has no `type`")).hint(
            "it is a key file of a service account, or what `gcloud iam workload-identity-pools create-cred-config` wrote",
        )),
        other => Err(Error::usage(format!("{place}: credentials of the type `{}` are not supported", plain(other)))
            .hint("supported are service_account, authorized_user, external_account, impersonated_service_account and external_account_authorized_user")),
    }
}

fn service_account(place: &str, file: &Map<String, Value>) -> Result<String> {
    let kind = file.get("type").and_then(Value::as_str);
    if let Some(other) = kind.filter(|kind| *kind != "service_account") {
        return Err(Error::usage(format!(
            "{place}: this is no key of a service account but of the type `{}`",
            plain(other)
        ))
        .hint("give that file to GOOGLE_APPLICATION_CREDENTIALS"));
    }
    needs(place, file, SERVICE_ACCOUNT)?;
    if let Some(url) = file.get("gcs_base_url").and_then(Value::as_str) {
        check_endpoint(url, true).map_err(|e| e.at(format!("{place}: gcs_base_url")))?;
    }
    let unsigned = file.get("disable_oauth").and_then(Value::as_bool) == Some(true);
    let key = file.get("private_key").and_then(Value::as_str).unwrap_or_default();
    let is_pem = key.contains("-----BEGIN ") && key.contains("-----END ");
    if !unsigned && !is_pem {
        return Err(Error::usage(format!("{place}: its `private_key` is no key in PEM"))
            .hint("make a new key of the service account, and give its file as it is"));
    }
    let email = file.get("client_email").and_then(Value::as_str).unwrap_or_default();
    Ok(format!("the service account {} of {place}", plain(email)))
}

fn needs(place: &str, file: &Map<String, Value>, members: &[&str]) -> Result<()> {
    match members.iter().find(|name| !file.get(**name).is_some_and(Value::is_string)) {
        Some(name) => Err(Error::usage(format!("{place}: the file has no `{name}`"))
            .hint("give the file as Google's tools wrote it, whole")),
        None => Ok(()),
    }
}

#[cfg(feature = "google-federation")]
fn federated(place: &str, kind: &str, file: Map<String, Value>) -> Result<(Option<GcpCredentialProvider>, Identity)> {
    federation::credentials(place, kind, file)
}

#[cfg(not(feature = "google-federation"))]
fn federated(place: &str, kind: &str, _: Map<String, Value>) -> Result<(Option<GcpCredentialProvider>, Identity)> {
    Err(Error::usage(format!("{place}: credentials of the type `{kind}` are not supported by this build")).hint(
        "use a build with the feature google-federation, or a token of your own in GOOGLE_BEARER_TOKEN (`gcloud auth print-access-token`)",
    ))
}

#[cfg(feature = "google-federation")]
mod federation {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::time::Duration;

    use google_cloud_auth::credentials::{
        AccessTokenCredentials, external_account, external_account_authorized_user, impersonated,
    };
    use object_store::CredentialProvider;
    use object_store::gcp::GcpCredential;

    use super::super::trouble::NoCredentials;
    use super::*;

    const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";
    /// The library tries again for as long as it likes; nobody waits longer than this for a token.
    const LONGEST: Duration = Duration::from_secs(30);

    pub(super) fn credentials(
        place: &str,
        kind: &str,
        file: Map<String, Value>,
    ) -> Result<(Option<GcpCredentialProvider>, Identity)> {
        let of = |name: &str| file.get(name).and_then(Value::as_str).map(plain);
        let impersonated = of("service_account_impersonation_url").and_then(|url| {
            let (_, rest) = url.split_once("serviceAccounts/")?;
            Some(rest.split(':').next().unwrap_or(rest).to_string())
        });
        let words = match (impersonated, of("audience")) {
            (Some(account), _) => format!("the service account {account}, impersonated by {place}"),
            (None, Some(audience)) => format!("the federated identity of {audience} by {place}"),
            (None, None) => format!("the identity of {place}"),
        };
        let value = Value::Object(file);
        let built = match kind {
            "external_account" => {
                external_account::Builder::new(value).with_scopes([SCOPE]).build_access_token_credentials()
            }
            "impersonated_service_account" => {
                impersonated::Builder::new(value).with_scopes([SCOPE]).build_access_token_credentials()
            }
            // Its scopes are those that the user granted.
            _ => external_account_authorized_user::Builder::new(value).build_access_token_credentials(),
        };
        let token = built.map_err(|_| {
            Error::usage(format!("{place}: the file is not a complete one of the type `{kind}`"))
                .hint("let `gcloud` write it again (`gcloud iam workload-identity-pools create-cred-config`), and give it as it is")
        })?;
        let provider = Federated { token, place: place.to_string() };
        Ok((Some(Arc::new(provider)), Identity::Known(words)))
    }

    /// Tokens of Google's library, which keeps them until they end.
    #[derive(Debug)]
    struct Federated {
        token: AccessTokenCredentials,
        place: String,
    }

    impl Federated {
        async fn bearer(&self) -> std::result::Result<String, NoCredentials> {
            const HINT: &str = "see whether the token of the workload is there and its provider is the one of the pool; `gcloud auth application-default print-access-token` tries the same file";
            let none =
                |why: String| NoCredentials::new(format!("{}: no Google token could be got: {why}", self.place), HINT);
            match tokio::time::timeout(LONGEST, self.token.access_token()).await {
                Err(_) => Err(none("no answer in 30 s".to_string())),
                Ok(Err(error)) => Err(none(causes(&error))),
                Ok(Ok(token)) if token.token.bytes().all(|b| b.is_ascii_graphic()) => Ok(token.token),
                Ok(Ok(_)) => Err(none("the token holds a blank or another character that no token has".to_string())),
            }
        }
    }

    fn causes(error: &dyn std::error::Error) -> String {
        let mut said = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            said = format!("{said}: {inner}");
            cause = inner.source();
        }
        plain(&said)
    }

    impl CredentialProvider for Federated {
        type Credential = GcpCredential;

        fn get_credential<'life0, 'async_trait>(
            &'life0 self,
        ) -> Pin<Box<dyn Future<Output = object_store::Result<Arc<GcpCredential>>> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async move {
                let failed = |e: NoCredentials| object_store::Error::Generic { store: "GCS", source: Box::new(e) };
                self.bearer().await.map(|bearer| Arc::new(GcpCredential { bearer })).map_err(failed)
            })
        }
    }
}
