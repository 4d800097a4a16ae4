"""A real browser: Debian's Chromium, without a window, spoken to through the pipe that it offers (DevTools protocol).

Nothing has to be installed beside Chromium itself: no driver, no library, no port.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess

import pytest

PATIENCE = 60  # seconds without any answer after which the browser is a failure


def find_chromium() -> str:
    named = [os.environ.get("CHROMIUM")] if os.environ.get("CHROMIUM") else ["chromium", "chromium-browser", "google-chrome"]
    found = next(filter(None, map(shutil.which, named)), None)
    if not found:
        pytest.fail("this test needs Chromium: apt-get install chromium (or set CHROMIUM to its path)", pytrace=False)
    return found


class Browser:
    """One browser. Each `open` is a page of its own, and remembers what it said and asked for."""

    def __init__(self, folder: pathlib.Path):
        to_browser, from_browser = os.pipe(), os.pipe()
        flags = [
            "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={folder}", "--disable-gpu", "--no-first-run",
            "--hide-scrollbars", "--force-color-profile=srgb", "--disable-background-networking",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
        ]
        # The browser expects its pipe at the descriptors 3 and 4.
        line = f'exec "$0" "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'
        self.process = subprocess.Popen(
            ["bash", "-c", line, find_chromium(), *flags], pass_fds=(to_browser[0], from_browser[1]),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        os.close(to_browser[0])
        os.close(from_browser[1])
        self.out, self.input, self.buffer, self.number = to_browser[1], from_browser[0], b"", 0

    def send(self, method: str, session: str | None = None, **params) -> int:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        return self.number

    def receive(self) -> dict:
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.input], [], [], PATIENCE)
            assert ready, "the browser does not answer"
            more = os.read(self.input, 1 << 20)
            assert more, "the browser has ended"
            self.buffer += more
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def ask(self, method: str, session: str | None = None, events: list | None = None, **params) -> dict:
        """The answer to one command; what happens meanwhile goes to `events`."""
        number = self.send(method, session, **params)
        while True:
            message = self.receive()
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            if events is not None:
                events.append(message)

    def open(self, path: pathlib.Path, width: int = 1200, height: int = 900, dark: bool = False, media: str = "") -> Page:
        return Page(self, path, width, height, dark, media)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        os.close(self.out)
        os.close(self.input)


class Page:
    """A file in the browser, loaded to its end."""

    def __init__(self, browser: Browser, path: pathlib.Path, width: int, height: int, dark: bool, media: str):
        self.browser, self.events, self.size = browser, [], (width, height)
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.address = path.resolve().as_uri()
        self.ask("Page.navigate", url=self.address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(browser.receive())

    def ask(self, method: str, **params) -> dict:
        return self.browser.ask(method, self.session, self.events, **params)

    def run(self, script: str):
        """The value of an expression in the page."""
        done = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def of(self, method: str) -> list[dict]:
        """What has happened so far, of one kind."""
        self.run("0")  # everything up to now has been told when this is answered
        return [event["params"] for event in self.events if event.get("method") == method]

    def complaints(self) -> list[dict]:
        return [*self.of("Runtime.exceptionThrown"), *self.of("Runtime.consoleAPICalled"), *self.of("Log.entryAdded")]

    def asked_for(self) -> list[str]:
        return [event["request"]["url"] for event in self.of("Network.requestWillBeSent")]

    def height(self) -> int:
        return self.run("document.documentElement.scrollHeight")

    def screenshot(self, height: int | None = None) -> bytes:
        clip = {"x": 0, "y": 0, "width": self.size[0], "height": height or self.height(), "scale": 1}
        taken = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(taken["data"])

    def pdf(self) -> bytes:
        return base64.b64decode(self.ask("Page.printToPDF", preferCSSPageSize=True)["data"])
