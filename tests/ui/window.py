"""A browser's window: what it shows, what it was told, and what is kept of it."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Error, expect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.sync_api import Browser, ConsoleMessage, FloatRect, Locator, Request

SIZE = (1200, 800)
PATIENCE = 20_000  # milliseconds until something must have appeared; two shared cores are slow now and then
# Where pictures for the documents go; without it a run changes no file of the checkout.
PICTURES = "ROBOFY_SCREENSHOTS"


class Window:
    """Open a window, and remember what Airflow's API tells it.

    :param browser: A launched browser.
    :param airflow: The running Airflow.
    :param folder: Where pictures and evidence are kept.
    :param secrets: Texts that must not be in what is kept.
    """

    def __init__(self, browser: Browser, airflow: Any, folder: Path, secrets: Sequence[str]) -> None:
        self.airflow = airflow
        self.answers: list[str] = []
        self.sent: list[Request] = []
        self._folder = folder
        self._secrets = list(secrets)
        self._console: list[str] = []
        expect.set_options(timeout=PATIENCE)
        self._context = browser.new_context(
            base_url=airflow.url,
            viewport={"width": SIZE[0], "height": SIZE[1]},
            color_scheme="light",
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
            permissions=["clipboard-read", "clipboard-write"],
        )
        self._context.set_default_timeout(PATIENCE)
        self.page = self._context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self._console.append(f"page error: {error}"))
        self.page.on("request", self._asked)
        self.page.on("requestfinished", self._answered)

    def close(self) -> None:
        """Close it."""
        with suppress(Error):
            self._context.close()

    def keep_secret(self, secret: str) -> None:
        """Take note of another text that must not be in what is kept."""
        self._secrets.append(secret)

    def told(self) -> str:
        """Return everything that Airflow's API has answered to this window."""
        self.page.wait_for_load_state("networkidle")
        return "\n".join(self.answers)

    def shown(self) -> str:
        """Return the page as it is now: text, attributes and what stands in its fields."""
        values = self.page.locator("input, textarea").evaluate_all("all => all.map(each => each.value)")
        return "\n".join([self.page.content(), *values])

    def picture(self, name: str, *, height: int = SIZE[1], of: Locator | None = None) -> None:
        """Take a picture for the documents.

        :param name: Of the file, without suffix.
        :param height: How high the window is while it is taken.
        :param of: What to show of the page, with a little around it; default all.
        """
        path = self._folder / f"{name}.png"
        self.page.set_viewport_size({"width": SIZE[0], "height": height})
        clip: FloatRect | None = None
        if of:
            of.evaluate("it => it.scrollIntoView({block: 'start'})")
            box = of.bounding_box()
            assert box
            clip = {"x": box["x"] - 8, "y": box["y"] - 8, "width": box["width"] + 16, "height": box["height"] + 16}
        self.page.screenshot(path=path, clip=clip, animations="disabled")
        self.page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
        if wanted := os.environ.get(PICTURES):
            Path(wanted).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, Path(wanted) / path.name)

    def evidence(self, name: str) -> str:
        """Keep what helps to understand a failure, and say where it is."""
        folder = self._folder / "evidence"
        folder.mkdir(exist_ok=True)
        with suppress(Error):
            self.page.screenshot(path=folder / "page.png", full_page=True)
            (folder / "page.html").write_text(self._redacted(self.page.content()))
        (folder / "console.log").write_text(self._redacted("\n".join(self._console)))
        (folder / "answers.log").write_text(self._redacted("\n".join(self.answers)))
        for log in self.airflow.folder.glob("*.out"):
            (folder / log.name).write_text(self._redacted(log.read_text(errors="replace")))
        with suppress(OSError):
            shutil.copytree(self.airflow.folder / "logs", folder / "logs", dirs_exist_ok=True)
        return f"{name}: screenshot, page, console and Airflow's logs are in {folder}; the page was {self.page.url}"

    def _redacted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _said(self, message: ConsoleMessage) -> None:
        self._console.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if request.method != "GET" and "/api/v2/" in request.url:
            self.sent.append(request)

    def _answered(self, request: Request) -> None:
        if "/api/v2/" not in request.url and "/ui/" not in request.url:
            return
        with suppress(Error):  # the answer to a page that was left
            answer = request.response()
            if answer:
                self.answers.append(f"{request.method} {request.url}: HTTP {answer.status} {answer.text()}")
