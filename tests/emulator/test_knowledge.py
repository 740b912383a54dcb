import hashlib

CRAWL = "/v1/ai-agent/crawl_website"
UPLOAD = "/v1/ai-agent/upload_file/24017"
TEXT = "/v1/ai-agent/link_content/24017"


def assets_path(wire):
    return f"/v1/ai-agent/chatbot_asset_link/24017/{wire.agent}"


def status_path(wire):
    return f"/v1/ai-agent/crawl_status/24017/{wire.agent}"


def test_ten_megabytes_are_taken_and_one_byte_more_is_not(wire):
    limit = 10 * 1024 * 1024
    assert wire.call("POST", UPLOAD, files={"file": ("a.pdf", bytes(limit))}).status_code == 200
    answer = wire.call("POST", UPLOAD, files={"file": ("a.pdf", bytes(limit + 1))})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BAD_REQUEST")
    assert [asset["size"] for asset in wire.emulator.assets()] == [limit]


def test_add_file_may_live_elsewhere(serve):
    wire = serve(paths={"add_file": "/v2/files"})
    assert wire.call("POST", UPLOAD, files={"file": ("a.pdf", b"x")}).status_code == 404
    assert wire.call("POST", "/v2/files", files={"file": ("a.pdf", b"x")}).status_code == 200
    assert wire.emulator.count("add_file") == 1


def test_linked_assets_are_processed_then_linked_then_delinked(serve):
    wire = serve(processing_seconds=60)
    wire.call("POST", TEXT, json={"chatbot_id": wire.emulator.chatbot_ids[0], "content": "x"})
    wire.call("POST", UPLOAD, files={"file": ("a.pdf", b"x")}, data={"chatbot_id": wire.emulator.chatbot_ids[0]})
    rows = wire.json(assets_path(wire))["data"]
    assert [row["status"] for row in rows] == ["Processing", "Processing"]
    wire.emulator.configure(processing_seconds=0)
    assert [row["status"] for row in wire.json(assets_path(wire))["data"]] == ["Linked", "Linked"]
    delink = "/v1/ai-agent/chatbot_asset_delink"
    assert wire.call("DELETE", delink, json={"linkage_id": rows[0]["linkage_id"]}).status_code == 200
    assert wire.call("DELETE", delink, json={"linkage_id": rows[0]["linkage_id"]}).status_code == 404
    both = {"asset_id": rows[1]["asset_id"], "chatbot_id": rows[1]["chatbot_id"]}
    assert wire.call("DELETE", delink, params=both).status_code == 200
    assert wire.call("DELETE", delink).status_code == 400
    assert wire.json(assets_path(wire))["data"] == []
    assert len(wire.emulator.assets()) == 2


def test_a_crawl_runs_for_its_time_and_then_is_complete(serve):
    wire = serve(crawl_idle="not_started")
    assert wire.json(status_path(wire))["data"]["status"] == "not_started"
    wire = serve(crawl_seconds=60, crawl_running="Crawling", crawl_result="COMPLETED")
    assert wire.get(status_path(wire)).status_code == 404
    body = {"start_urls": [{"url": "https://example.com"}], "chatbot_id": wire.emulator.chatbot_ids[0]}
    begun = wire.call("POST", CRAWL, json=body).json()
    assert list(begun) == ["run_id", "status", "started_at"]
    assert (begun["run_id"], begun["status"]) == ("crawl_run_12345", "crawling")
    assert wire.json(status_path(wire))["data"]["status"] == "Crawling"
    wire.emulator.configure(crawl_seconds=0)
    done = wire.json(status_path(wire))["data"]
    assert (done["status"], done["run_id"]) == ("COMPLETED", "crawl_run_12345")
    assert [crawl["request"] for crawl in wire.emulator.crawls()] == [body]


def test_a_message_is_answered_and_kept_in_its_session(wire):
    body = {
        "query": "Hello?",
        "pid": "24017",
        "chatbot_id": wire.emulator.chatbot_ids[0],
        "user_context": {"platform": "web"},
    }
    first = wire.call("POST", "/v1/ai-agent/chat", json=body).json()
    assert first["message"] == "Success"
    assert list(first["data"]) == ["answer", "session_id"]
    body["user_context"] = {"session_id": first["data"]["session_id"], "platform": "web"}
    second = wire.call("POST", "/v1/ai-agent/chat", json=body).json()
    assert second["data"]["session_id"] == first["data"]["session_id"]
    path = f"/v1/ai-agent/inbox/chats/{wire.agent}/{first['data']['session_id']}"
    texts = [message["message"] for message in wire.json(path)["data"]]
    assert texts == ["Hello?", first["data"]["answer"], "Hello?", second["data"]["answer"]]


def test_text_content_gets_the_documented_bare_answer(wire):
    chatbot_id = wire.emulator.chatbot_ids[0]
    body = {"chatbot_id": chatbot_id, "content": "Größe", "file_name": "support-policy.txt"}
    answer = wire.call("POST", TEXT, json=body).json()
    [asset] = wire.emulator.assets()
    assert answer == {
        "linkage_id": asset["linkage_id"],
        "llm_source": "document/support-policy.txt",
        "chatbot_id": chatbot_id,
        "asset_id": asset["asset_id"],
        "status": "active",
    }
    assert asset["sha256"] == hashlib.sha256("Größe".encode()).hexdigest()
    assert (asset["name"], asset["kind"], asset["size"]) == ("support-policy.txt", "text", 7)


def test_a_file_gets_the_documented_answer_linked_or_only_uploaded(wire):
    chatbot_id = wire.emulator.chatbot_ids[2]
    content = bytes(range(256)) * 4000
    files = {"file": ("prices ü.pdf", content, "application/pdf")}
    data = {"chatbot_id": chatbot_id, "metadata": '{"team": "sales"}'}
    linked = wire.call("POST", UPLOAD, files=files, data=data).json()
    only_uploaded = wire.call("POST", UPLOAD, files={"file": ("a.txt", b"x")}).json()
    asset, other = wire.emulator.assets()
    ids = {name: asset[name] for name in ("linkage_id", "chatbot_id", "asset_id")}
    assert linked == {"message": "Chatbot asset linkage initiated.", "data": {**ids, "status": "Processing"}}
    assert asset["sha256"] == hashlib.sha256(content).hexdigest()
    assert (asset["name"], asset["size"], asset["chatbot_id"]) == ("prices ü.pdf", 1_024_000, chatbot_id)
    assert asset["metadata"] == '{"team": "sales"}'
    assert (only_uploaded["message"], only_uploaded["data"]["status"]) == ("File uploaded successfully", "Uploaded")
    assert only_uploaded["data"]["asset_url"].startswith("https://")
    assert other["linkage_id"] is None


def test_a_chunked_upload_is_read_like_any_other(wire):
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.md"\r\n\r\n# Title\r\n--b--\r\n'
    pieces = (body[at : at + 7] for at in range(0, len(body), 7))
    wire.call("POST", UPLOAD, data=pieces, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert wire.emulator.assets()[0]["sha256"] == hashlib.sha256(b"# Title").hexdigest()
