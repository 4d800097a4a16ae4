//! The name of an AWS identity: by STS where it can be asked, else by the access key.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;

use super::chain::Chain;
use super::http;
use crate::lake::identity::masked;
use crate::lake::variables::Variables;

/// An AWS identity, and how to ask for its name.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    source: Source,
    region: String,
    /// Whether there is an STS to ask: a store that is not of AWS has its own users.
    asks: bool,
}

#[derive(Clone, Debug)]
enum Source {
    Keys(String, Box<Credentials>),
    Chain(Arc<Chain>),
}

impl Who {
    /// The keys of the variables.
    pub(super) fn of_keys(shown: String, variables: &Variables) -> Who {
        let of = |name: &str| variables.get(name).map(str::to_string);
        let id = of("AWS_ACCESS_KEY_ID").unwrap_or_default();
        let secret = of("AWS_SECRET_ACCESS_KEY").unwrap_or_default();
        let token = of("AWS_SESSION_TOKEN").or_else(|| of("AWS_TOKEN"));
        let credentials = Credentials::new(id, secret, token, None, "variables");
        Who::new(Source::Keys(shown, Box::new(credentials)), None, None, variables)
    }

    pub(super) fn of_chain(chain: Arc<Chain>, variables: &Variables) -> Who {
        let (region, endpoint) = (chain.region().map(str::to_string), chain.endpoint().map(str::to_string));
        Who::new(Source::Chain(chain), region, endpoint, variables)
    }

    fn new(source: Source, region: Option<String>, endpoint: Option<String>, variables: &Variables) -> Who {
        let named = variables.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]).map(|(_, region)| region.to_string());
        let own = variables.first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]).is_some();
        Who {
            source,
            region: named.or(region).unwrap_or_else(|| "us-east-1".to_string()),
            asks: variables.get("AWS_ENDPOINT_URL_STS").is_some() || !(own || endpoint.is_some()),
        }
    }

    /// The ARN, if STS says it, and which credential that is. `None` if there are no credentials.
    pub(in crate::lake) async fn words(&self) -> Option<String> {
        let (shown, credentials) = match &self.source {
            Source::Keys(shown, credentials) => (shown.clone(), Credentials::clone(credentials)),
            Source::Chain(chain) => match chain.current().await {
                Err(_) => return None,
                Ok(credentials) => {
                    let of = match chain.profile() {
                        Some(profile) => format!("the profile `{profile}`"),
                        None => "the default credentials".to_string(),
                    };
                    (format!("access key {} of {of}", masked(credentials.access_key_id())), credentials)
                }
            },
        };
        Some(match self.arn(credentials).await {
            Some(arn) => format!("{arn}, with {shown}"),
            None => shown,
        })
    }

    async fn arn(&self, credentials: Credentials) -> Option<String> {
        if !self.asks {
            return None;
        }
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http::client().ok()?)
            .timeout_config(http::timeouts())
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(credentials));
        let config = aws_sdk_sts::config::Builder::from(&config.build());
        let config = match std::env::var("AWS_ENDPOINT_URL_STS") {
            Ok(url) => config.endpoint_url(url.trim()),
            Err(_) => config,
        };
        let asked = aws_sdk_sts::Client::from_conf(config.build()).get_caller_identity().send().await;
        asked.ok()?.arn().map(str::to_string)
    }
}
