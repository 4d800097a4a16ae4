"""Looks for credentials in everything that a run has produced: both streams, state, reports, and every value of the lake."""

import base64
import urllib.parse

import pyarrow.parquet as pq

WINDOW = 12  # characters of a key that nobody writes by chance


def everything(dest) -> str:
    """Every value of the lake, and every other file of it."""
    found = []
    for path in sorted(dest.rglob("*")):
        found.append(str(path.relative_to(dest)))
        if path.suffix == ".parquet":
            found += [repr(value) for column in pq.read_table(path).columns for value in column.to_pylist() if value is not None]
        elif path.is_file():
            found.append(path.read_text(errors="replace"))
    return "\n".join(found)


def pieces(secret: str) -> set[str]:
    """Runs of the secret's characters that would help somebody; of a short one the whole."""
    if len(secret) < 2 * WINDOW:
        return {secret}
    return {secret[at : at + WINDOW] for at in range(len(secret) - WINDOW + 1)}


def assert_no_secret(text: str, *secrets: str) -> None:
    """Neither as it is, nor a good part of it, nor in the usual disguises."""
    for secret in secrets:
        disguised = {urllib.parse.quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("="), secret[::-1]}
        found = [piece for piece in pieces(secret) | disguised if piece in text]
        where = text.index(found[0]) if found else 0
        assert not found, f"{len(found)} pieces of a secret are told: …{text[max(0, where - 100) : where + 60]}…"
