//! As whom requests to a store are sent, in words for `check`.

use super::variables::Variables;

/// Whose credentials a store is opened with.
#[derive(Clone, Debug, Default)]
pub(crate) enum Identity {
    /// A folder: the user of this process.
    #[default]
    Process,
    /// Known without a request.
    Known(String),
    /// An AWS identity, which may be asked for its name.
    #[cfg_attr(not(feature = "aws-profiles"), expect(dead_code, reason = "then nobody is asked"))]
    Aws(super::aws::Who),
}

impl Identity {
    /// The account, and the kind of credential that `object_store` chooses for it.
    pub(super) fn azure(account: Option<&str>, variables: &Variables) -> Identity {
        let account = account.unwrap_or("of the URL");
        let set = |names: &[&'static str]| variables.first(names).map(|(name, _)| name);
        let client = set(&["AZURE_STORAGE_CLIENT_ID", "AZURE_CLIENT_ID"]);
        let tenant =
            set(&["AZURE_STORAGE_TENANT_ID", "AZURE_STORAGE_AUTHORITY_ID", "AZURE_TENANT_ID", "AZURE_AUTHORITY_ID"]);
        let id = client.and_then(|name| variables.get(name)).unwrap_or_default();
        let forced = variables.get("AZURE_CREDENTIAL_TYPE").filter(|kind| !kind.eq_ignore_ascii_case("auto"));
        let key = set(&["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY"]);
        let sas = set(&["AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN"]);
        let secret = set(&["AZURE_STORAGE_CLIENT_SECRET", "AZURE_CLIENT_SECRET"]);
        let kind = if let Some(kind) = forced {
            format!("the credential of AZURE_CREDENTIAL_TYPE={kind}")
        } else if variables.is_on("AZURE_SKIP_SIGNATURE") {
            "no credential (AZURE_SKIP_SIGNATURE)".to_string()
        } else if variables.get("AZURE_STORAGE_TOKEN").is_some() {
            "the bearer token of AZURE_STORAGE_TOKEN".to_string()
        } else if let Some(name) = key {
            format!("the account key of {name}")
        } else if client.is_some() && tenant.is_some() && variables.get("AZURE_FEDERATED_TOKEN_FILE").is_some() {
            format!("the workload identity of client {id}")
        } else if client.is_some() && tenant.is_some() && secret.is_some() {
            format!("the client secret of client {id}")
        } else if let Some(name) = sas {
            format!("the shared access signature of {name}")
        } else if variables.is_on("AZURE_USE_AZURE_CLI") {
            "the account of the Azure CLI".to_string()
        } else if variables.is_on("AZURE_STORAGE_USE_EMULATOR") {
            "the account of the emulator".to_string()
        } else {
            "the managed identity of this machine".to_string()
        };
        Identity::Known(format!("storage account {account}, with {kind}"))
    }

    /// The words for people. An AWS identity is asked for its name, where that is possible.
    pub(crate) async fn words(&self) -> Option<String> {
        match self {
            Identity::Process => None,
            Identity::Known(words) => Some(words.clone()),
            Identity::Aws(who) => who.words().await,
        }
    }
}

/// An access key's id as people recognize it: its beginning and its end.
pub(super) fn masked(id: &str) -> String {
    let characters: Vec<char> = id.chars().collect();
    match characters.len() {
        12.. => characters[..4].iter().chain(&['…']).chain(&characters[characters.len() - 4..]).collect(),
        _ => characters.iter().take(2).chain(&['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_key_is_not_shown_whole() {
        assert_eq!(
            (masked("AKIAIOSFODNN7EXAMPLE"), masked("testkey"), masked("")),
            ("AKIA…MPLE".into(), "te…".into(), "…".into())
        );
    }
}
