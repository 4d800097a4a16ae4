"""The marts against figures that are computed anew in Python, from the Parquet files and not from the models."""

from __future__ import annotations

import collections
import datetime
import decimal
import json

# Facts name keys and users that had gone before the first sync: no directory has them, and dbt only warns.
EXPECTED_WARNINGS = {
    "relationships_openai__spend_daily_api_key_id__api_key_id__ref_openai__dim_api_keys_",
    "relationships_openai__spend_daily_user_id__user_id__ref_openai__dim_users_",
}


def day_of(moment: datetime.datetime) -> datetime.date:
    return moment.astimezone(datetime.timezone.utc).date()


def monday_of(day: datetime.date) -> datetime.date:
    return day - datetime.timedelta(days=day.weekday())


def added_up(rows, key, value):
    """Exact sums by key."""
    sums = collections.defaultdict(decimal.Decimal)
    with decimal.localcontext(prec=60):
        for row in rows:
            sums[key(row)] += decimal.Decimal(value(row) or 0)
    return dict(sums)


def test_everything_builds_and_every_test_passes(built):
    assert built.code == 0, built.said
    assert built.status("error") | built.status("fail") | built.status("skipped") == set(), built.said
    assert built.status("warn") <= EXPECTED_WARNINGS, built.said
    assert "there is no table" not in built.said


def test_spend_by_project_is_that_of_the_lake_to_the_last_digit(lake, built):
    wanted = added_up(lake.rows("costs"), lambda r: (day_of(r["start_time"]), r["project_id"], r["currency"]), lambda r: r["amount"])
    found = {(r["usage_date"], r["project_id"], r["currency"]): r["amount"] for r in built.rows("openai__spend_by_project")}
    assert found == wanted
    names = {p["id"]: p["name"] for p in lake.rows("projects")}
    assert all(r["project_name"] == names[r["project_id"]] for r in built.rows("openai__spend_by_project"))


def test_spend_by_key_names_the_key_and_its_owner(lake, built):
    keys = {k["id"]: k for k in lake.rows("project_api_keys")}
    wanted = added_up(lake.rows("costs"), lambda r: r["api_key_id"], lambda r: r["amount"])
    rows = built.rows("openai__spend_by_api_key")
    assert added_up(rows, lambda r: r["api_key_id"], lambda r: r["amount"]) == wanted
    named = [r for r in rows if r["api_key_id"] in keys]
    assert named
    for row in named:
        key = keys[row["api_key_id"]]
        assert row["api_key_name"] == key["name"]
        assert row["api_key_owner_name"] == (key["owner_user_name"] or key["owner_service_account_name"])


def test_spend_of_somebody_who_left_still_has_a_name(lake, built):
    """Not among the users any more, but the owner of a key: known by that."""
    members = {u["id"] for u in lake.rows("users")}
    owners = {k["owner_user_id"]: k["owner_user_name"] for k in lake.rows("project_api_keys") if k["owner_user_id"]}
    gone = {r["user_id"] for r in lake.rows("costs")} & (owners.keys() - members)
    assert gone, "the simulated organization has nobody who left"
    found = {r["user_id"]: r["user_name"] for r in built.rows("openai__spend_by_user")}
    assert {user: found[user] for user in gone} == {user: owners[user] for user in gone}


def test_models_are_told_from_line_items(lake, built):
    known = {r["model"] for t in ("completions", "images", "audio_transcriptions") for r in lake.rows(f"usage_{t}")}
    wanted = {(r["line_item"].split(", ")[0] if r["line_item"].split(", ")[0] in known else None) for r in lake.rows("costs")}
    found = {r["model"] for r in built.rows("openai__spend_by_model")}
    assert wanted <= found and None in found and "gpt-5.2" in found


def test_unit_prices_are_amounts_by_quantities(lake, built):
    costs = [r for r in lake.rows("costs") if r["line_item"] == "gpt-5.2, output"]
    amount = added_up(costs, lambda r: day_of(r["start_time"]), lambda r: r["amount"])
    quantity = added_up(costs, lambda r: day_of(r["start_time"]), lambda r: r["quantity"])
    tokens = added_up(
        [r for t in ("completions", "decisions") for r in lake.rows(f"usage_{t}") if r["model"] == "gpt-5.2"],
        lambda r: day_of(r["start_time"]), lambda r: r["output_tokens"],
    )
    found = [r for r in built.rows("openai__unit_prices") if r["line_item"] == "gpt-5.2, output"]
    assert {r["usage_date"] for r in found} == amount.keys()
    matched = 0
    for row in found:
        day = row["usage_date"]
        assert row["amount"] == amount[day] and row["quantity"] == quantity[day]
        assert abs(row["price_per_unit"] - float(amount[day] / quantity[day])) < 1e-12
        assert row["usage_quantity"] == tokens.get(day)
        if day in tokens:
            matched += 1
            assert abs(row["price_per_million_usage"] - float(amount[day] / tokens[day]) * 1e6) < 1e-6
    assert matched, "no day has both costs and usage"


def test_shares_of_cached_and_batched_tokens(lake, built):
    def sums(rows, model, value):
        return sum(value(r) or 0 for r in rows if r["model"] == model)

    usage = lake.rows("usage_completions")
    rows = [r for r in built.rows("openai__token_usage_daily") if r["operation"] == "completions"]
    for model in {r["model"] for r in usage}:
        total = sums(usage, model, lambda r: r["input_tokens"] + r["output_tokens"])
        assert sums(rows, model, lambda r: r["total_tokens"]) == total
        assert sums(rows, model, lambda r: r["input_cached_tokens"]) == sums(usage, model, lambda r: r["input_cached_tokens"])
        batched = sums([r for r in usage if r["batch"]], model, lambda r: r["input_tokens"] + r["output_tokens"])
        assert sums(rows, model, lambda r: r["batch_tokens"]) == batched
    for row in rows:
        if row["input_tokens"]:
            assert abs(row["cached_share"] - row["input_cached_tokens"] / row["input_tokens"]) < 1e-12
        assert abs(row["batch_share"] - row["batch_tokens"] / row["total_tokens"]) < 1e-12


def test_codex_adoption_counts_users_of_iso_weeks(lake, built):
    active = collections.defaultdict(set)
    for row in lake.rows("codex_usage"):
        if (row["threads"] or 0) + (row["turns"] or 0) > 0:
            active[row["workspace_id"], monday_of(day_of(row["start_time"]))].add(row["user_id"])
    first = {}
    for (workspace, week), users in sorted(active.items(), key=lambda item: item[0][1]):
        for user in users:
            first.setdefault((workspace, user), week)
    found = {(r["workspace_id"], r["week"]): r for r in built.rows("openai__codex_adoption_weekly")}
    assert found.keys() == active.keys()
    for (workspace, week), users in active.items():
        row = found[workspace, week]
        before = active.get((workspace, week - datetime.timedelta(days=7)), set())
        assert row["active_users"] == len(users)
        assert row["new_users"] == sum(first[workspace, user] == week for user in users)
        assert row["returning_users"] == len(users & before)
    credits = added_up(lake.rows("codex_usage"), lambda r: r["workspace_id"], lambda r: r["credits"])
    weekly = added_up(built.rows("openai__codex_user_weekly"), lambda r: r["workspace_id"], lambda r: r["credits"])
    assert weekly == credits


def test_engagement_with_reviews(lake, built):
    comments, engaged = (
        added_up(lake.rows("codex_code_review_responses"), lambda r: (r["workspace_id"], monday_of(day_of(r["start_time"]))), lambda r: r[c])
        for c in ("comments", "comment_response_details_engaged")
    )
    rows = {(r["workspace_id"], r["week"]): r for r in built.rows("openai__codex_reviews_weekly")}
    assert comments and comments.keys() <= rows.keys()
    for key, row in rows.items():
        if comments.get(key):
            assert abs(row["engaged_share"] - float(engaged[key] / comments[key])) < 1e-12


def test_key_hygiene_finds_what_is_wrong(lake, built):
    keys = lake.living("project_api_keys")
    members = {u["id"] for u in lake.living("users")}
    accounts = {(a["project_id"], a["id"]) for a in lake.living("project_service_accounts")}
    admin_keys = lake.living("admin_api_keys")
    today = max(day_of(k["_synced_at"]) for k in keys + admin_keys)
    found = {r["api_key_id"]: r for r in built.rows("openai__key_hygiene")}
    assert found.keys() == {k["id"] for k in keys + admin_keys}
    for key in keys:
        row = found[key["id"]]
        age = (today - day_of(key["created_at"])).days
        idle = (today - day_of(key["last_used_at"])).days if key["last_used_at"] else age
        listed = (
            key["owner_user_id"] in members if key["owner_type"] == "user"
            else (key["project_id"], key["owner_service_account_id"]) in accounts
        )
        assert row["age_days"] == age
        assert row["is_never_used"] == (key["last_used_at"] is None)
        assert row["is_unused"] == (idle > 60)
        assert row["is_never_rotated"] == (age > 180)
        assert row["is_owner_gone"] == (key["owner_project_access"] == "inactive" or not listed)
    for finding in ("is_never_used", "is_owner_gone"):
        assert {r[finding] for r in found.values()} == {True, False}, f"{finding} says nothing"


def test_access_review_says_through_which_group(lake, built):
    members = collections.defaultdict(set)
    for row in lake.living("group_users"):
        members[row["group_id"]].add(row["id"])
    wanted = {
        (user, row.get("project_id"), row["id"], row["group_id"])
        for table in ("group_role_assignments", "project_group_role_assignments")
        for row in lake.living(table) for user in members[row["group_id"]]
    }
    rows = built.rows("openai__access_review")
    through_groups = {(r["principal_id"], r["project_id"], r["role_id"], r["group_id"]) for r in rows if r["given"] == "group"}
    assert through_groups == wanted and wanted
    had = {(r["principal_id"], r["project_id"], r["role_id"]) for r in rows if r["given"] in ("direct", "group")}
    told = {
        (row["user_id"], row.get("project_id"), row["id"])
        for table in ("user_role_assignments", "project_user_role_assignments") for row in lake.living(table)
    }
    assert told <= had, "a role that the API tells is missing"


def test_permissions_are_those_of_the_roles(lake, built):
    rows = built.rows("openai__access_permissions")
    found = {(r["principal_id"], r["permission"]) for r in rows if r["scope"] == "organization" and r["given"] == "direct"}
    direct = {
        (row["user_id"], permission)
        for row in lake.living("user_role_assignments")
        if any(s["principal_type"] == "user" for s in json.loads(row["assignment_sources"] or "[]"))
        for permission in json.loads(row["permissions"] or "[]")
    }
    assert direct and direct <= found


def test_audit_activity_counts_events_of_actors(lake, built):
    def actor(row):
        return row["actor_session_user_id"] or row["actor_api_key_user_id"] or row["actor_api_key_service_account_id"]

    wanted = collections.Counter((day_of(r["effective_at"]), r["type"], actor(r)) for r in lake.rows("audit_logs"))
    found = collections.Counter()
    for row in built.rows("openai__audit_activity_daily"):
        found[row["event_date"], row["event_type"], row["actor_id"]] += int(row["events"])
    assert found == wanted
    sensitive = {r["event_type"] for r in built.rows("openai__audit_events") if r["is_sensitive"]}
    assert {"api_key.created", "login.failed", "role.created"} <= sensitive
    assert "login.succeeded" not in sensitive
