"""`--download-files`: the bytes that conversations' files have are kept, once, whole, and only when asked for.

Against a scripted Logs Platform (fixtures/sources.py) whose store also gives the files' bytes.
"""

import hashlib
import json
import stat
import uuid

import pytest

import stores
from conftest import command, state, sync
from fixtures.sources import COMPLIANCE_KEY, WORKSPACE, Logs, event
from scripted import Answer

TABLE = ("--tables", "chatgpt_files")
PICTURE = bytes(range(256)) * 5_000


@pytest.fixture
def logs():
    with Logs() as scripted:
        yield scripted


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


def message(number: int, *files: str, hours_ago: float = 3, user: str | None = "user-1") -> dict:
    actor = {"type": "ACCOUNT_USER", "user_id": user, "user_email": "ada@example.com"} if user else {"type": "SYSTEM", "id": "x"}
    return event(
        f"e{number}", hours_ago, type="CONVERSATION_MESSAGE", actor=actor,
        message={"id": f"m{number}", "author": {"type": "user"}, "files": [{"id": id, "name": f"{id}.png"} for id in files]},
        conversation={"id": "conv-1", "title": "t"},
    )


def add(logs, name: str, *messages: dict, **how):
    return logs.add(name, list(messages), type="CONVERSATION_MESSAGE", **how)


def path_of(id: str, user: str = "user-1") -> str:
    return f"/compliance/workspaces/{WORKSPACE}/users/{user}/files/{id}"


def offer(logs, id: str, *answers, content: bytes = PICTURE) -> None:
    """The bytes of a file, behind a redirect to the store; `answers` come before them."""
    store = f"http://127.0.0.1:{logs.store.server.server_address[1]}"

    def redirect(asked):
        return Answer("", status=307, headers={"location": f"{store}/bytes/{id}?signature=kept-to-itself-{uuid.uuid4()}"})

    logs.answers[path_of(id)] = [redirect]
    logs.store.answers[f"/bytes/{id}"] = [*answers, Answer(content, headers={"content-type": "image/png"})]


def kept(dest) -> dict[str, bytes]:
    """Each kept file's bytes by id; its name is its hash."""
    files = [path for path in (dest / "_files").rglob("*") if path.is_file()]
    for path in files:
        assert path.name == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not list(dest.glob("_staging/*"))
    return {path.parent.name: path.read_bytes() for path in files}


def test_the_bytes_are_kept_by_id_and_hash(logs, dest):
    add(logs, "log-1", message(1, "file-a", "file-b"))
    offer(logs, "file-a"), offer(logs, "file-b")
    run = sync(dest, logs, *TABLE, "--download-files")
    assert kept(dest) == {"file-a": PICTURE, "file-b": PICTURE}
    assert run.table("chatgpt_files")["files_kept"] == 2
    assert logs.requests(path_of("file-a"))[0].one("conversation_id") == "conv-1"
    for path in (dest / "_files").rglob("*"):
        assert path.is_dir() or stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((dest / "_files").stat().st_mode) == 0o700


def test_without_the_flag_nothing_is_asked(logs, dest):
    add(logs, "log-1", message(1, "file-a"))
    offer(logs, "file-a")
    sync(dest, logs, *TABLE)
    assert logs.requests(path_of("file-a")) == [] and not (dest / "_files").exists()


def test_a_file_that_is_kept_is_not_asked_for_again(logs, dest):
    add(logs, "log-1", message(1, "file-a"), message(2, "file-a"))
    offer(logs, "file-a")
    sync(dest, logs, *TABLE, "--download-files")
    sync(dest, logs, *TABLE, "--download-files")
    assert len(logs.requests(path_of("file-a"))) == 1


def test_a_file_that_failed_is_told_and_asked_for_again(logs, dest):
    add(logs, "log-1", message(1, "file-a", "file-b"))
    offer(logs, "file-a")
    logs.answers[path_of("file-b")] = [Answer({"error": {"message": "no"}}, status=503)]
    run = sync(dest, logs, *TABLE, "--download-files", code=2)
    assert kept(dest).keys() == {"file-a"}
    assert "file-b" in json.dumps(run.table("chatgpt_files")["skipped"]) and "file-b" in run.err
    offer(logs, "file-b")
    sync(dest, logs, *TABLE, "--download-files")
    assert kept(dest).keys() == {"file-a", "file-b"}


def test_a_download_that_breaks_off_leaves_nothing_and_is_tried_again(logs, dest):
    add(logs, "log-1", message(1, "file-a"))
    offer(logs, "file-a", Answer(PICTURE, cut=70_000), Answer("signature expired", status=403))
    sync(dest, logs, *TABLE, "--download-files")
    assert kept(dest) == {"file-a": PICTURE}
    assert len(logs.requests(path_of("file-a"))) == 3, "a signed address is good for one attempt"


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_the_source_has_forgotten_is_a_warning(logs, dest, status):
    add(logs, "log-1", message(1, "file-a"))
    logs.answers[path_of("file-a")] = [Answer({"error": {"message": "expired"}}, status=status)]
    run = sync(dest, logs, *TABLE, "--download-files")
    assert kept(dest) == {}
    assert any("not at the source any more" in text for text in run.table("chatgpt_files")["warnings"])


def test_only_young_files_that_belong_to_somebody_are_asked_for(logs, dest):
    add(logs, "log-1", message(1, "file-old", hours_ago=60), message(2, "file-nobody", user=None), hours_ago=2)
    run = sync(dest, logs, *TABLE, "--download-files")
    assert kept(dest) == {} and not [asked for asked in logs.asked if "/files/" in asked.path]
    assert run.table("chatgpt_files")["warnings"] == []


def test_the_key_does_not_go_to_the_store(logs, dest):
    add(logs, "log-1", message(1, "file-a"))
    offer(logs, "file-a")
    run = sync(dest, logs, *TABLE, "--download-files", "--log", "trace")
    assert "kept-to-itself" not in run.err
    for asked in logs.store.asked:
        assert "authorization" not in asked.headers and COMPLIANCE_KEY not in json.dumps(asked.headers)


@pytest.mark.parametrize("id", ["../../escape", "a/b", "..", "x" * 300, "ü %2e", "file\u0000nul"])
def test_an_id_cannot_leave_its_folder(logs, dest, id):
    add(logs, "log-1", message(1, id))
    run = sync(dest, logs, *TABLE, "--download-files", code={0, 2})
    outside = [path for path in dest.parent.rglob("*") if path.is_file() and path.suffix != ".toml" and dest not in path.parents]
    assert outside == [], run.err
    assert id == ".." or len([path for path in (dest / "_files").rglob("*") if path.is_file()]) == 1
    assert not [asked for asked in logs.asked if "/../" in asked.path or asked.path.endswith("/..")]


def test_the_flag_needs_a_table_that_tells_of_files(logs, dest):
    run = command("sync", "--dest", dest, "--tables", "log_auth", "--download-files", env=logs.env(), code=1)
    assert "chatgpt_files" in run.err and not dest.exists()


def test_the_newest_moment_of_the_source_is_in_the_state(logs, dest):
    add(logs, "log-1", message(1))
    path = f"/compliance/workspaces/{WORKSPACE}/max_event_time"
    logs.answers[path] = [Answer({"max_event_time": {"CONVERSATION_MESSAGE": "2026-11-20T10:00:00.5Z"}})]
    sync(dest, logs, "--tables", "log_conversation_messages")
    assert state(dest)["tables"]["log_conversation_messages"]["max_event_time"] == "2026-11-20T10:00:00.500Z"
    assert logs.requests(path)[0].query == [("event_type", "CONVERSATION_MESSAGE")]


@pytest.mark.parametrize("answer", [
    Answer({"error": {"message": "unknown"}}, status=404), Answer({"error": {"message": "no"}}, status=403),
    Answer({"max_event_time": {"CONVERSATION_MESSAGE": None}}), Answer({}), Answer("nonsense"),
])
def test_a_source_that_does_not_offer_it_is_no_failure(logs, dest, answer):
    add(logs, "log-1", message(1))
    logs.answers[f"/compliance/workspaces/{WORKSPACE}/max_event_time"] = [answer]
    run = sync(dest, logs, "--tables", "log_conversation_messages")
    assert "max_event_time" not in state(dest)["tables"]["log_conversation_messages"]
    assert run.table("log_conversation_messages")["status"] == "ok"


@pytest.mark.parametrize("kind", ["seaweed", "azurite"])
def test_an_object_store_keeps_them_at_the_same_paths(kind, request, logs):
    place, film = request.getfixturevalue(kind).place(), PICTURE * 5  # in parts
    add(logs, "log-1", message(1, "file-a", "file-b"))
    offer(logs, "file-a"), offer(logs, "file-b", content=film)
    stores.sync(place, logs, *TABLE, "--download-files")
    found = {name: hashlib.sha256(place.read(name)).hexdigest() for name in place.names("_files")}
    assert {name.rsplit("/", 1)[1] for name in found} == set(found.values())
    assert set(found.values()) == {hashlib.sha256(content).hexdigest() for content in (PICTURE, film)}
    assert place.names("_staging") == []
    again = stores.sync(place, logs, *TABLE, "--download-files")
    assert again.table("chatgpt_files")["files_kept"] == 0
