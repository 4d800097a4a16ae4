//! AWS credentials: from variables, or from where AWS tools look for them, and never from somewhere else in silence.
//!
//! Keys in variables win, as in every AWS tool. A profile that AWS_PROFILE names is the only source: where it gives
//! no credentials, going on to the role of the machine would write as another identity. Otherwise the order is the
//! default profile, web identity, the container, the machine.
//!
//! `object_store` knows no profiles, so these come from AWS's own library (docs/decisions/0022), behind the feature
//! `aws-profiles`. Without it a profile is an error.

#[cfg(feature = "aws-profiles")]
mod chain;
#[cfg(feature = "aws-profiles")]
mod http;
#[cfg(feature = "aws-profiles")]
mod who;

use object_store::aws::AmazonS3Builder;

use super::identity::{Identity, masked};
use super::variables::Variables;
use crate::error::{Error, Result};
#[cfg(feature = "aws-profiles")]
pub(crate) use who::Who;

/// Gives the builder its credentials, and says whose they are.
pub(super) fn credentials(builder: AmazonS3Builder, variables: &Variables) -> Result<(AmazonS3Builder, Identity)> {
    if variables.is_on("AWS_SKIP_SIGNATURE") {
        return Ok((builder, Identity::Known("nobody: requests are not signed (AWS_SKIP_SIGNATURE)".to_string())));
    }
    if let Some(id) = variables.get("AWS_ACCESS_KEY_ID") {
        let shown = format!("access key {} of AWS_ACCESS_KEY_ID", masked(id));
        return Ok((builder, of_keys(shown, variables)));
    }
    if variables.is_on("AWS_IMDSV1_FALLBACK") {
        return Ok((builder, Identity::Known("the role of this machine".to_string())));
    }
    elsewhere(builder, variables)
}

#[cfg(feature = "aws-profiles")]
fn of_keys(shown: String, variables: &Variables) -> Identity {
    Identity::Aws(Who::of_keys(shown, variables))
}

#[cfg(not(feature = "aws-profiles"))]
fn of_keys(shown: String, _: &Variables) -> Identity {
    Identity::Known(shown)
}

#[cfg(feature = "aws-profiles")]
fn elsewhere(mut builder: AmazonS3Builder, variables: &Variables) -> Result<(AmazonS3Builder, Identity)> {
    use object_store::aws::AmazonS3ConfigKey;

    let chain = chain::Chain::load(variables)?;
    if let (None, Some(region)) = (builder.get_config_value(&AmazonS3ConfigKey::Region), chain.region()) {
        builder = builder.with_region(region);
    }
    let named = [AmazonS3ConfigKey::Endpoint, AmazonS3ConfigKey::S3Endpoint];
    if let (true, Some(endpoint)) = (named.iter().all(|key| builder.get_config_value(key).is_none()), chain.endpoint())
    {
        super::variables::check_endpoint(endpoint, variables.is_on("AWS_ALLOW_HTTP"))
            .map_err(|e| e.at("endpoint_url of the AWS profile"))?;
        builder = builder.with_endpoint(endpoint);
    }
    let chain = std::sync::Arc::new(chain);
    let who = Who::of_chain(std::sync::Arc::clone(&chain), variables);
    Ok((builder.with_credentials(chain), Identity::Aws(who)))
}

/// Without AWS's library: what `object_store` finds by itself, and an error where it would pass a profile over.
#[cfg(not(feature = "aws-profiles"))]
fn elsewhere(builder: AmazonS3Builder, variables: &Variables) -> Result<(AmazonS3Builder, Identity)> {
    let set = |name: &str| variables.get(name).is_some();
    let words = match () {
        () if set("AWS_WEB_IDENTITY_TOKEN_FILE") && set("AWS_ROLE_ARN") => "the web identity of AWS_ROLE_ARN",
        () if set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") || set("AWS_CONTAINER_CREDENTIALS_FULL_URI") => {
            "the role of this container"
        }
        () if has_profile() => {
            return Err(Error::usage("the credentials of AWS profiles are not read by this build").hint(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (`aws configure export-credentials --format env`), or use a build with the feature aws-profiles",
            ));
        }
        () => "the role of this machine",
    };
    Ok((builder, Identity::Known(words.to_string())))
}

#[cfg(not(feature = "aws-profiles"))]
fn has_profile() -> bool {
    let there = |name: &str, usual: &str| {
        let named = std::env::var_os(name).map(std::path::PathBuf::from);
        let home = || Some(std::path::Path::new(&std::env::var_os("HOME")?).join(usual));
        named.or_else(home).is_some_and(|path| path.exists())
    };
    std::env::var_os("AWS_PROFILE").is_some_and(|name| !name.is_empty())
        || there("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")
        || there("AWS_CONFIG_FILE", ".aws/config")
}

#[cfg(not(feature = "aws-profiles"))]
#[derive(Clone, Debug)]
pub(crate) enum Who {}

#[cfg(not(feature = "aws-profiles"))]
impl Who {
    pub(super) async fn words(&self) -> Option<String> {
        match *self {}
    }
}

/// A credential that would not fit into a header, which `object_store` answers with a panic.
#[cfg(feature = "aws-profiles")]
fn fit(id: &str, secret: &str, token: Option<&str>) -> Result<()> {
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if word(id) && !secret.is_empty() && token.is_none_or(word) {
        return Ok(());
    }
    Err(Error::usage("the AWS credentials that were found hold a blank or another character that no key has"))
}
