"""Commands, flags, variables and keys that documents, helps and messages name are there: each is tried on the binary.

A command line is run with `--help` behind it: then the program parses it, complains of what it does not know, and does nothing.
"""

from __future__ import annotations

import pathlib
import re
import shlex

import pytest

import hints
from conftest import ROOT, command

PAGES = [
    page for page in (*ROOT.glob("*.md"), *(page for page in ROOT.glob("docs/**/*.md") if page.parent.name != "decisions"), *ROOT.glob("schemas/*.md"),
                      *ROOT.glob("dbt/*.md"), *ROOT.glob("bench/*.md"), *ROOT.glob("fuzz/*.md"))
    if page.name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md") or page.parent != ROOT
]
COMMAND = re.compile(r"""(?<![\w.:/-])(?:target/(?:debug|release)/)?openai-elt(?=[ ,])[ ,]+(?P<rest>[a-z-][^`\n;&>)\]]*)""")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
OTHERS = re.compile(r"`(?:aws|docker|gcloud) [^`]*`")  # commands of other programs
VARIABLE = re.compile(r"\b(?:OPENAI|CHATGPT|CODEX)_[A-Z_]*[A-Z]\b")


def code_of(page: pathlib.Path) -> list[str]:
    """The code of a page: blocks line by line, and what stands between backticks."""
    found, fenced = [], False
    for line in page.read_text().replace("\\\n", " ").splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            found.append(line)
        else:
            found += re.findall(r"`([^`]+)`", line)
    return found


def commands_of(code: str) -> list[list[str]]:
    """The arguments of each `openai-elt` in a line; `a|b|c` is three of them."""
    found = []
    for match in COMMAND.finditer(code):
        rest = re.split(r"\s[|#]|#\s|\s\d$", match["rest"])[0].replace("{{", "{").replace("}}", "}")
        rest = re.sub(r"(?<=\w)\{[^}]*\}", "", rest)  # flags that are appended
        rest = re.sub(r"\{[^}]*\}", "x", rest)
        if match[0].removeprefix("target/debug/").startswith("openai-elt,"):
            rest = rest.replace(",", " ")
        rest = rest.partition('", ')[0].rstrip() if rest.count('"') % 2 else rest
        choices = re.search(r"[\w-]+(?:\|[\w-]+)+", rest)
        for choice in choices[0].split("|") if choices else [None]:
            words = shlex.split(rest.replace(choices[0], choice) if choices else rest, posix=True)
            found.append(expanded(words))
    return found


def expanded(words: list[str]) -> list[str]:
    """Without what the shell would put there: a variable is the value of the flag before it, or more flags."""
    kept = []
    for word in words:
        if word.startswith("$") and not (kept and kept[-1].startswith("--")):
            continue
        kept.append(word)
    return kept


def in_documents() -> dict[str, list[str]]:
    return {
        f"{page.relative_to(ROOT)}: {' '.join(words)}": words
        for page in sorted(PAGES) for code in code_of(page) for words in commands_of(code)
    }


def in_messages() -> dict[str, list[str]]:
    return {
        f"{literal.path}: {' '.join(words)}": words
        for file in hints.sources() for literal in file.literals
        for code in re.findall(r"`([^`]+)`", literal.text) for words in commands_of(code)
    }


COMMANDS = {**in_documents(), **in_messages()}


@pytest.mark.parametrize("place", sorted(COMMANDS))
def test_a_command_that_is_named_is_understood(place, tmp_path):
    run = command(*COMMANDS[place], "--help", cwd=tmp_path)
    assert run.code == 0, f"{place}\n{run.err}"


NEEDS_DEST = ("sync", "state", "verify", "report", "load")


def test_a_command_in_a_message_is_printed_with_its_destination():
    """Who typed `--dest` must be able to type what a message prints: it has the flag too, or says so, or appends the flags given."""
    wrong = {
        f"{literal.path}:{literal.line}: {code}" for file in hints.sources() for literal in file.literals
        for code in re.findall(r"`(openai-elt (?:%s) [^`]*|openai-elt (?:%s))`" % ("|".join(NEEDS_DEST), "|".join(NEEDS_DEST)), literal.text)
        if "--dest" not in literal.text and not re.search(r"\w\{\w*\}$", code)
    }
    assert wrong == set()


def test_commands_are_found_in_texts():
    assert len(COMMANDS) > 50 and any(place.startswith("src/") for place in COMMANDS)
    assert commands_of("openai-elt sync --dest $LAKE $since --format json > x # y") == [["sync", "--dest", "$LAKE", "--format", "json"]]
    assert commands_of('args: [openai-elt, sync, --dest, "s3://bucket/openai"]') == [["sync", "--dest", "s3://bucket/openai"]]
    assert commands_of("openai-elt schema --dialect a|b --dest x") == [["schema", "--dialect", w, "--dest", "x"] for w in "ab"]
    assert commands_of('(task="x", bash="openai-elt sync --dest s3://b", most=1)') == [["sync", "--dest", "s3://b"]]
    assert commands_of("image: x/openai-elt:1, ../openai-elt/dbt, openai-elt: text") == []


# ---- flags and commands ----------------------------------------------------------------------------


def subcommands(*before: str) -> list[str]:
    listed = command(*before, "--help", code=0).out.partition("Commands:\n")[2].partition("\n\n")[0]
    return re.findall(r"^  (\w[\w-]*)", listed, re.MULTILINE)


@pytest.fixture(scope="module")
def helps() -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {(): command("--help", code=0).out}
    for name in subcommands():
        found[name,] = command(name, "--help", code=0).out
        for inner in subcommands(name):
            found[name, inner] = command(name, inner, "--help", code=0).out
    return found


@pytest.fixture(scope="module")
def flags(helps) -> dict[tuple[str, ...], set[str]]:
    """The flags that each command has, by its list of options."""
    heads = {name: re.findall(r"^ {2,6}(?:-\w, )?(--[a-z-]+)", text, re.MULTILINE) for name, text in helps.items()}
    return {name: set(found) for name, found in heads.items()}


def test_a_help_names_no_flag_that_is_not_there(helps, flags):
    assert len(helps) > 12 and "--dest" in flags["sync",] and "--state" in flags["state", "reset"]
    wrong = {name: named for name, text in helps.items() if (named := set(FLAG.findall(text)) - flags[name])}
    assert wrong == {}




def test_a_flag_that_a_document_names_is_there(flags):
    known = {flag for each in flags.values() for flag in each} | {"--locked", "--vars"}  # those of cargo and of dbt
    # The pages about benchmarks and fuzzing name flags of their own programs.
    pages = [page for page in PAGES if page.name not in ("performance.md", "fuzzing.md") and page.parent.name not in ("bench", "dev")]
    wrong = [
        f"{page.relative_to(ROOT)}: {span}" for page in pages for span in re.findall(r"`(--[a-z][^`]*)`", page.read_text())
        if "..." not in span and not set(FLAG.findall(span)) <= known
    ]
    assert wrong == [], "\n".join(wrong)


def test_a_flag_that_a_message_names_is_there(flags):
    known = {flag for each in flags.values() for flag in each} | {"--help"}
    wrong = {
        f"{literal.path}:{literal.line}: {literal.text[:80]}" for file in hints.sources() for literal in file.literals
        if not set(FLAG.findall(OTHERS.sub("", literal.text))) <= known
    }
    assert wrong == set()


# ---- variables -------------------------------------------------------------------------------------


def test_a_variable_that_a_text_names_is_read():
    literals = [literal for file in hints.sources() for literal in file.literals]
    read = {literal.text for literal in literals if re.fullmatch(r"[A-Z][A-Z0-9_]+", literal.text)}
    assert {"OPENAI_ADMIN_KEY", "CHATGPT_WORKSPACE_IDS"} <= read
    texts = {f"{l.path}:{l.line}": l.text for l in literals}
    # The page about tables quotes values of the API in capitals.
    texts |= {str(page.relative_to(ROOT)): page.read_text() for page in PAGES if page.name != "tables.md"}
    known = read | {f"{name}_FILE" for name in read} | read_by_others()
    wrong = {place: named for place, text in texts.items() if (named := set(VARIABLE.findall(text)) - known)}
    assert wrong == {}


def read_by_others() -> set[str]:
    """The variables of the tests, the benchmarks and the dbt project."""
    files = [path for path in ROOT.glob("dbt/**/*") if path.suffix in (".yml", ".sql", ".py") and "target" not in path.parts]
    files += [*ROOT.glob("bench/*.py"), ROOT / "tests/conftest.py", ROOT / "Makefile"]
    return {name for path in files for name in VARIABLE.findall(path.read_text())}


# ---- keys of the configuration -----------------------------------------------------------------------


def configurations() -> dict[str, str]:
    """Blocks of TOML in the pages that are about the configuration file."""
    found = {}
    for page in PAGES:
        if page.parent.name == "schemas" or page.name == "CONTRIBUTING.md":
            continue  # they are about table files
        for index, block in enumerate(re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
            found[f"{page.relative_to(ROOT)} {index + 1}"] = block
    return found


def test_a_configuration_that_a_document_shows_is_understood(tmp_path):
    shown = configurations()
    assert any(place.startswith("docs/configuration.md") for place in shown)
    for place, text in shown.items():
        (tmp_path / "shown.toml").write_text(text)
        run = command("tables", "--config", tmp_path / "shown.toml")
        assert run.code == 0, f"{place}\n{run.err}"


def test_what_init_leaves_in_comments_is_understood(tmp_path):
    command("init", cwd=tmp_path, code=0)
    text = (tmp_path / "openai-elt.toml").read_text()
    switched_on = re.sub(r"^# (?=\[|[a-z_]+ +=|[a-z_]+ = )", "", text, flags=re.MULTILINE)
    assert switched_on.count("\n# ") < text.count("\n# "), "some lines were switched on"
    (tmp_path / "openai-elt.toml").write_text(switched_on)
    command("tables", cwd=tmp_path, code=0)


def test_every_key_of_the_configuration_is_in_its_page(tmp_path):
    """What the hint `docs/configuration.md describes every key` says."""
    page = (ROOT / "docs/configuration.md").read_text()
    for table in ("", "[http]\n", "[tables.costs]\n"):
        (tmp_path / "wrong.toml").write_text(f"{table}no_such_key_at_all = 1\n")
        run = command("tables", "--config", tmp_path / "wrong.toml", code=1)
        keys = re.findall(r"`(\w+)`", run.err.partition("expected")[2].partition("\n")[0])
        assert len(keys) >= 3, run.err
        assert [key for key in keys if not re.search(rf"\b{key}\b", page)] == []


def test_every_key_of_a_table_file_is_in_its_page(tmp_path):
    """What the hint `the keys are described in schemas/README.md` says."""
    page = (ROOT / "schemas/README.md").read_text()
    folder = tmp_path / "schemas/admin"
    folder.mkdir(parents=True)
    for place in ("", "[request]\n", "[paging]\n", "[slices]\n", "[files]\n", "[contents]\n", "[columns]\nid = { no_such_key_at_all = 1 }\n"):
        line = "" if place.startswith("[columns]") else "no_such_key_at_all = 1\n"
        (folder / "mine.toml").write_text(f"{place}{line}")
        run = command("tables", "--schemas", tmp_path / "schemas", code=1)
        keys = re.findall(r"`(\w+)`", run.err.partition("expected")[2].partition("\n")[0])
        assert [key for key in keys if not re.search(rf"\b{key}\b", page)] == [], run.err
