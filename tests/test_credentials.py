"""Credentials: what cannot be a key is not sent, and what the API refuses is told with the API's own reason.

A key that was damaged on its way here (an editor's byte order mark, the quotes of an env file, a dash that a word
processor made) is found before the first request. A refusal that does not pass by itself (quota, billing, a closed
account) is met once for each key, and names its cure.
"""

import pytest

from conftest import command
from fixtures.sources import COMPLIANCE_KEY, CODEX_KEY, ORGANIZATION, OTHER_WORKSPACE, WORKSPACE
from reliability import TRUST, record
from scripted import Scripted, page, user

KEY = "sk-admin-Zt6Qw3Vn8Rk5Xp9Lm2Bc7Hy4"
USERS = "/organization/users"


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def server():
    with Scripted() as running:
        running.answers[USERS] = [page(user("user-1"))]
        yield running


def assert_no_piece(run, key: str) -> None:
    """No run of twelve characters of the key is shown."""
    shown = run.out + run.err
    assert not any(key[at : at + 12] in shown for at in range(len(key) - 11)), shown


# ---- what cannot be a key ------------------------------------------------------------------------------

MIDDLE = len(KEY) // 2
DAMAGED = {  # what was done to it: the value, and what the message must say
    "a byte order mark before it": ("\ufeff" + KEY, ["byte order mark", "character 1"]),
    "a byte order mark behind it": (KEY + "\ufeff", ["byte order mark", f"character {len(KEY) + 1}"]),
    "double quotes around it": (f'"{KEY}"', ["quotation mark", "character 1", "quotes"]),
    "single quotes around it": (f"'{KEY}'", ["quotation mark", "character 1", "quotes"]),
    "typographic quotes around it": (f"\u201c{KEY}\u201d", ["quotation mark", "character 1"]),
    "one quote behind it": (f'{KEY}"', ["quotation mark", f"character {len(KEY) + 1}"]),
    "backticks around it": (f"`{KEY}`", ["quotation mark", "character 1"]),
    "a zero-width space in it": (KEY[:MIDDLE] + "\u200b" + KEY[MIDDLE:], ["invisible", f"character {MIDDLE + 1}"]),
    "a zero-width joiner behind it": (KEY + "\u200d", ["invisible", f"character {len(KEY) + 1}"]),
    "a word joiner before it": ("\u2060" + KEY, ["invisible", "character 1"]),
    "a soft hyphen in it": (KEY[:MIDDLE] + "\u00ad" + KEY[MIDDLE:], ["invisible", f"character {MIDDLE + 1}"]),
    "a non-breaking hyphen": (KEY.replace("-", "\u2011", 1), ["hyphen", "character 3"]),
    "an en dash": (KEY.replace("-", "\u2013", 1), ["hyphen", "character 3"]),
    "a minus sign": (KEY.replace("-", "\u2212", 1), ["hyphen", "character 3"]),
    "a full-width hyphen": (KEY.replace("-", "\uff0d", 1), ["hyphen", "character 3"]),
    "a non-breaking space behind it": (KEY + "\u00a0", ["space", f"character {len(KEY) + 1}"]),
    "an ideographic space in it": (KEY[:MIDDLE] + "\u3000" + KEY[MIDDLE:], ["space", f"character {MIDDLE + 1}"]),
    "a space in it": (KEY[:MIDDLE] + " " + KEY[MIDDLE:], ["space", f"character {MIDDLE + 1}"]),
    "a tab in it": (KEY[:MIDDLE] + "\t" + KEY[MIDDLE:], ["space", f"character {MIDDLE + 1}"]),
    "a line break in it": (KEY[:MIDDLE] + "\n" + KEY[MIDDLE:], ["line break", f"character {MIDDLE + 1}"]),
    "a second key on a second line": (f"{KEY}\n{KEY}", ["line break", f"character {len(KEY) + 1}"]),
    "a bell in it": (KEY[:MIDDLE] + "\a" + KEY[MIDDLE:], ["control character", f"character {MIDDLE + 1}"]),
    "an escape before it": ("\x1b[0m" + KEY, ["control character", "character 1"]),
    "a letter with an accent": (KEY.replace("a", "\u00e0", 1), ["outside ASCII", "character 4"]),
    "a Cyrillic letter": (KEY.replace("a", "\u0430", 1), ["outside ASCII", "character 4"]),
    "an ellipsis, as documents print keys": (KEY[:MIDDLE] + "\u2026", ["outside ASCII", f"character {MIDDLE + 1}"]),
    "the scheme of its header": (f"Bearer {KEY}", ["space", "character 7"]),
    "a variable that was not replaced": ("${OPENAI_ADMIN_KEY}", ["`$`", "character 1"]),
    "an escaped line break": (KEY + "\\n", ["`\\`", f"character {len(KEY) + 1}"]),
}
KEYS = {  # each variable that holds a key: the value around it, and what the surface needs besides
    "OPENAI_ADMIN_KEY": ("{}", {}),
    "OPENAI_PROJECT_KEYS": ("proj_a=sk-proj-good-0000,proj_b={}", {}),
    "CODEX_ANALYTICS_KEY": ("{}", {"CHATGPT_WORKSPACE_IDS": WORKSPACE}),
    "CHATGPT_COMPLIANCE_KEY": ("{}", {"CHATGPT_WORKSPACE_IDS": WORKSPACE}),
}


def environment(server, variable: str, **more: str) -> dict[str, str]:
    base = server.env()["OPENAI_BASE_URL"]
    return {"OPENAI_BASE_URL": base, "CHATGPT_BASE_URL": base, **KEYS.get(variable, ("", {}))[1], **more}


def assert_refused(server, dest, variable: str, env: dict[str, str], *words: str):
    """Exit 1, before a request or a folder was made, naming the variable and never the key."""
    run = command("sync", "--dest", dest, env=env, code=1)
    assert variable in run.err and all(word in run.err for word in words) and "hint: " in run.err, run.err
    assert_no_piece(run, KEY)
    assert server.asked == [] and not dest.exists()
    return run


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("variable", KEYS)
def test_what_cannot_be_a_key_is_not_sent(server, dest, tmp_path, variable, damage):
    value, words = DAMAGED[damage]
    value = KEYS[variable][0].format(value)
    where = [variable, "entry 2"] if variable == "OPENAI_PROJECT_KEYS" else [variable]
    assert_refused(server, dest, variable, environment(server, variable, **{variable: value}), *where, *words)
    if variable == "OPENAI_ADMIN_KEY":
        path, file = tmp_path / "key", f"{variable}_FILE"
        path.write_bytes(value.encode() + b"\n")
        assert_refused(server, dest, file, environment(server, variable, **{file: str(path)}), *words)
        record(f"a key with {damage}",
               "in each variable and file of a key", "nothing", "no request; exit 1, which names variable and character", "nothing", TRUST)


@pytest.mark.parametrize("variable", KEYS)
def test_check_and_files_of_each_variable_are_as_strict(server, dest, tmp_path, variable):
    value = KEYS[variable][0].format(f'"{KEY}"')
    path, file = tmp_path / "key", f"{variable}_FILE"
    path.write_text(value)
    for env in ({variable: value}, {file: str(path)}):
        assert_refused(server, dest, variable, environment(server, variable, **env), "quotation mark")
        run = command("check", env=environment(server, variable, **env), code=1)
        assert variable in run.err and "quotation mark" in run.err and server.asked == []
        assert_no_piece(run, KEY)


@pytest.mark.parametrize("end", ["\n", "\r\n", " ", "\t", " \n\n"], ids=repr)
@pytest.mark.parametrize("where", ["variable", "file"])
def test_what_echo_and_editors_add_is_taken_away(server, dest, tmp_path, where, end):
    path = tmp_path / "key"
    path.write_bytes(f"{end}{KEY}{end}".encode())
    env = {"OPENAI_ADMIN_KEY": f"{end}{KEY}{end}"} if where == "variable" else {"OPENAI_ADMIN_KEY_FILE": str(path)}
    command("sync", "--dest", dest, "--tables", "users", env=environment(server, "", **env), code=0)
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("text", [KEY.encode("utf-16"), KEY.encode("utf-16-le"), KEY.encode() + b"\xff\xfe", b"\x00" + KEY.encode()],
                         ids=["UTF-16", "UTF-16 without a mark", "bytes that are no text", "NUL"])
def test_a_file_that_is_no_text(server, dest, tmp_path, text):
    path = tmp_path / "key"
    path.write_bytes(text)
    run = assert_refused(server, dest, "OPENAI_ADMIN_KEY_FILE", environment(server, "", OPENAI_ADMIN_KEY_FILE=str(path)))
    assert "UTF-8" in run.err or "control character" in run.err


@pytest.mark.parametrize("variable", KEYS)
def test_a_key_in_place_of_the_name_of_its_file_is_not_shown(server, dest, variable):
    file = f"{variable}_FILE"
    run = assert_refused(server, dest, file, environment(server, variable, **{file: KEY}))
    assert f"the key itself goes into {variable}" in run.err


IDS = {  # each variable of ids, with a good one and the key that makes it needed
    "CHATGPT_WORKSPACE_IDS": (OTHER_WORKSPACE, {"CODEX_ANALYTICS_KEY": CODEX_KEY}),
    "OPENAI_ORGANIZATION_ID": (ORGANIZATION, {"CHATGPT_COMPLIANCE_KEY": COMPLIANCE_KEY}),
}
NO_IDS = {
    "a byte order mark": ("\ufeff{}", ["byte order mark"]),
    "quotes": ('"{}"', ["quotation mark"]),
    "a zero-width space": ("{}\u200b", ["invisible"]),
    "a space inside": ("{} x", ["space"]),
    "a slash": ("{}/users", ["`/`"]),
    "a question mark": ("{}?limit=1", ["`?`"]),
    "an accent": ("{}\u00e9", ["outside ASCII"]),
}


@pytest.mark.parametrize("damage", NO_IDS)
@pytest.mark.parametrize("variable", IDS)
def test_what_cannot_be_an_id_is_not_sent(server, dest, variable, damage):
    good, more = IDS[variable]
    text, words = NO_IDS[damage]
    assert_refused(server, dest, variable, environment(server, "", **more, **{variable: text.format(good)}), *words)
    if variable == "CHATGPT_WORKSPACE_IDS":
        value = f"{WORKSPACE}, {text.format(good)}"
        assert_refused(server, dest, variable, environment(server, "", **more, **{variable: value}), "entry 2", *words)


@pytest.mark.parametrize("variable", IDS)
def test_a_key_in_place_of_an_id_is_refused_and_not_shown(server, dest, variable):
    for value in (KEY, f"{IDS[variable][0]},{KEY}" if variable.endswith("IDS") else KEY, f" {KEY}\n"):
        run = assert_refused(server, dest, variable, environment(server, "", **IDS[variable][1], **{variable: value}))
        assert "key" in run.err.split("hint:")[0]


def test_an_organization_in_place_of_a_workspace_is_told(server, dest):
    env = environment(server, "", CODEX_ANALYTICS_KEY=CODEX_KEY, CHATGPT_WORKSPACE_IDS=ORGANIZATION)
    assert_refused(server, dest, "CHATGPT_WORKSPACE_IDS", env, "OPENAI_ORGANIZATION_ID")


@pytest.mark.parametrize("keys", [f'"proj_a={KEY}"', f"'proj_a'={KEY}", f"\ufeffproj_a={KEY}", f"proj\u2011a={KEY}", f"proj_a\u200b={KEY}"])
def test_a_damaged_name_of_a_project_is_told(server, dest, keys):
    assert_refused(server, dest, "OPENAI_PROJECT_KEYS", environment(server, "", OPENAI_PROJECT_KEYS=keys), "entry 1", "name")


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "CHATGPT_BASE_URL"])
@pytest.mark.parametrize("value", ['"{}"', "\ufeff{}", "{}\u200b", "'{}'"])
def test_a_damaged_address_is_told(server, dest, variable, value):
    env = environment(server, "", OPENAI_ADMIN_KEY=KEY)
    assert_refused(server, dest, variable, {**env, variable: value.format(env[variable])}, "character")
