"""The simulated organization is one that OpenAI's own client understands.

Every admin resource is listed through the official Python SDK, page after page by its own pagers, with
strict validation of every answer; what it found is compared with `/_sim/truth`, which the
simulation reads from its model and not through paging.
"""

from __future__ import annotations

import json
from collections import Counter

import openai
import pytest

from conftest import admin_tables, fetch

PAGE = 7  # small pages, so that the pagers have something to do


@pytest.fixture(scope="module")
def simulated(simulators):
    return simulators("--size", "small")


@pytest.fixture(scope="module")
def base_url(simulated) -> str:
    return simulated.base_url


@pytest.fixture(scope="module")
def control(simulated):
    """Reads a path of the control plane."""
    return lambda path: fetch(f"{simulated.control_url}/{path}")


@pytest.fixture(scope="module")
def truth(simulated):
    """The lines of truth of a table."""
    return lambda table: [json.loads(line) for line in simulated.truth(table)]


@pytest.fixture(scope="module")
def client(simulated):
    return sdk(simulated, _strict_response_validation=True)


@pytest.fixture(scope="module")
def lenient(simulated):
    """For what the documents promise and their own examples lack."""
    return sdk(simulated)


def sdk(simulated, **more) -> openai.OpenAI:
    key = simulated.admin_key
    return openai.OpenAI(base_url=simulated.base_url, api_key=key, admin_api_key=key, max_retries=0, **more)


# Lists: how the SDK calls them. The arguments are the parents, in the order of the path.
LISTS = {
    "users": lambda org: org.users.list(limit=PAGE),
    "user_role_assignments": lambda org, user: org.users.roles.list(user, limit=PAGE),
    "invites": lambda org: org.invites.list(limit=PAGE),
    "groups": lambda org: org.groups.list(limit=3),
    "group_users": lambda org, group: org.groups.users.list(group, limit=PAGE),
    "group_role_assignments": lambda org, group: org.groups.roles.list(group, limit=1),
    "roles": lambda org: org.roles.list(limit=2),
    "admin_api_keys": lambda org: org.admin_api_keys.list(limit=2),
    "organization_certificates": lambda org: org.certificates.list(limit=2),
    "organization_spend_alerts": lambda org: org.spend_alerts.list(limit=3),
    "projects": lambda org: org.projects.list(limit=PAGE, include_archived=True),
    "project_users": lambda org, project: org.projects.users.list(project, limit=PAGE),
    "project_user_role_assignments": lambda org, project, user: org.projects.users.roles.list(
        user, project_id=project, limit=1
    ),
    "project_groups": lambda org, project: org.projects.groups.list(project, limit=3),
    "project_group_role_assignments": lambda org, project, group: org.projects.groups.roles.list(
        group, project_id=project, limit=1
    ),
    "project_roles": lambda org, project: org.projects.roles.list(project, limit=2),
    "project_service_accounts": lambda org, project: org.projects.service_accounts.list(project, limit=PAGE),
    "project_api_keys": lambda org, project: org.projects.api_keys.list(
        project, limit=PAGE, owner_project_access="any"
    ),
    "project_rate_limits": lambda org, project: org.projects.rate_limits.list_rate_limits(project, limit=3),
    "project_certificates": lambda org, project: org.projects.certificates.list(project, limit=2),
    "project_spend_alerts": lambda org, project: org.projects.spend_alerts.list(project, limit=PAGE),
    "external_keys": lambda org: org.external_keys.list(limit=2),
    "external_storage": lambda org: org.external_storage.list(limit=3),
    "workload_identity_providers": lambda org: org.workload_identity_providers.list(limit=2),
    "workload_identity_federation_rules": lambda org, provider: org.workload_identity_providers.federation_rules.list(
        provider, limit=2
    ),
}
SINGLE = {
    "organization_data_retention_settings": lambda org: org.data_retention.retrieve(),
    "organization_spend_limits": lambda org: org.spend_limit.retrieve(),
    "project_data_retention_settings": lambda org, project: org.projects.data_retention.retrieve(project),
    "project_spend_limits": lambda org, project: org.projects.spend_limit.retrieve(project),
    "project_model_permissions": lambda org, project: org.projects.model_permissions.retrieve(project),
    "project_hosted_tool_permissions": lambda org, project: org.projects.hosted_tool_permissions.retrieve(project),
    "project_service_tier_settings": lambda org, project: org.projects.service_tier_settings.retrieve(project),
}
BASIC = ["project_id", "user_id", "api_key_id"]
REPORTS = {
    "costs": [*BASIC, "line_item", "api_source"],
    "usage_completions": [*BASIC, "model", "batch", "service_tier", "api_source"],
    "usage_decisions": [*BASIC, "model", "batch", "service_tier", "api_source"],
    "usage_embeddings": [*BASIC, "model"],
    "usage_moderations": [*BASIC, "model"],
    "usage_images": [*BASIC, "model", "size", "source"],
    "usage_audio_speeches": [*BASIC, "model"],
    "usage_audio_transcriptions": [*BASIC, "model"],
    "usage_vector_stores": ["project_id"],
    "usage_code_interpreter_sessions": ["project_id"],
    "usage_file_search_calls": [*BASIC, "vector_store_id"],
    "usage_web_search_calls": [*BASIC, "model", "context_level", "api_source"],
}
OTHERS = {"audit_logs", "fine_tuning_checkpoint_permissions"}
# `assignment_sources` is required by the documents and missing in their example.
LENIENT = {"user_role_assignments", "group_role_assignments", "project_user_role_assignments",
           "project_group_role_assignments"}


def plain(item) -> dict:
    """What the SDK made of an item, as the JSON it came from."""
    return item.to_dict(mode="json")


def bag(records) -> Counter:
    return Counter(json.dumps(record, sort_keys=True) for record in records)


def parents_of(table: str, truth, control) -> list[tuple[str, ...]]:
    """The values to call a resource with: its own parents are resources too."""
    active = [line["record"]["id"] for line in truth("projects") if line["record"]["status"] == "active"]
    within = {
        "project_user_role_assignments": ("project_users", "id"),
        "project_group_role_assignments": ("project_groups", "group_id"),
    }
    if table in within:
        parent, member = within[table]
        return [(line["parents"]["projects.id"], line["record"][member]) for line in truth(parent)]
    prefixes = {"project_": active, "user_": "users", "group_": "groups",
                "workload_identity_federation_": "workload_identity_providers"}
    for prefix, parent in prefixes.items():
        if table.startswith(prefix):
            ids = parent if isinstance(parent, list) else [line["record"]["id"] for line in truth(parent)]
            return [(one,) for one in ids]
    return [()]


def test_every_admin_table_is_listed_here():
    assert set(admin_tables()) == LISTS.keys() | SINGLE.keys() | REPORTS.keys() | OTHERS


@pytest.mark.parametrize("table", LISTS)
def test_list(client, lenient, truth, control, table):
    organization = (lenient if table in LENIENT else client).admin.organization
    found = []
    for parents in parents_of(table, truth, control):
        found += [(sorted(parents), plain(item)) for item in LISTS[table](organization, *parents)]
    expected = [(sorted(line["parents"].values()), line["record"]) for line in truth(table)]
    assert expected
    assert bag(found) == bag(expected)


@pytest.mark.parametrize("table", SINGLE)
def test_single_object(client, truth, control, table):
    found = []
    for parents in parents_of(table, truth, control):
        try:
            found.append((parents, plain(SINGLE[table](client.admin.organization, *parents))))
        except openai.NotFoundError:
            pass  # none is set
    expected = [(tuple(line["parents"].values()), line["record"]) for line in truth(table)]
    assert expected
    assert bag(found) == bag(expected)


@pytest.mark.parametrize("table", REPORTS)
def test_report(client, truth, table):
    expected = truth(table)
    ask = getattr(client.admin.organization.usage, table.removeprefix("usage_"))
    start = min(line["enclosing"]["start_time"] for line in expected)
    query = {"start_time": start, "bucket_width": "1d", "limit": 10, "group_by": REPORTS[table]}
    page, found, pages = ask(**query), [], 1
    found += page.data
    while page.has_more:
        page, pages = ask(**query, page=page.next_page), pages + 1
        found += page.data
    assert pages > 1
    starts = [bucket.start_time for bucket in found]
    assert len(set(starts)) == len(starts)
    results = [(bucket.start_time, plain(result)) for bucket in found for result in bucket.results]
    known = [(line["enclosing"]["start_time"], line["record"]) for line in expected]
    assert bag(map(amount_as_float, results)) == bag(map(amount_as_float, known))


def amount_as_float(result):
    """The SDK reads every spelling of an amount as a float."""
    start, record = result
    if "amount" in record:
        record = {**record, "amount": {**record["amount"], "value": float(record["amount"]["value"])},
                  "quantity": record["quantity"] and float(record["quantity"])}
    return start, record


def test_audit_logs_in_two_passes(client, truth):
    logs = client.admin.organization.audit_logs
    expected = bag(line["record"] for line in truth("audit_logs"))
    own = [plain(event) for event in logs.list(limit=100)]
    tenant = [plain(event) for event in logs.list(limit=100, tenant_only=True)]
    assert tenant and own
    assert all(one["effective_at"] >= two["effective_at"] for one, two in zip(own, own[1:]))
    assert bag(own + tenant) == expected
    assert len({event["type"] for event in own + tenant}) == 149


def test_audit_logs_in_a_window(client, truth):
    moments = sorted(line["record"]["effective_at"] for line in truth("audit_logs"))
    since, until = moments[len(moments) // 3], moments[len(moments) // 2]
    found = []
    for tenant_only in (False, True):
        found += client.admin.organization.audit_logs.list(
            limit=50, tenant_only=tenant_only, effective_at={"gte": since, "lt": until}
        )
    assert Counter(event.effective_at for event in found) == Counter(m for m in moments if since <= m < until)


def test_checkpoint_permissions_hang_on_what_a_project_key_lists(client, base_url, truth):
    def project_client(project):
        return openai.OpenAI(base_url=base_url, api_key=f"sk-proj-simulated-{project}", max_retries=0)

    models = {}
    for line in truth("fine_tuning_jobs"):
        project = line["parents"]["key.project"]
        jobs = project_client(project).fine_tuning.jobs
        assert line["record"]["id"] in {job.id for job in jobs.list(limit=2)}
        for checkpoint in jobs.checkpoints.list(line["record"]["id"], limit=1):
            models[checkpoint.fine_tuned_model_checkpoint] = project
    found = []
    for model in models:
        permissions = client.fine_tuning.checkpoints.permissions
        found += [((model,), plain(item)) for item in permissions.list(model, limit=10)]
    expected = truth("fine_tuning_checkpoint_permissions")
    assert bag(found) == bag((tuple(line["parents"].values()), line["record"]) for line in expected)
    assert len(truth("fine_tuning_job_checkpoints")) == len(models)


def test_refusals_are_the_sdks_own_errors(client, base_url):
    organization = client.admin.organization
    with pytest.raises(openai.BadRequestError, match="less than or equal to 100"):
        organization.users.list(limit=101)
    with pytest.raises(openai.NotFoundError):
        organization.projects.users.list("proj_nobody")
    stranger = openai.OpenAI(base_url=base_url, api_key="x", admin_api_key="sk-admin-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.admin.organization.users.list()
    limited = openai.OpenAI(base_url=base_url, api_key="x", admin_api_key="sk-admin-simulated-noaudit", max_retries=0)
    with pytest.raises(openai.PermissionDeniedError, match="api.audit_logs.read"):
        limited.admin.organization.audit_logs.list()
    assert limited.admin.organization.users.list().data
