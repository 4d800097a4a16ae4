"""`make conformance` finds what the table files lack, and nothing else.

The schemas are broken in a copy, the documents are small ones written here.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import tomllib

import pytest

import conformance.__main__ as conformance
from conftest import ROOT


@pytest.fixture
def schemas(tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(ROOT / "schemas", tmp_path / "schemas"))


@pytest.fixture
def run(schemas, capsys, monkeypatch):
    """Runs the program on the copy; gives its exit code and the lines of its table, without notes and reasons."""
    monkeypatch.delenv("OPENAI_OPENAPI", raising=False)

    def run(*arguments) -> tuple[int, list[str]]:
        code = conformance.main(["--schemas", str(schemas), *map(str, arguments)])
        table = capsys.readouterr().out.partition("\n\n")[0] if code else ""
        return code, [" ".join(line.split("  sdk")[0].split()) for line in table.splitlines()]

    return run


def edit(file: pathlib.Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{old!r} is no longer in {file.name}"
    file.write_text(text.replace(old, new))


def without_column(file: pathlib.Path, column: str) -> None:
    lines = file.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(f"{column} ")]
    assert len(kept) < len(lines), f"{file.name} has no column {column}"
    file.write_text("".join(kept))


def test_the_tables_lack_nothing_but_what_has_a_reason(capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_OPENAPI", raising=False)
    code = conformance.main([])
    assert code == 0, capsys.readouterr().out


def test_a_table_that_is_gone(run, schemas):
    (schemas / "admin/invites.toml").unlink()
    assert run() == (1, ["NEW endpoint GET /organization/invites", "NEW endpoint GET /organization/invites/{}"])


def test_a_column_that_is_gone(run, schemas):
    without_column(schemas / "admin/users.toml", "email")
    without_column(schemas / "admin/audit_logs.toml", "actor_session_ip_address")
    assert run() == (1, ["NEW detail GET /organization/users/{} /email",
                         "NEW field audit_logs /actor/session/ip_address", "NEW field users /email"])


def test_nested_members_unions_and_buckets_are_looked_into(run, schemas):
    without_column(schemas / "project/fine_tuning_jobs.toml", "method_dpo_hyperparameters_beta")
    without_column(schemas / "project/agent_session_turn_items.toml", "action_queries")
    without_column(schemas / "admin/usage_completions.toml", "end_time")
    without_column(schemas / "admin/usage_images.toml", "images")
    assert run() == (1, [
        "NEW detail GET /fine_tuning/jobs/{} /method/dpo/hyperparameters/beta",
        "NEW field agent_session_turn_items /action/queries",
        "NEW field fine_tuning_jobs /method/dpo/hyperparameters/beta",
        "NEW field usage_completions ../end_time",
        "NEW field usage_images /images",
    ])


def test_a_report_whose_rows_are_of_another_variant(run, tmp_path):
    tag = '"organization.usage.images.result"'
    text = (ROOT / "tests/conformance.toml").read_text()
    assert tag in text
    (tmp_path / "known.toml").write_text(text.replace(tag, '"organization.usage.pictures.result"'))
    assert run("--known", tmp_path / "known.toml") == (1, ["NEW field usage_images organization.usage.pictures.result"])


def test_members_named_by_another_are_covered_by_that_column_only(run, schemas):
    without_column(schemas / "admin/audit_logs.toml", "details")
    code, lines = run()
    assert code == 1
    assert "NEW field audit_logs /api_key.created/id" in lines and len(lines) > 50


def test_a_column_of_another_type(run, schemas):
    edit(schemas / "admin/invites.toml", 'type = "timestamp"', 'type = "int"')
    edit(schemas / "admin/costs.toml", 'type = "decimal"', 'type = "int"')
    edit(schemas / "project/files.toml", 'bytes          = { type = "int"', 'bytes          = { type = "string"')
    edit(schemas / "admin/invites.toml", 'projects    = { type = "json"', 'projects    = { type = "string"')
    assert run() == (1, [
        "NEW type costs amount", "NEW type costs quantity", "NEW type files bytes", "NEW type invites accepted_at",
        "NEW type invites created_at", "NEW type invites expires_at", "NEW type invites projects",
    ])


def test_a_group_a_parameter_and_a_header_that_are_not_sent(run, schemas):
    edit(schemas / "admin/usage_embeddings.toml", '"api_key_id", "model"] }', '"api_key_id", "shape"] }')
    edit(schemas / "admin/projects.toml", "include_archived", "include_archive")
    edit(schemas / "project/chatkit_threads.toml", "chatkit_beta=v1", "chatkit_beta=v0")
    assert run() == (1, [
        "NEW header chatkit_threads OpenAI-Beta",
        "NEW query GET /organization/projects include_archived",
        "NEW query GET /organization/usage/embeddings group_by=model",
        "NEW sent GET /organization/projects include_archive",
        "NEW sent GET /organization/usage/embeddings group_by=shape",
    ])


def test_pages_that_go_on_in_another_way(run, schemas):
    edit(schemas / "admin/groups.toml", 'from  = "/next"', 'from  = "/last_id"')
    assert run() == (1, ["NEW paging groups after"])


def test_a_key_of_another_kind_and_an_endpoint_that_nobody_documents(run, schemas):
    (schemas / "admin/batches.toml").write_text((schemas / "project/batches.toml").read_text())
    (schemas / "project/batches.toml").unlink()
    edit(schemas / "project/containers.toml", '"/containers"', '"/container"')
    code, lines = run()
    assert code == 1
    assert {"NEW key batches", "NEW table containers", "NEW endpoint GET /containers"} <= set(lines)


def test_a_reason_that_explains_nothing_any_more(run, tmp_path):
    text = (ROOT / "tests/conformance.toml").read_text()
    (tmp_path / "known.toml").write_text(text + """
[[known]]
kind   = "field"
in     = ["sdk", "A document that is not at hand"]
what   = ["users /shoe_size"]
reason = "Nobody asks."
""")
    assert run("--known", tmp_path / "known.toml") == (1, ["STALE field users /shoe_size"])


def test_known_findings_are_shown_on_request(capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_OPENAPI", raising=False)
    assert conformance.main(["--all"]) == 0
    shown = capsys.readouterr().out
    assert "GET /agents/sessions/{}/items" in shown and "The same items are read by turn." in shown


@pytest.mark.parametrize("flaw", [{"reason": " "}, {"kind": "nonsense"}, {"why": "a word that nobody knows"}])
def test_a_reason_must_be_one(run, tmp_path, flaw):
    entry = {"kind": "field", "in": ["sdk"], "what": ["users /x"], "reason": "A reason."} | flaw
    lines = [f"{key} = {json.dumps(value)}" for key, value in entry.items()]
    (tmp_path / "known.toml").write_text("[[known]]\n" + "\n".join(lines))
    with pytest.raises(SystemExit, match="known.toml: an entry needs"):
        run("--known", tmp_path / "known.toml")


def listing(item: dict, **parameters) -> dict:
    """A list in OpenAPI, paged by `after`."""
    answer = {"type": "object", "properties": {
        "object": {"type": "string"}, "has_more": {"type": "boolean"}, "last_id": {"type": "string"},
        "data": {"type": "array", "items": item}}}
    query = {"after": {"type": "string"}, "limit": {"type": "integer", "maximum": 100}} | parameters
    return {"get": {
        "operationId": "list",
        "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in query.items()],
        "responses": {"200": {"description": "", "content": {"application/json": {"schema": answer}}}}}}


def document(tmp_path, paths: dict, **schemas) -> pathlib.Path:
    file = tmp_path / "document.json"
    file.write_text(json.dumps({
        "openapi": "3.1.0", "info": {"title": "Small", "version": "1"},
        "paths": paths, "components": {"schemas": schemas},
    }))
    return file


INVITE = {"type": "object", "properties": {
    "id": {"type": "string"}, "object": {"const": "organization.invite"}, "email": {"type": "string"},
    "created_at": {"type": "integer", "format": "unixtime"}}}


def test_an_openapi_document(run, tmp_path, monkeypatch):
    shape = {"allOf": [{"$ref": "#/components/schemas/Invite"}, {"type": "object", "properties": {
        "shoes": {"anyOf": [{"type": "object", "properties": {"size": {"type": ["integer", "null"]}}}, {"type": "null"}]},
        "laces": {"type": "array", "items": {"type": "string"}}}}]}
    picture = {"responses": {"200": {"description": "", "content": {"image/png": {}}}}}
    paths = {
        "/organization/invites": listing(shape, limit={"type": "integer", "maximum": 500}, shoes={"type": "boolean"}),
        "/organization/invites/{invite}": {"get": {"responses": {"200": {"description": "", "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Invite"}}}}}}},
        "/organization/shoes?beta=true": listing(INVITE),
        "/organization/shoes/{id}/picture": {"get": picture},
    }
    answer = paths["/organization/invites"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    answer["properties"]["total"] = {"type": "integer"}
    file = document(tmp_path, paths, Invite=INVITE)
    expected = (1, [
        "NEW endpoint GET /organization/shoes", "NEW endpoint GET /organization/shoes/{}/picture",
        "NEW field invites (answer)/total", "NEW field invites /laces", "NEW field invites /shoes/size",
        "NEW paging invites limit", "NEW query GET /organization/invites shoes"])

    def seen(*arguments):
        code, lines = run(*arguments)
        return code, [line.partition(" Small")[0] for line in lines]

    assert seen(file) == expected
    monkeypatch.setenv("OPENAI_OPENAPI", str(file))
    assert seen() == expected


def test_an_openapi_document_that_says_the_same(run, tmp_path):
    assert run(document(tmp_path, {"/organization/invites": listing(INVITE)})) == (0, [])


def test_types_that_contain_themselves_come_to_an_end(run, tmp_path):
    tree = {"type": "object", "properties": {"id": {"type": "string"}, "tree": {"$ref": "#/components/schemas/Tree"}}}
    code, lines = run(document(tmp_path, {"/organization/invites": listing(tree)}, Tree=tree))
    assert code == 1 and 0 < len(lines) < 10


def test_every_reason_is_a_sentence():
    known = tomllib.loads((ROOT / "tests/conformance.toml").read_text())["known"]
    assert known and all(one["reason"].endswith(".") and len(one["reason"]) > 20 for one in known)
