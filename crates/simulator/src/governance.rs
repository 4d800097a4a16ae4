//! Certificates, keys and storage that the customer brings along, and workload identity.

use serde_json::{Value, json};

use super::identity::counted;
use super::place::Place;
use super::projects;
use super::query::Query;
use super::refusal::Refusal;
use super::route::{Answer, Key, Limit, Listing, Order, Route, Row, Style, limit};
use super::world::{DAY, World};

/// The newer lists state neither a default nor a ceiling.
const UNSTATED: Limit = limit(1, 20, 100);

pub(super) const ROUTES: &[Route] = &[
    Route {
        table: "organization_certificates",
        path: "/organization/certificates",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: |world, _, _| Ok(counted(CERTIFICATES, |at| certificate_id(world, at))),
            record: |world, _, at| certificate(world, at, "organization.certificate", at % 3 != 2),
            style: Style::LastId,
            limit: limit(1, 20, 100),
            order: Order::Descending,
        }),
    },
    Route {
        table: "project_certificates",
        path: "/organization/projects/{projects.id}/certificates",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: |world, place, _| {
                let count = 1 + place.project % CERTIFICATES;
                Ok(counted(count, |at| certificate_id(world, at)))
            },
            record: |world, place, at| {
                let active = (at + place.project) % 2 == 0;
                certificate(world, at, "organization.project.certificate", active)
            },
            style: Style::LastId,
            limit: limit(1, 20, 100),
            order: Order::Descending,
        }),
    },
    Route {
        table: "external_keys",
        path: "/organization/external_keys",
        key: Key::Admin,
        params: &["purpose"],
        fullest: "",
        answer: Answer::List(Listing {
            rows: external_keys,
            record: external_key,
            style: Style::UntilEmpty,
            limit: UNSTATED,
            order: Order::Ascending,
        }),
    },
    Route {
        table: "external_storage",
        path: "/organization/external_storage",
        key: Key::Admin,
        params: &["project_id"],
        fullest: "",
        answer: Answer::List(Listing {
            rows: external_storage,
            record: storage,
            style: Style::LastItem,
            limit: UNSTATED,
            order: Order::Ascending,
        }),
    },
    Route {
        table: "workload_identity_providers",
        path: "/organization/workload_identity_providers",
        key: Key::Admin,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: |world, _, _| Ok(counted(PROVIDERS, |at| provider_id(world, at))),
            record: provider,
            style: Style::LastItem,
            limit: UNSTATED,
            order: Order::Ascending,
        }),
    },
    Route {
        table: "workload_identity_federation_rules",
        path: "/organization/workload_identity_providers/{workload_identity_providers.id}/federation_rules",
        key: Key::Admin,
        params: &["service_account_id"],
        fullest: "",
        answer: Answer::List(Listing {
            rows: rules,
            record: rule,
            style: Style::LastItem,
            limit: UNSTATED,
            order: Order::Ascending,
        }),
    },
];

const CERTIFICATES: usize = 5;
const PROVIDERS: usize = 3;

fn certificate_id(world: &World, at: usize) -> String {
    world.chance.of("certificate").at(at as u64).id("cert_", 20)
}

fn certificate(world: &World, at: usize, object: &str, active: bool) -> Value {
    let created_at = world.today - (300 - 10 * at as i64) * DAY;
    json!({
        "object": object,
        "id": certificate_id(world, at),
        "name": (at != 3).then(|| format!("Certificate {}", at + 1)),
        "created_at": created_at,
        "certificate_details": {
            "valid_at": created_at - DAY,
            "expires_at": created_at + 730 * DAY,
        },
        "active": active,
    })
}

fn external_key_id(world: &World, at: usize) -> String {
    world.chance.of("external key").at(at as u64).id("ek_", 16)
}

const KEY_KINDS: [&str; 4] = ["aws_kms", "azure_key_vault", "gcp_kms", "oci_vault"];

fn key_purpose(at: usize) -> Option<&'static str> {
    [Some("ekm"), Some("psp_decryption"), None][at % 3]
}

fn external_keys(world: &World, _: &Place, query: &Query) -> Result<Vec<Row>, Refusal> {
    let purpose = query.one_of("purpose", &["ekm", "psp_decryption"])?;
    let mut keys = counted(KEY_KINDS.len() + 1, |at| external_key_id(world, at));
    keys.retain(|key| purpose.is_none() || key_purpose(key.at) == purpose);
    Ok(keys)
}

/// Each cloud has members of its own.
fn external_key(world: &World, _: &Place, at: usize) -> Value {
    let mut record = json!({
        "id": external_key_id(world, at),
        "object": "organization.external_key",
        "type": KEY_KINDS[at % KEY_KINDS.len()],
        "name": format!("Own key {}", at + 1),
        "created_at": world.today - (50 + at as i64) * DAY,
        "workspace_id": world.chance.of("workspace").id("ws-", 20),
        "api_project_ids": [world.project_id(0)],
    });
    if let Some(purpose) = key_purpose(at) {
        record["purpose"] = purpose.into();
    }
    let own: &[(&str, &str)] = match at % KEY_KINDS.len() {
        0 => &[
            ("kms_arn", "arn:aws:kms:eu-central-1:111122223333:key/simulated"),
            ("role_arn", "arn:aws:iam::111122223333:role/simulated"),
            ("external_id", "simulated-external-id"),
            ("region", "eu-central-1"),
        ],
        1 => &[
            ("tenant_id", "00000000-0000-0000-0000-000000000001"),
            ("vault_uri", "https://simulated.vault.example.com"),
            ("key_name", "simulated-key"),
            ("key_version", "1"),
        ],
        2 => &[
            ("audience", "//iam.example.com/simulated"),
            ("kms_project_id", "simulated-project"),
            ("kms_key_location", "europe-west3"),
            ("kms_key_ring_name", "simulated-ring"),
            ("kms_key_name", "simulated-key"),
            ("kms_key_version", "3"),
            ("workload_identity_pool_id", "simulated-pool"),
            ("workload_identity_project_number", "123456789012"),
            ("workload_identity_provider_id", "simulated-provider"),
        ],
        _ => &[
            ("vault_ocid", "ocid1.vault.oc1..simulated"),
            ("key_ocid", "ocid1.key.oc1..simulated"),
            ("key_version_ocid", "ocid1.keyversion.oc1..simulated"),
        ],
    };
    for &(name, value) in own {
        record[name] = value.into();
    }
    record
}

fn storage_id(world: &World, at: usize) -> String {
    world.chance.of("storage").at(at as u64).id("estore_", 16)
}

fn external_storage(world: &World, _: &Place, query: &Query) -> Result<Vec<Row>, Refusal> {
    let project = query.text("project_id");
    let mut rows = counted(4.min(world.projects.len()), |at| storage_id(world, at));
    rows.retain(|row| project.is_none_or(|id| id == world.project_id(row.at)));
    Ok(rows)
}

fn storage(world: &World, _: &Place, at: usize) -> Value {
    let provider = match at % 4 {
        0 => json!({
            "type": "aws", "account_id": "111122223333", "bucket": "simulated-bucket",
            "external_id": "simulated-external-id", "region": "eu-central-1",
            "role_arn": "arn:aws:iam::111122223333:role/simulated",
        }),
        1 => json!({
            "type": "azure", "account_name": "simulated", "container": "exports",
            "resource_group": "simulated-group", "region": "westeurope",
            "subscription_id": "00000000-0000-0000-0000-000000000002",
            "tenant_id": "00000000-0000-0000-0000-000000000001",
        }),
        2 => json!({
            "type": "gcp", "audience": "//iam.example.com/simulated", "bucket": "simulated-bucket",
            "region": "europe-west3", "workload_identity_pool_id": "simulated-pool",
            "workload_identity_project_number": "123456789012",
            "workload_identity_provider_id": "simulated-provider",
        }),
        _ => json!({
            "type": "oci", "bucket": "simulated-bucket", "region": "eu-frankfurt-1",
            "tenancy_ocid": "ocid1.tenancy.oc1..simulated", "audience": "simulated-audience",
        }),
    };
    json!({
        "id": storage_id(world, at),
        "object": "organization.external_storage",
        "created_at": world.today - (30 + at as i64) * DAY,
        "geography": (["eu", "us", "jp"][at % 3]),
        "project_id": world.project_id(at),
        "provider": provider,
        "status": (["validated", "pending", "degraded", "unhealthy"][at % 4]),
    })
}

fn provider_id(world: &World, at: usize) -> String {
    world.chance.of("identity provider").at(at as u64).id("wip_", 20)
}

pub(super) fn provider_ids(world: &World) -> Vec<String> {
    (0..PROVIDERS).map(|at| provider_id(world, at)).collect()
}

pub(super) fn provider_number(world: &World, id: &str) -> Option<usize> {
    (0..PROVIDERS).find(|&at| provider_id(world, at) == id)
}

fn provider(world: &World, _: &Place, at: usize) -> Value {
    let created_at = world.today - (60 + at as i64) * DAY;
    let issuer = format!("https://issuer{at}.example.com");
    let verification = if at.is_multiple_of(2) {
        json!({"type": "discovery", "discovery_url": format!("{issuer}/.well-known/openid-configuration")})
    } else {
        json!({"type": "uploaded_jwks", "jwks": {"keys": [{"kty": "RSA", "kid": "simulated"}]}})
    };
    json!({
        "id": provider_id(world, at),
        "object": "organization.workload_identity_provider",
        "type": "oidc",
        "name": format!("Build pipeline {}", at + 1),
        "description": (at != 2).then_some("Lets the build pipeline call the API"),
        "issuer": issuer,
        "audience": "https://api.openai.com/v1",
        "enabled": at != 1,
        "attribute_transformations": [{"attribute": "repository", "expression": "claims.repository"}],
        "verification": verification,
        "created_at": created_at,
        "updated_at": created_at + 3 * DAY,
    })
}

fn rule_id(world: &World, provider: usize, at: usize) -> String {
    let chance = world.chance.of("federation rule").at(provider as u64);
    chance.at(at as u64).id("wifr_", 20)
}

fn rules(world: &World, place: &Place, query: &Query) -> Result<Vec<Row>, Refusal> {
    let account = query.text("service_account_id");
    let mut rows = counted(2 + place.provider, |at| rule_id(world, place.provider, at));
    rows.retain(|row| account.is_none_or(|id| id == projects::service_account_id(world, 0, row.at)));
    Ok(rows)
}

fn rule(world: &World, place: &Place, at: usize) -> Value {
    let permissions = if at.is_multiple_of(2) {
        json!({"type": "service_account_default"})
    } else {
        json!({"type": "restricted", "scopes": ["api.model.request", "api.files.read"]})
    };
    let created_at = world.today - (20 + at as i64) * DAY;
    json!({
        "id": rule_id(world, place.provider, at),
        "object": "organization.workload_identity_federation_rule",
        "name": (at != 1).then(|| format!("Rule {}", at + 1)),
        "description": at.is_multiple_of(2).then_some("Main branch only"),
        "enabled": at % 3 != 2,
        "attribute_matchers": {"repository": "example/app", "protected": true, "attempt": 1},
        "permissions": permissions,
        "project_id": world.project_id(0),
        "service_account_id": projects::service_account_id(world, 0, at),
        "workload_identity_provider_id": provider_id(world, place.provider),
        "created_at": created_at,
        "updated_at": created_at + DAY,
    })
}
