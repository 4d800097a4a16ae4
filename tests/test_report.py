"""`report`: the page says what the lake says, looks after itself, and trusts no name.

It is opened in a real browser; the numbers are compared with sums made by pyarrow.
Screenshots go to a temporary folder, or to the one that SCREENSHOTS names (`make screenshots`).
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from browser import Browser
from conftest import command, objects, sync

EVIL = """<img src=x onerror="window.owned=1">'"></title></style></svg><script>window.owned=1</script>&amp;"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    running = Browser(tmp_path_factory.mktemp("browser"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    dest = tmp_path_factory.mktemp("report") / "lake"
    command("demo", "--out", dest, code={0, 2})
    return dest


def report(dest, *flags, name: str = "report.html") -> pathlib.Path:
    out = pathlib.Path(dest).parent / name
    command("report", "--dest", dest, "--out", out, *flags, code=0)
    return out


@pytest.fixture(scope="module")
def written(lake):
    return report(lake)


@pytest.fixture(scope="module")
def page(browser, written):
    return browser.open(written)


def rows(dest, table: str, *columns: str) -> list[dict]:
    files = [str(path) for path in objects(dest, table)]
    return ds.dataset(files).to_table(columns=list(columns)).to_pylist()


def sums(items) -> dict:
    total = defaultdict(Decimal)
    for key, value in items:
        total[key] += value or 0
    return dict(total)


def table(page, selector: str) -> list[list[str]]:
    """The body of a table: the heading and the machine's value of each cell of each row."""
    script = f"""[...document.querySelectorAll('{selector} tbody tr')].map(row => [...row.cells].map(cell => {{
        const data = cell.querySelector('data'), time = cell.querySelector('time');
        return data ? data.value : time ? time.dateTime : cell.textContent.trim(); }}))"""
    return page.run(script)


def shown_period(dest) -> tuple[date, date]:
    """What is told when nobody says which days: from the first day of costs on, at most 90, up to the newest day of
    any of these, which at the small hours has no costs yet."""
    tables = ("costs", "usage_completions", "codex_usage", "audit_logs")
    days = {name: [date.fromisoformat(path.parent.name.removeprefix("date=")) for path in objects(dest, name)] for name in tables}
    return min(days["costs"]), max(map(max, days.values()))


# The numbers


def test_spend_by_day_is_that_of_the_lake(page, lake):
    costs = rows(lake, "costs", "start_time", "amount")
    expected = sums((row["start_time"].date(), row["amount"]) for row in costs)
    first, last = shown_period(lake)
    told = table(page, "#spend-by-time")
    assert len(told) == (last - first).days + 1
    for heading, *values in told:
        day = datetime.strptime(re.search(r"\d+ \w+ \d{4}", heading)[0], "%d %b %Y").date()
        assert Decimal(values[-1]) == expected.get(day, 0), day
        assert sum(map(Decimal, values[:-1])) == Decimal(values[-1]), day
    assert Decimal(page.run("document.querySelector('.tile data').value")) == sum(expected.values())


def test_the_columns_are_as_high_as_their_numbers(page):
    for chart in ("#spend-by-time", "#tokens-by-time", "#codex-users", "#codex-turns"):
        drawn = page.run(f"""[...document.querySelectorAll('{chart} svg g')].map(column =>
            [...column.querySelectorAll('rect:not(.hit)')].map(rect =>
                [rect.dataset.value, rect.height.baseVal.value, rect.y.baseVal.value]))""")
        top = Decimal(page.run(f"document.querySelector('{chart} svg').dataset.top"))
        told = [values[1:] for values in table(page, chart)]
        assert len(drawn) == len(told) > 0
        for column, values in zip(drawn, told):
            parts = values[:-1] if len(values) > 1 else values
            assert [Decimal(value) for value, _, _ in column] == [Decimal(v) for v in parts if Decimal(v) > 0]
            floor = Decimal(1000)
            for value, height, y in column:
                assert abs(Decimal(height) - Decimal(value) / top * 1000) < 1, "a height is not its value"
                floor -= Decimal(height)
                assert abs(Decimal(y) - floor) < 1, "a part does not stand on the one below"
        assert any(height > 1 for column in drawn for _, height, _ in column)


def test_projects_models_and_line_items_add_up(page, lake):
    costs = rows(lake, "costs", "project_id", "line_item", "amount")
    names = {row["id"]: row["name"] for row in rows(lake, "projects", "id", "name")}
    projects = sorted(sums((row["project_id"], row["amount"]) for row in costs).items(), key=lambda item: -item[1])
    shown = table(page, ".bars")
    for (project, amount), (heading, value, _) in zip(projects[:10], shown):
        assert heading.removesuffix("archived").strip() == names[project] and Decimal(value) == amount
    models = sums((row["line_item"].split(",")[0], row["amount"]) for row in costs)
    assert sum(Decimal(value) for _, value, _ in shown) == 2 * sum(models.values()), "both lists are whole"
    assert {heading: Decimal(value) for heading, value, _ in shown[-len(models):]} == models
    items = sums((row["line_item"], row["amount"]) for row in costs)
    assert {heading: Decimal(value) for heading, value in table(page, ".items")} == items


def test_keys_and_people_have_their_names_and_amounts(page, lake):
    costs = rows(lake, "costs", "api_key_id", "user_id", "amount")
    requests = rows(lake, "usage_completions", "api_key_id", "user_id", "num_model_requests")
    keys = {row["id"]: row for row in rows(lake, "project_api_keys", "id", "name", "redacted_value")}
    users = {row["id"]: row for row in rows(lake, "users", "id", "name", "email")}
    for selector, column in (("#top-keys", "api_key_id"), ("#top-users", "user_id")):
        amounts = sums((row[column], row["amount"]) for row in costs)
        asked = sums((row[column], row["num_model_requests"]) for row in requests)
        nobody = amounts.pop(None)
        expected = sorted(amounts.items(), key=lambda item: -item[1])
        shown = table(page, selector)
        assert [Decimal(row[1]) for row in shown[:10]] == [amount for _, amount in expected[:10]]
        assert Decimal(shown[-1][1]) == nobody and sum(Decimal(row[1]) for row in shown) == nobody + sum(amounts.values())
        for (ident, _), row in zip(expected, shown[:10]):
            assert Decimal(row[3]) == asked[ident]
            known = (keys if column == "api_key_id" else users).get(ident)
            words = [known["name"], known.get("redacted_value") or known.get("email")] if known else [ident]
            assert all(word in row[0] for word in words if word), row


def test_tokens_are_those_of_the_lake(page, lake):
    columns = ("start_time", "model", "input_tokens", "input_cached_tokens", "output_tokens", "num_model_requests")
    usage = rows(lake, "usage_completions", *columns)
    days = sums((row["start_time"].date(), row["input_tokens"] + row["output_tokens"]) for row in usage)
    for heading, uncached, cached, output, total in table(page, "#tokens-by-time"):
        day = datetime.strptime(re.search(r"\d+ \w+ \d{4}", heading)[0], "%d %b %Y").date()
        assert int(total) == days.get(day, 0) == int(uncached) + int(cached) + int(output)
    for model, requests, given, cached, output in table(page, "#tokens-by-model"):
        of = [row for row in usage if row["model"] == model]
        expected = [sum(row[column] or 0 for row in of) for column in (columns[5], *columns[2:5])]
        assert [int(requests), int(given), int(cached), int(output)] == expected


def test_codex_is_that_of_the_lake(page, lake):
    first, last = shown_period(lake)
    weeks = defaultdict(lambda: [set(), 0, 0])
    for row in rows(lake, "codex_usage", "start_time", "user_id", "threads", "turns"):
        day = row["start_time"].date()
        if first <= day <= last:
            week = weeks[day - timedelta(day.weekday())]
            week[0].add(row["user_id"])
            week[1] += row["threads"] or 0
            week[2] += row["turns"] or 0
    shown = table(page, "#codex-weeks")
    expected = [[len(users), threads, turns] for _, (users, threads, turns) in sorted(weeks.items(), reverse=True)]
    assert [[int(value) for value in row[1:4]] for row in shown] == expected
    reviews = [row for row in rows(lake, "codex_code_reviews", "start_time", "pull_request_reviews", "comments")
               if first <= row["start_time"].date() <= last]
    total = page.run("[...document.querySelectorAll('#codex-reviews tfoot data')].map(data => Number(data.value))")
    assert total[:2] == [sum(row[column] or 0 for row in reviews) for column in ("pull_request_reviews", "comments")]


def test_audit_highlights_are_counted(page, lake):
    events = rows(lake, "audit_logs", "id", "type", "effective_at")
    counts = sums((row["type"], 1) for row in events)
    told = page.run("""Object.fromEntries([...document.querySelectorAll('.kinds span')].map(kind =>
        [kind.querySelector('code').textContent, Number(kind.querySelector('data').value)]))""")
    assert {"login.failed", "api_key.created", "api_key.deleted", "user.updated", "role.assignment.created"} <= told.keys()
    assert "login.succeeded" not in told and all(counts[kind] == count for kind, count in told.items())
    groups = table(page, "#audit-groups")
    assert sum(int(row[1]) for row in groups) == sum(told.values())
    newest = sorted((row["effective_at"] for row in events if row["type"] in told), reverse=True)[:20]
    assert [datetime.fromisoformat(row[0]) for row in table(page, "#audit-newest")] == newest


def test_freshness_tells_rows_and_bytes_of_every_table(page, lake):
    shown = {row[0]: row[1:] for row in table(page, "#fresh-tables")}
    folders = {path.name for path in lake.iterdir() if not path.name.startswith("_")}
    assert shown.keys() == folders
    for name in folders:
        count, deleted = int(shown[name][0]), shown[name][1]
        files = objects(lake, name)
        assert count + (0 if deleted == "–" else int(deleted)) == sum(pq.read_metadata(file).num_rows for file in files)
        assert int(shown[name][2]) == sum(file.stat().st_size for file in files)
    synced = max(row["_synced_at"] for row in rows(lake, "costs", "_synced_at"))
    assert datetime.fromisoformat(shown["costs"][4]) == synced


# The page itself


def test_the_page_asks_nobody_and_says_nothing(page, written):
    assert page.asked_for() == [page.address]
    assert page.complaints() == []
    text = written.read_text()
    assert "http" not in re.sub(r"<meta http-equiv=", "<meta ", text), "an address is in the page"
    assert not re.search(r"\ssrc=|<link|<script|@import|url\(", text)
    assert set(re.findall(r'href="([^"]*)"', text)) == {f"#{name}" for name in re.findall(r'href="#([a-z]+)"', text)}
    missing = page.run("[...document.querySelectorAll('nav a')].filter(a => !document.querySelector(a.hash)).length")
    assert missing == 0 and oct(written.stat().st_mode)[-3:] == "600"


def test_charts_can_be_read_without_seeing_them(page):
    charts = page.run("""[...document.querySelectorAll('figure')].map(figure => ({
        id: figure.id, role: figure.querySelector('svg').getAttribute('role'),
        words: figure.querySelector('svg').getAttribute('aria-labelledby').split(' ')
            .map(id => document.getElementById(id).textContent.length),
        rows: figure.querySelectorAll('table tbody tr').length}))""")
    assert len(charts) == 4
    for chart in charts:
        assert chart["role"] == "img" and min(chart["words"]) > 5 and chart["rows"] > 0, chart
    ids = page.run("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(ids) == len(set(ids)), "an id comes twice"


CONTRAST = """(() => {
  const light = text => { const part = text.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2]; };
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const behind = element => { for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor; if (!/, 0\\)$|transparent/.test(colour)) return colour; }
    return 'rgb(255, 255, 255)'; };
  const texts = [...document.body.querySelectorAll('*')].filter(e => !e.closest('svg, style') &&
    [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
  const shapes = [...document.querySelectorAll('svg g:not(.partial) rect:not(.hit)')];
  return { texts: texts.length, text: Math.min(...texts.map(e => contrast(getComputedStyle(e).color, behind(e)))),
    shape: Math.min(...shapes.map(e => contrast(getComputedStyle(e).fill, behind(document.body)))),
    paper: light(behind(document.body)) };
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast_is_enough(browser, written, dark):
    seen = browser.open(written, dark=dark).run(CONTRAST)
    assert seen["texts"] > 200 and seen["text"] >= 4.5 and seen["shape"] >= 3, seen
    assert (seen["paper"] < 0.1) == dark


def test_paper_stays_white_and_is_cut_into_pages(browser, written):
    page = browser.open(written, dark=True, media="print")
    assert page.run(CONTRAST)["paper"] == 1
    pdf = page.pdf()
    assert pdf.startswith(b"%PDF") and 1 < len(re.findall(rb"/Type\s*/Page\b", pdf)) < 15


@pytest.mark.parametrize("width", [320, 390, 768, 1200, 1920])
def test_nothing_sticks_out_of_the_screen(browser, written, width):
    page = browser.open(written, width=width)
    assert page.run("document.documentElement.scrollWidth") <= width
    smallest = page.run("Math.min(...[...document.querySelectorAll('.x span, .y span')].map(e => parseFloat(getComputedStyle(e).fontSize)))")
    assert smallest >= 11, "labels of a chart shrink with it"


@pytest.mark.parametrize(("name", "width", "height", "dark"), [
    ("report-light", 1200, 1500, False), ("report-dark", 1200, 1500, True), ("report-phone", 390, 1300, False),
])
def test_screenshots(browser, written, tmp_path, name, width, height, dark):
    folder = pathlib.Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    picture = browser.open(written, width=width, dark=dark).screenshot(height)
    (folder / f"{name}.png").write_bytes(picture)
    assert picture[:8] == b"\x89PNG\r\n\x1a\n" and len(picture) > 20_000, "an empty page"
    assert int.from_bytes(picture[16:20], "big") == width and int.from_bytes(picture[20:24], "big") == height


# Names are hostile


def poison(dest, name: str, *columns: str) -> None:
    """Puts markup into text columns of every object of a table."""
    for path in objects(dest, name):
        content = pq.read_table(path)
        for column in columns:
            place = content.column_names.index(column)
            content = content.set_column(place, column, pa.array([EVIL] * content.num_rows, content.column(column).type))
        pq.write_table(content, path, compression="zstd")


def test_names_are_shown_and_never_run(lake, browser, tmp_path):
    dest = shutil.copytree(lake, tmp_path / "lake")
    poison(dest, "projects", "name")
    poison(dest, "users", "name", "email")
    poison(dest, "project_api_keys", "name", "redacted_value", "owner_user_name")
    poison(dest, "costs", "line_item")
    poison(dest, "usage_completions", "model")
    poison(dest, "audit_logs", "actor_session_user_email", "project_name", "actor_session_ip_address")
    (dest / "<b>evil").mkdir()
    shutil.copy(objects(dest, "users")[0], dest / "<b>evil/data.parquet")
    page = browser.open(report(dest))
    assert page.run("window.owned === undefined && document.scripts.length === 0 && document.images.length === 0")
    assert page.run("[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => /^on/.test(a.name))).length") == 0
    assert page.run("document.title").startswith("OpenAI spend and usage")
    assert page.complaints() == [] and page.asked_for() == [page.address]
    for selector in (".bars th", ".items th", "#top-keys th", "#top-users th", "#tokens-by-model th", "#audit-newest td"):
        found = page.run(f"[...document.querySelectorAll('{selector}')].some(e => e.textContent.includes({EVIL!r}))")
        assert found, f"{selector} does not show the name as it is"


def test_a_currency_is_never_added_to_another(lake, browser, tmp_path):
    dest = shutil.copytree(lake, tmp_path / "lake")
    path = objects(dest, "costs")[3]
    content = pq.read_table(path)
    place = content.column_names.index("currency")
    pq.write_table(content.set_column(place, "currency", pa.array(["eur"] * content.num_rows)), path, compression="zstd")
    page = browser.open(report(dest))
    totals = page.run("[...document.querySelectorAll('.tile')].filter(t => t.textContent.startsWith('Spend')).map(t => t.querySelector('data').value)")
    expected = sums((row["currency"], row["amount"]) for row in rows(dest, "costs", "currency", "amount"))
    assert sorted(map(Decimal, totals)) == sorted(expected.values()) and len(totals) == 2
    ids = page.run("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(ids) == len(set(ids)), "an id comes twice"


# What is not there


def test_a_section_without_its_table_says_which_key_is_missing(simulator, browser, tmp_path):
    sync(tmp_path / "lake", simulator, "--tables", "users")
    page = browser.open(report(tmp_path / "lake"))
    told = page.run("[...document.querySelectorAll('section')].map(s => [s.id, [...s.querySelectorAll('.empty')].map(e => e.textContent).join(' ')])")
    told = dict(told)
    for section, words in {
        "spend": ("costs", "OPENAI_ADMIN_KEY"), "tokens": ("usage_completions", "OPENAI_ADMIN_KEY"),
        "keys": ("costs",), "codex": ("codex_usage", "CODEX_ANALYTICS_KEY", "CHATGPT_WORKSPACE_IDS"),
        "audit": ("audit_logs", "OPENAI_ADMIN_KEY"),
    }.items():
        assert all(word in told[section] for word in words), told
    assert page.run("document.querySelectorAll('figure').length") == 0 and page.complaints() == []


def test_a_period_without_anything_says_so(lake, browser, tmp_path):
    out = tmp_path / "empty.html"
    command("report", "--dest", lake, "--out", out, "--since", "2020-01-01", "--until", "2020-02-01", code=0)
    told = browser.open(out).run("[...document.querySelectorAll('.empty')].map(e => e.textContent)")
    assert len(told) >= 5 and all("not have" not in text for text in told), told


def test_since_and_until_choose_the_days(lake, browser, tmp_path):
    first, _ = shown_period(lake)
    since, until = first + timedelta(3), first + timedelta(8)
    out = tmp_path / "week.html"
    command("report", "--dest", lake, "--out", out, "--since", since, "--until", until, code=0)
    total = browser.open(out).run("document.querySelector('.tile data').value")
    costs = rows(lake, "costs", "start_time", "amount")
    assert Decimal(total) == sum(row["amount"] for row in costs if since <= row["start_time"].date() < until)


def test_standard_output_and_wrong_flags(lake, tmp_path):
    run = command("report", "--dest", lake, "--out", "-", code=0)
    assert run.out.startswith("<!DOCTYPE html>") and run.out.endswith("</html>\n") and run.err == ""
    assert "--since" in command("report", "--dest", lake, "--since", "2026-02-01", "--until", "2026-01-01", code=1).err
    assert "--until" in command("report", "--dest", lake, "--until", "soon", code=1).err
    assert "nowhere" in command("report", "--dest", tmp_path / "nowhere", code=1).err
    assert "gone" in command("report", "--dest", lake, "--out", tmp_path / "gone/r.html", code=1).err
    assert not list(tmp_path.iterdir())
