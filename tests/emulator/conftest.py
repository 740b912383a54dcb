"""A client that knows nothing of the provider: requests, a key, and the paths of the reference."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests

from airflow_provider_robofy.emulator import Emulator


class Wire:
    """One emulator, seen from the other side of the socket."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {emulator.api_key}"

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        options.setdefault("timeout", 10)
        options.setdefault("allow_redirects", False)
        return self.session.request(method, self.emulator.url + path, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.call("GET", path, **options)

    def json(self, path: str, **options: Any) -> Any:
        answer = self.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def control(self, method: str, path: str, **options: Any) -> requests.Response:
        options.setdefault("timeout", 10)
        return requests.request(method, f"{self.emulator.url}/_robofy_emulator/{path}", **options)

    @property
    def agent(self) -> str:
        return quote(self.emulator.chatbot_ids[0], safe="")

    @property
    def leads_path(self) -> str:
        return f"/v1/ai-agent/leads/24017/{self.agent}"

    def leads_pages(self, path: str | None = None, **query: str) -> list[list[Any]]:
        pages, token = [], None
        while True:
            params = query if token is None else {**query, "nextPageToken": token}
            report = self.json(path or self.leads_path, params=params)["data"]["report"]
            pages.append(report["rows"])
            token = report.get("next_page_token")
            if not token:
                return pages

    def leads_rows(self, path: str | None = None, **query: str) -> list[Any]:
        return [row for page in self.leads_pages(path, **query) for row in page]


@pytest.fixture
def serve() -> Iterator[Callable[..., Wire]]:
    started: list[Emulator] = []

    def start(**options: Any) -> Wire:
        emulator = Emulator(**{"leads": 25, "page_size": 10, "sessions": 8, **options}).start()
        started.append(emulator)
        return Wire(emulator)

    yield start
    for emulator in started:
        emulator.stop()


@pytest.fixture
def wire(serve: Callable[..., Wire]) -> Wire:
    return serve()
