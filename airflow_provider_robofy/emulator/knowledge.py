"""What agents were given to learn from: uploaded files and texts, their links, and crawls of websites."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class Asset:
    """
    One file or text, without its content.

    :param asset_id: its number.
    :param name: file name.
    :param kind: file or text.
    :param size: bytes.
    :param sha256: hash of the content, in hex.
    :param chatbot_id: the agent it was sent for, None if it was only uploaded.
    :param linkage_id: number of the link to that agent, None if there is none (any more).
    :param metadata: what the sender said about it.
    :param at: when it came, in seconds since 1970.
    :param since: the same on the monotonic clock, for how long it has been processed.
    """

    asset_id: int
    name: str
    kind: str
    size: int
    sha256: str
    chatbot_id: str | None
    linkage_id: int | None
    metadata: Any
    at: int
    since: float = field(default_factory=time.monotonic)

    def as_json(self) -> dict[str, Any]:
        """Return it as the control API shows it."""
        return {
            "asset_id": self.asset_id, "name": self.name, "kind": self.kind, "size": self.size,
            "sha256": self.sha256, "chatbot_id": self.chatbot_id, "linkage_id": self.linkage_id,
            "metadata": self.metadata,
        }  # fmt: skip


@dataclass(slots=True)
class Crawl:
    """
    One crawl of a website.

    :param run_id: its id.
    :param chatbot_id: the agent it is for, None for the project's own.
    :param request: the body it was started with.
    :param at: when it started, in seconds since 1970.
    :param since: the same on the monotonic clock.
    """

    run_id: str
    chatbot_id: str | None
    request: dict[str, Any]
    at: int
    since: float = field(default_factory=time.monotonic)

    def as_json(self) -> dict[str, Any]:
        """Return it as the control API shows it."""
        return {"run_id": self.run_id, "chatbot_id": self.chatbot_id, "request": self.request}


class Knowledge:
    """Keep every asset and crawl since the start, delinked and finished ones too, so that tests can count them."""

    def __init__(self) -> None:
        self.assets: list[Asset] = []
        self.crawls: list[Crawl] = []

    def add(
        self, *, name: str, kind: str, content: bytes | None, digest: tuple[str, int] | None,
        chatbot_id: str | None, metadata: Any, at: int,
    ) -> Asset:  # fmt: skip
        """
        Take in one asset.

        :param name: file name.
        :param kind: file or text.
        :param content: the content, or None where `digest` describes it.
        :param digest: hash in hex and size, of content that was read in parts.
        :param chatbot_id: the agent to link it to, None to link it to none.
        :param metadata: what the sender said about it.
        :param at: when, in seconds since 1970.
        """
        sha256, size = digest or (hashlib.sha256(content or b"").hexdigest(), len(content or b""))
        number = len(self.assets) + 1
        linkage = None if chatbot_id is None else 6547 + number
        asset = Asset(5781 + number, name, kind, size, sha256, chatbot_id, linkage, metadata, at)
        self.assets.append(asset)
        return asset

    def linked(self, chatbot_id: str) -> list[Asset]:
        """
        Return the assets that an agent learns from now.

        :param chatbot_id: the agent.
        """
        return [a for a in self.assets if a.chatbot_id == chatbot_id and a.linkage_id is not None]

    def asset_rows(self, chatbot_id: str, processing: float, write: Callable[[int], str | int]) -> list[dict[str, Any]]:
        """
        Return an agent's assets as the API lists them.

        :param chatbot_id: the agent.
        :param processing: seconds that an asset stays in processing.
        :param write: how a time is written.
        """
        return [
            {
                "linkage_id": asset.linkage_id,
                "asset_id": asset.asset_id,
                "chatbot_id": chatbot_id,
                "file_name": asset.name,
                "file_size": asset.size,
                "status": "Processing" if time.monotonic() - asset.since < processing else "Linked",
                "created_at": write(asset.at),
            }
            for asset in self.linked(chatbot_id)
        ]

    def crawl(self, chatbot_id: str | None, request: dict[str, Any], at: int) -> Crawl:
        """
        Start a crawl.

        :param chatbot_id: the agent it is for.
        :param request: the body that asked for it.
        :param at: when, in seconds since 1970.
        """
        crawl = Crawl(f"crawl_run_{12345 + len(self.crawls)}", chatbot_id, request, at)
        self.crawls.append(crawl)
        return crawl

    def latest_crawl(self, chatbot_id: str) -> Crawl | None:
        """
        Return an agent's latest crawl, None if it had none.

        :param chatbot_id: the agent.
        """
        return next((crawl for crawl in reversed(self.crawls) if crawl.chatbot_id == chatbot_id), None)
