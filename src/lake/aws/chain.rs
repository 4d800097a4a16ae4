//! Credentials from profiles, web identity, the container or the machine, as AWS's library finds them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::{StaticConfiguration, WebIdentityTokenCredentialsProvider};
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

use super::super::trouble::NoCredentials;
use super::super::variables::Variables;
use super::{fit, http};
use crate::console::plain;
use crate::error::{Error, Result};

/// Credentials are asked for again so long before they end.
const EARLY: Duration = Duration::from_secs(300);
/// As for `object_store`.
const USUAL_REGION: &str = "us-east-1";

/// Where credentials come from, and what the profile says beside them.
#[derive(Debug)]
pub(super) struct Chain {
    provider: SharedCredentialsProvider,
    profile: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
    held: Mutex<Option<Credentials>>,
}

impl Chain {
    /// Reads the profile files. No request is sent.
    pub(super) fn load(variables: &Variables) -> Result<Chain> {
        let failed = |e: std::io::Error| Error::usage(format!("no threads could be started: {e}"));
        // The library reads files in async functions; a destination is opened in plain ones.
        let loading = std::thread::scope(|scope| {
            let work = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
                runtime.block_on(Chain::read(variables))
            };
            scope.spawn(work).join()
        });
        loading.unwrap_or_else(|_| Err(Error::internal()))
    }

    async fn read(variables: &Variables) -> Result<Chain> {
        let profile = std::env::var("AWS_PROFILE").ok().map(|name| name.trim().to_string()).filter(|n| !n.is_empty());
        let files = settings(profile.as_deref()).await?;
        let region = variables.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]).map(|(_, region)| region.to_string());
        let region = region.or_else(|| files.region().map(ToString::to_string));
        let config = http::config()?.with_region(Some(Region::new(region.clone().unwrap_or(USUAL_REGION.to_string()))));
        Ok(Chain {
            provider: provider(&config, profile.as_deref(), variables)?,
            endpoint: files.endpoint_url().map(str::to_string),
            profile,
            region,
            held: Mutex::default(),
        })
    }

    pub(super) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    pub(super) fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    pub(super) fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The credentials, as long as they are good, and else new ones.
    pub(super) async fn current(&self) -> std::result::Result<Credentials, NoCredentials> {
        let mut held = self.held.lock().await;
        let is_good = |c: &Credentials, early: Duration| c.expiry().is_none_or(|end| end > SystemTime::now() + early);
        if let Some(credentials) = held.as_ref().filter(|c| is_good(c, EARLY)) {
            return Ok(credentials.clone());
        }
        match self.provider.provide_credentials().await {
            Ok(new) => {
                fit(new.access_key_id(), new.secret_access_key(), new.session_token())
                    .map_err(|e| NoCredentials::new(e.to_string(), "see what the profile or its program gives"))?;
                Ok(held.insert(new).clone())
            }
            Err(error) => match held.as_ref().filter(|c| is_good(c, Duration::ZERO)) {
                Some(old) => Ok(old.clone()),
                None => Err(self.missing(&error)),
            },
        }
    }

    /// What was tried, and what to do.
    fn missing(&self, error: &CredentialsError) -> NoCredentials {
        let none = matches!(error, CredentialsError::CredentialsNotLoaded(_));
        match (&self.profile, none) {
            (Some(profile), true) => NoCredentials::new(
                format!("the AWS profile `{}` gives no credentials{}", plain(profile), said(error)),
                "write the profile into ~/.aws/config or ~/.aws/credentials, or unset AWS_PROFILE",
            ),
            (Some(profile), false) => NoCredentials::new(
                format!("the AWS profile `{}` gives no credentials{}", plain(profile), said(error)),
                "see whether `aws sts get-caller-identity` works with it; a profile of SSO needs `aws sso login` first",
            ),
            (None, _) => NoCredentials::new(
                format!(
                    "no AWS credentials were found: not in AWS_ACCESS_KEY_ID, the profile files, \
                     AWS_WEB_IDENTITY_TOKEN_FILE, the container or the metadata service of this machine{}",
                    if none { String::new() } else { said(error) }
                ),
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile of ~/.aws/config",
            ),
        }
    }
}

/// The region and endpoint of the profile.
async fn settings(profile: Option<&str>) -> Result<aws_config::SdkConfig> {
    let region = aws_config::profile::region::Builder::default();
    let region = profile.into_iter().fold(region, |region, name| region.profile_name(name)).build();
    // Without a region the library would ask the machine for one, and wait.
    let region = RegionProviderChain::first_try(region).or_else(Region::new(USUAL_REGION));
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http::client()?).no_credentials();
    let loader = loader.region(region);
    let loader = profile.into_iter().fold(loader, |loader, name| loader.profile_name(name));
    Ok(loader.load().await)
}

fn provider(
    config: &ProviderConfig,
    profile: Option<&str>,
    variables: &Variables,
) -> Result<SharedCredentialsProvider> {
    let profiles = ProfileFileCredentialsProvider::builder().configure(config);
    if let Some(name) = profile {
        return Ok(SharedCredentialsProvider::new(profiles.profile_name(name).build()));
    }
    let mut chain = CredentialsProviderChain::first_try("profile", profiles.build());
    let web = (variables.get("AWS_WEB_IDENTITY_TOKEN_FILE"), variables.get("AWS_ROLE_ARN"));
    if let (Some(file), Some(role)) = web {
        let session = variables.get("AWS_ROLE_SESSION_NAME").unwrap_or("openai-elt");
        let given = StaticConfiguration {
            web_identity_token_file: file.into(),
            role_arn: role.to_string(),
            session_name: session.to_string(),
        };
        let web = WebIdentityTokenCredentialsProvider::builder().configure(config).static_configuration(given);
        chain = chain.or_else("web identity", web.build());
    }
    chain = chain.or_else("container", EcsCredentialsProvider::builder().configure(config).build());
    // Off the machines of AWS nobody answers there: one attempt, of a second.
    let mut metadata = imds::Client::builder().configure(config).max_attempts(1);
    if let Some(endpoint) = variables.get("AWS_METADATA_ENDPOINT") {
        metadata = metadata.endpoint(endpoint).map_err(|_| Error::usage("AWS_METADATA_ENDPOINT is not a URL"))?;
    }
    let machine = ImdsCredentialsProvider::builder().configure(config).imds_client(metadata.build());
    Ok(SharedCredentialsProvider::new(chain.or_else("machine", machine.build())))
}

/// The causes of an error, the innermost last. The library shows no secret in them.
fn said(error: &CredentialsError) -> String {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !causes.contains(&text) {
            causes.push(text);
        }
        cause = inner.source();
    }
    match causes.is_empty() {
        true => String::new(),
        false => format!(": {}", plain(&causes.join(": "))),
    }
}

impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    fn get_credential<'life0, 'async_trait>(
        &'life0 self,
    ) -> Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let failed = |e: NoCredentials| object_store::Error::Generic { store: "S3", source: Box::new(e) };
            let credentials = self.current().await.map_err(failed)?;
            Ok(Arc::new(AwsCredential {
                key_id: credentials.access_key_id().to_string(),
                secret_key: credentials.secret_access_key().to_string(),
                token: credentials.session_token().map(str::to_string),
            }))
        })
    }
}
