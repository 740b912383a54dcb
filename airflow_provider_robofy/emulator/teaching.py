"""The endpoints that give an agent something to learn, and the chat itself."""

from __future__ import annotations

import hashlib
import time
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import BodyPartReader, MultipartReader

from airflow_provider_robofy.emulator import seeded
from airflow_provider_robofy.emulator.answers import Answer, bad_request, json_answer, not_found, success
from airflow_provider_robofy.emulator.ask import Ask, text_field
from airflow_provider_robofy.emulator.sessions import Message

if TYPE_CHECKING:
    from airflow_provider_robofy.emulator.world import World

FILE_TYPES = ("pdf", "docx", "doc", "xls", "xlsx", "txt", "html", "md", "markdown", "json")
_LARGEST_FIELD = 1 << 20


async def add_text_content(world: World, ask: Ask) -> Answer:
    """Answer Add Text Content with the documented bare object."""
    world.check_project(ask.params.get("projectId", world.settings.project))
    body = await ask.json_object()
    agent = world.agent(text_field(body, "chatbot_id"))
    content = text_field(body, "content")
    name = body.get("file_name") or f"text-{len(world.knowledge.assets) + 1}.txt"
    if not isinstance(name, str):
        raise bad_request("The field file_name must be text.", "file_name")
    extra = {key: body[key] for key in ("is_webpage", "source_platform") if key in body}
    asset = world.knowledge.add(
        name=name, kind="text", content=content.encode(), digest=None, chatbot_id=agent.chatbot_id,
        metadata=extra or None, at=world.now,
    )  # fmt: skip
    return json_answer(
        {
            "linkage_id": asset.linkage_id,
            "llm_source": f"document/{name}",
            "chatbot_id": agent.chatbot_id,
            "asset_id": asset.asset_id,
            "status": "active",
        }
    )


async def add_file(world: World, ask: Ask) -> Answer:
    """Answer Add File: reads the form part by part, keeps hash and size of the file, not the file."""
    if "projectId" in ask.params:
        world.check_project(ask.params["projectId"])
    form = await _read_form(ask)
    if form.name is None:
        raise bad_request("The field file is required.", "file")
    if form.size > world.settings.max_upload_bytes:
        raise bad_request(f"The file is larger than {world.settings.max_upload_bytes} bytes.", "file")
    if form.size == 0:
        raise bad_request("The file is empty.", "file")
    if form.name.rpartition(".")[2].lower() not in FILE_TYPES:
        raise bad_request(f"The file type is not supported; use one of {', '.join(FILE_TYPES)}.", "file")
    chatbot_id = form.fields.get("chatbot_id")
    if chatbot_id is not None:
        world.agent(chatbot_id)
    asset = world.knowledge.add(
        name=form.name, kind="file", content=None, digest=(form.sha256, form.size), chatbot_id=chatbot_id,
        metadata=form.fields.get("metadata"), at=world.now,
    )  # fmt: skip
    if chatbot_id is None:
        data: dict[str, Any] = {"status": "Uploaded", "asset_url": f"https://files.example.com/{asset.asset_id}"}
        return success("File uploaded successfully", data)
    data = {
        "linkage_id": asset.linkage_id,
        "chatbot_id": chatbot_id,
        "asset_id": asset.asset_id,
        "status": "Processing",
    }
    return success("Chatbot asset linkage initiated.", data)


class _Form:
    """What a multipart form held."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.size = 0
        self.sha256 = ""
        self.fields: dict[str, str] = {}


async def _read_form(ask: Ask) -> _Form:
    if not ask.request.content_type.startswith("multipart/form-data"):
        raise bad_request("The request must be multipart/form-data.", "Content-Type")
    form = _Form()
    try:
        reader: MultipartReader = await ask.request.multipart()
        async for part in reader:
            if not isinstance(part, BodyPartReader):
                raise bad_request("A form part may not be a form itself.")
            if part.name == "file":
                await _read_file(form, part)
            elif part.name:
                # One character of every multi-byte text would be cut here at worst; these fields are short.
                raw = bytearray()
                while chunk := await part.read_chunk():
                    raw += chunk
                    if len(raw) > _LARGEST_FIELD:
                        raise bad_request(f"The field {part.name} is too long.", part.name)
                form.fields[part.name] = raw.decode()
    except ValueError as broken:
        raise bad_request("The multipart body is not well formed.") from broken
    return form


async def _read_file(form: _Form, part: BodyPartReader) -> None:
    if form.name is not None:
        raise bad_request("Only one file may be sent.", "file")
    if not part.filename:
        raise bad_request("The file needs a file name.", "file")
    form.name = part.filename
    digest = hashlib.sha256()
    # A file beyond the limit is read to its end too: refusing in the middle would look like a dropped connection.
    while chunk := await part.read_chunk(1 << 16):
        form.size += len(chunk)
        digest.update(chunk)
    form.sha256 = digest.hexdigest()


async def delink_asset(world: World, ask: Ask) -> Answer:
    """Answer Delink Asset; takes `linkage_id`, or `asset_id` with `chatbot_id`, in the query or the body."""
    body: dict[str, Any] = dict(ask.query)
    if ask.request.can_read_body:
        body |= await ask.json_object()
    if "linkage_id" not in body and not {"asset_id", "chatbot_id"} <= set(body):
        raise bad_request("Give linkage_id, or asset_id and chatbot_id.", "linkage_id")
    for asset in world.knowledge.assets:
        linked = asset.linkage_id is not None
        same = str(asset.linkage_id) == str(body.get("linkage_id")) if "linkage_id" in body else (
            str(asset.asset_id) == str(body["asset_id"]) and asset.chatbot_id == body["chatbot_id"]
        )  # fmt: skip
        if linked and same:
            asset.linkage_id = None
            return success("Asset delinked successfully.", {"asset_id": asset.asset_id})
    raise not_found("The asset link does not exist.", "linkage_id", "ASSET_NOT_FOUND")


async def add_website(world: World, ask: Ask) -> Answer:
    """Answer Add Website with the documented bare object, and start a crawl."""
    body = await ask.json_object()
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
    crawl = world.knowledge.crawl(chatbot_id, body, world.now)
    return json_answer({"run_id": crawl.run_id, "status": "crawling", "started_at": world.write(crawl.at)})


async def get_crawl_status(world: World, ask: Ask) -> Answer:
    """Answer Get Crawl Status: of the agent's latest crawl, since the call names no run."""
    world.check_project(ask.params.get("projectId", world.settings.project))
    agent = world.agent(ask.params["chatbotId"])
    crawl = world.knowledge.latest_crawl(agent.chatbot_id)
    if crawl is None and world.settings.crawl_idle is not None:
        return success("No crawl was started.", {"status": world.settings.crawl_idle})
    if crawl is None:
        raise not_found("No crawl was started for this chatbot.", "chatbot_id", "CRAWL_NOT_FOUND")
    settings, age = world.settings, time.monotonic() - crawl.since
    done = age >= settings.crawl_seconds
    share = 1.0 if done else age / settings.crawl_seconds
    data = {
        "run_id": crawl.run_id,
        "status": settings.crawl_result if done else settings.crawl_running,
        "pages_crawled": int(20 * share),
        "started_at": world.write(crawl.at),
        "finished_at": world.write(crawl.at + int(settings.crawl_seconds)) if done else None,
    }
    return success("Crawl status retrieved successfully.", data)


async def send_message(world: World, ask: Ask) -> Answer:
    """Answer Send Message, and keep both sides of it in the session."""
    body = await ask.json_object()
    query = text_field(body, "query")
    if "pid" not in body:
        raise bad_request("The field pid is required.", "pid")
    world.check_project(body["pid"])
    agent = world.agent(text_field(body, "chatbot_id"))
    context = body.get("user_context")
    if not isinstance(context, dict):
        raise bad_request("The field user_context is required and must be an object.", "user_context")
    key = seeded.mix(world.settings.seed, len(agent.sessions))
    session_id = context.get("session_id")
    if session_id is None:
        session_id = str(uuid.UUID(int=key << 64 | seeded.mix(key, 1), version=4))
    session = agent.sessions.add(text_field({"session_id": session_id}, "session_id"), world.now, {})
    answer = seeded.sentence(key, len(session), question=False)
    session.later.append(Message(world.now, incoming=True, text=query))
    session.later.append(Message(world.now, incoming=False, text=answer))
    return success("Success", {"answer": answer, "session_id": session_id})
