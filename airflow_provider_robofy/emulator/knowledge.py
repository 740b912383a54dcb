"""Knowledge: uploaded files and texts with their links, crawls of websites, and the endpoints for them."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import BodyPartReader

from airflow_provider_robofy.emulator.pages import listing
from airflow_provider_robofy.emulator.wire import bad_request, not_found, success, text_field

if TYPE_CHECKING:
    from airflow_provider_robofy.emulator.account import World
    from airflow_provider_robofy.emulator.wire import ApiRequest

#: Short words such as "the" and "is" are in every text.
_WORD = re.compile(r"\w{4,}")
_FILE_TYPES = ("pdf", "docx", "doc", "xls", "xlsx", "txt", "html", "md", "markdown", "json")


@dataclass(slots=True)
class Record:
    """One asset or crawl, and when it came.

    :param shown: What the control API shows. Of an asset: `asset_id`, `name`, `kind` (file or text), `size` in bytes,
        `sha256`, the agent's `chatbot_id` (None if it was only uploaded), `linkage_id` (None if it is not linked)
        and `metadata`. Of a crawl: `run_id`, `chatbot_id` and the `request` that asked for it.
    :param at: When, in seconds since 1970.
    :param text: What the agent answers from. Default nothing.
    :param since: The same as `at` on the monotonic clock, for how long it has taken.
    """

    shown: dict[str, Any]
    at: int
    text: str = ""
    since: float = field(default_factory=time.monotonic)


def answer_from(world: World, chatbot_id: str, query: str) -> str:
    """Return the linked and processed text that shares most words with a query; of two the later one.

    :param world: The account.
    :param chatbot_id: The agent that is asked.
    :param query: What it is asked.
    """
    asked, processing = _words(query), time.monotonic() - world.settings.processing_seconds
    best, most = "I do not know.", 1
    for record in world.assets:
        asset = record.shown
        if asset["chatbot_id"] == chatbot_id and asset["linkage_id"] is not None and record.since <= processing:
            shared = len(asked & _words(record.text))
            best, most = (record.text, shared) if shared >= most else (best, most)
    return best


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _add_asset(world: World, chatbot_id: str | None, text: str = "", **about: Any) -> dict[str, Any]:
    number = len(world.assets) + 1
    linkage = None if chatbot_id is None else 6547 + number
    asset = {"asset_id": 5781 + number, "chatbot_id": chatbot_id, "linkage_id": linkage, **about}
    world.assets.append(Record(asset, world.now, text))
    return asset


async def add_text_content(world: World, request: ApiRequest) -> Any:
    """Answer Add Text Content with the documented bare object."""
    body = await request.json_object()
    chatbot_id = world.agent(text_field(body, "chatbot_id")).chatbot_id
    text = text_field(body, "content")
    content = text.encode()
    name = body.get("file_name") or f"text-{len(world.assets) + 1}.txt"
    if not isinstance(name, str):
        raise bad_request("The field file_name must be text.", "file_name")
    metadata = {key: body[key] for key in ("is_webpage", "source_platform") if key in body} or None
    sha256 = hashlib.sha256(content).hexdigest()
    about = {"name": name, "kind": "text", "size": len(content), "sha256": sha256, "metadata": metadata}
    asset = _add_asset(world, chatbot_id, text, **about)
    return {
        "linkage_id": asset["linkage_id"],
        "llm_source": f"document/{name}",
        "chatbot_id": chatbot_id,
        "asset_id": asset["asset_id"],
        "status": "active",
    }


async def add_file(world: World, request: ApiRequest) -> Any:
    """Answer Add File; hash and size of the file are kept, not the file."""
    fields, files = await _read_form(request)
    if not files:
        raise bad_request("The field file is required.", "file")
    if len(files) > 1:
        raise bad_request("Only one file may be sent.", "file")
    [(name, size, sha256)] = files
    if size > world.settings.max_upload_bytes:
        raise bad_request(f"The file is larger than {world.settings.max_upload_bytes} bytes.", "file")
    if size == 0:
        raise bad_request("The file is empty.", "file")
    if name.rpartition(".")[2].lower() not in _FILE_TYPES:
        raise bad_request(f"The file type is not supported; use one of {', '.join(_FILE_TYPES)}.", "file")
    chatbot_id = fields.get("chatbot_id")
    if chatbot_id is not None:
        world.agent(chatbot_id)
    asset = _add_asset(
        world, chatbot_id, name=name, kind="file", size=size, sha256=sha256, metadata=fields.get("metadata")
    )
    if chatbot_id is None:
        data: dict[str, Any] = {"status": "Uploaded", "asset_url": f"https://files.example.com/{asset['asset_id']}"}
        return success("File uploaded successfully", data)
    data = {"linkage_id": asset["linkage_id"], "chatbot_id": chatbot_id, "asset_id": asset["asset_id"]}
    return success("Chatbot asset linkage initiated.", data | {"status": "Processing"})


async def _read_form(request: ApiRequest) -> tuple[dict[str, str], list[tuple[str, int, str]]]:
    """Return the fields of a form, and name, size and SHA-256 of each file."""
    if request.http is None or not request.http.content_type.startswith("multipart/form-data"):
        raise bad_request("The request must be multipart/form-data.", "Content-Type")
    fields: dict[str, str] = {}
    files = []
    try:
        async for part in await request.http.multipart():
            if not isinstance(part, BodyPartReader):
                raise bad_request("A form part may not be a form itself.")
            if part.name == "file":
                if not part.filename:
                    raise bad_request("The file needs a file name.", "file")
                size, digest = 0, hashlib.sha256()
                # A file beyond the limit is read to its end: refusing in the middle would look like a lost connection.
                while chunk := await part.read_chunk(1 << 16):
                    size += len(chunk)
                    digest.update(chunk)
                files.append((part.filename, size, digest.hexdigest()))
            elif part.name:
                fields[part.name] = (await part.read()).decode()
    except ValueError as broken:
        raise bad_request("The multipart body is not well formed.") from broken
    return fields, files


async def list_linked_assets(world: World, request: ApiRequest) -> Any:
    """Answer List Linked Assets of an agent."""
    chatbot_id = world.agent(request.params["chatbotId"]).chatbot_id
    processing = time.monotonic() - world.settings.processing_seconds
    rows = [
        {
            "linkage_id": asset["linkage_id"],
            "asset_id": asset["asset_id"],
            "chatbot_id": chatbot_id,
            "file_name": asset["name"],
            "file_size": asset["size"],
            "status": "Processing" if record.since > processing else world.settings.processing_result,
            "created_at": world.write(record.at),
        }
        for record in world.assets
        if (asset := record.shown)["chatbot_id"] == chatbot_id and asset["linkage_id"] is not None
    ]
    return listing(world, request, len(rows), lambda start, stop: rows[start:stop])


async def delink_asset(world: World, request: ApiRequest) -> Any:
    """Answer Delink Asset; takes `linkage_id`, or `asset_id` with `chatbot_id`, in the query or the body."""
    given: dict[str, Any] = dict(request.query)
    if request.http is not None and request.http.can_read_body:
        given |= await request.json_object()
    names = ("linkage_id",) if "linkage_id" in given else ("asset_id", "chatbot_id")
    if not all(name in given for name in names):
        raise bad_request("Give linkage_id, or asset_id and chatbot_id.", "linkage_id")
    for asset in (record.shown for record in world.assets):
        if asset["linkage_id"] is not None and all(str(asset[name]) == str(given[name]) for name in names):
            asset["linkage_id"] = None
            return success("Asset delinked successfully.", {"asset_id": asset["asset_id"]})
    raise not_found("The asset link does not exist.", "linkage_id", "ASSET_NOT_FOUND")


async def add_website(world: World, request: ApiRequest) -> Any:
    """Answer Add Website with the documented bare object, and start a crawl."""
    body = await request.json_object()
    if "project_id" in body:
        world.check_project(body["project_id"])
    urls = body.get("start_urls")
    if not isinstance(urls, list) or not urls:
        raise bad_request("The field start_urls is required and must be a list.", "start_urls")
    for each in urls:
        url = each.get("url") if isinstance(each, dict) else None
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise bad_request('Every entry of start_urls must be {"url": "http..."}.', "start_urls")
    chatbot_id = body.get("chatbot_id")
    if chatbot_id is not None:
        world.agent(text_field(body, "chatbot_id"))
    run_id, now = f"crawl_run_{12345 + len(world.crawls)}", world.now
    world.crawls.append(Record({"run_id": run_id, "chatbot_id": chatbot_id, "request": body}, now))
    return {"run_id": run_id, "status": "crawling", "started_at": world.write(now)}


async def get_crawl_status(world: World, request: ApiRequest) -> Any:
    """Answer Get Crawl Status: of the agent's latest crawl, since the call names no run."""
    settings = world.settings
    chatbot_id = world.agent(request.params["chatbotId"]).chatbot_id
    crawl = next((crawl for crawl in reversed(world.crawls) if crawl.shown["chatbot_id"] == chatbot_id), None)
    if crawl is None:
        if settings.crawl_idle is None:
            raise not_found("No crawl was started for this chatbot.", "chatbot_id", "CRAWL_NOT_FOUND")
        return success("No crawl was started.", {"status": settings.crawl_idle})
    age = time.monotonic() - crawl.since
    done = age >= settings.crawl_seconds
    data = {
        "run_id": crawl.shown["run_id"],
        "status": settings.crawl_result if done else settings.crawl_running,
        "pages_crawled": 20 if done else int(20 * age / settings.crawl_seconds),
        "started_at": world.write(crawl.at),
        "finished_at": world.write(crawl.at + int(settings.crawl_seconds)) if done else None,
    }
    return success("Crawl status retrieved successfully.", data)
