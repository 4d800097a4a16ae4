//! Opens the store of a URL: its address, the variables of its family, and the credentials that these lead to.
//!
//! Everything that can be wrong without a request is an error here, and one of whoever configures the program.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme};
use url::Url;

use super::aws;
use super::google;
use super::identity::Identity;
use super::variables::{Family, Variables};
use crate::console::plain;
use crate::error::{Error, Result};
use crate::secret::Secret;

const SHAPES: &str = "a destination is a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix";

/// A store, the path of the destination in it, and as whom requests are sent.
pub(super) struct Opened {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) root: Path,
    pub(super) identity: Identity,
}

/// Opens the store of `dest`. No request is sent.
pub(super) fn open(dest: &str) -> Result<Opened> {
    let url = address(dest)?;
    let unknown = || Error::usage(format!("the destination {dest} cannot be opened")).hint(SHAPES);
    let (scheme, root) = ObjectStoreScheme::parse(&url).map_err(|_| unknown())?;
    let read = |name: &str| std::env::var_os(name);
    let variables = |family| Variables::check(family, &read);
    let (store, identity) = match scheme {
        ObjectStoreScheme::AmazonS3 => s3(&url, dest, variables(Family::S3)?)?,
        ObjectStoreScheme::GoogleCloudStorage => gcs(&url, dest, variables(Family::Google)?)?,
        ObjectStoreScheme::MicrosoftAzure => azure(&url, dest, variables(Family::Azure)?)?,
        _ => return Err(unknown()),
    };
    Ok(Opened { store, root, identity })
}

/// The URL of a destination. One with a password is not repeated in the message.
fn address(dest: &str) -> Result<Url> {
    let shown = || if dest.contains('@') { String::new() } else { format!(" {dest}") };
    let url = Url::parse(dest)
        .map_err(|e| Error::usage(format!("the destination{} is not a URL: {e}", shown())).hint(SHAPES))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::usage("the URL of the destination holds a user name or a password")
            .hint("leave them out: credentials come from AWS_*, GOOGLE_* or AZURE_* variables"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::usage(format!("the destination {dest} holds a `?` or a `#`, which end the path of a URL"))
            .hint("write %3F for `?`, %23 for `#` and %25 for `%`"));
    }
    let own = !matches!(url.scheme(), "http" | "https");
    if own && url.port().is_some() {
        return Err(Error::usage(format!("the destination {dest} has a port, and a bucket has none"))
            .hint("the address of the store goes into AWS_ENDPOINT_URL (GOOGLE_BASE_URL, AZURE_STORAGE_ENDPOINT)"));
    }
    let bucket = url.host_str().unwrap_or_default();
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._$".contains(&b);
    if own && (bucket.is_empty() || !bucket.bytes().all(fits)) {
        return Err(Error::usage(format!("the destination {dest} does not name a bucket that can exist"))
            .hint("the name of a bucket or container has letters, digits, hyphens and dots"));
    }
    Ok(url)
}

type Built = (Arc<dyn ObjectStore>, Identity);

fn s3(url: &Url, dest: &str, variables: Variables) -> Result<Built> {
    let secret_missing = |there: &str, missing: &str| {
        Error::usage(format!("{there} is set, but {missing} is not"))
            .hint(format!("set {missing} too, or unset {there}"))
    };
    match (variables.get("AWS_ACCESS_KEY_ID"), variables.get("AWS_SECRET_ACCESS_KEY")) {
        (Some(_), None) => return Err(secret_missing("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
        (None, Some(_)) => return Err(secret_missing("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")),
        _ => {}
    }
    let mut builder = AmazonS3Builder::new().with_url(url.as_str());
    for (name, value) in variables.options() {
        if let Ok(key) = name.parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let (builder, identity) = aws::credentials(builder, &variables)?;
    let store = builder.build().map_err(|e| refused(&e, dest, &variables))?;
    Ok((Arc::new(store), identity))
}

fn gcs(url: &Url, dest: &str, variables: Variables) -> Result<Built> {
    let mut builder = GoogleCloudStorageBuilder::new().with_url(url.as_str());
    let (credentials, identity) = google::credentials(&variables)?;
    for (name, value) in variables.options() {
        if let Ok(key) = name.parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(credentials) = credentials {
        builder = builder.with_credentials(credentials);
    }
    let store = builder.build().map_err(|e| refused(&e, dest, &variables))?;
    Ok((Arc::new(store), identity))
}

fn azure(url: &Url, dest: &str, variables: Variables) -> Result<Built> {
    let mut builder = MicrosoftAzureBuilder::new().with_url(url.as_str());
    for (name, value) in variables.options() {
        if let Ok(key) = name.parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let account = builder.get_config_value(&AzureConfigKey::AccountName);
    let named = account.is_some() || url.scheme() != "az" || variables.is_on("AZURE_STORAGE_USE_EMULATOR");
    if !named {
        return Err(Error::usage("no Azure storage account is named").hint(
            "set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or another credential; a connection string is not read",
        ));
    }
    let identity = Identity::azure(account.as_deref(), &variables);
    let store = builder.build().map_err(|e| refused(&e, dest, &variables))?;
    Ok((Arc::new(store), identity))
}

/// What `object_store` says of a configuration, without the values of secrets.
fn refused(e: &object_store::Error, dest: &str, variables: &Variables) -> Error {
    let mut cause: &dyn std::error::Error = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let said = variables.secrets().fold(cause.to_string(), |said, secret| Secret::new(secret).hide_in(&said));
    Error::usage(format!("the destination {dest} cannot be opened: {}", plain(&said)))
        .hint("check the variables of this store (AWS_*, GOOGLE_*, AZURE_*) against docs/configuration.md, and the URL")
}
