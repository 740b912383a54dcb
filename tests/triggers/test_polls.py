"""The polls of all triggers of an event loop: shared, bounded, fair, and gone when the last trigger leaves."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_robofy.api.endpoints import list_projects
from airflow_provider_robofy.api.errors import RobofyError, RobofyServerError
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.triggers import polls as module
from airflow_provider_robofy.triggers.polls import THREADS, THREADS_PER_ACCOUNT, shared_polls
from tests.child import python

HERE = Settings(api_key="k")
FAST = {"interval": 60, "timeout": 5}


@pytest.fixture(autouse=True)
def _no_spacing(monkeypatch):
    monkeypatch.setattr(module, "SPACING", 0.0)


@dataclass(frozen=True)
class Recorder:
    """A poll that waits for a gate and answers every question with itself. Equal by its name."""

    name: str
    made: Any
    gate: Any = None

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other) -> bool:
        return self.name == other.name

    def __call__(self, client, questions):
        self.made.append((self.name, sorted(questions), client))
        if self.gate is not None:
            assert self.gate.wait(20)
        return {question: f"{self.name}:{question}" for question in questions}


def test_whoever_asks_while_a_poll_is_under_way_shares_the_next_one():
    made: list[Any] = []
    gate = threading.Event()

    async def run() -> list[str]:
        async with shared_polls() as polls:
            poll = Recorder("a", made, gate)
            first = asyncio.ensure_future(polls.ask(poll, "1", settings=HERE, **FAST))
            await asyncio.sleep(0.1)
            later = [
                asyncio.ensure_future(polls.ask(Recorder("a", made, gate), q, settings=HERE, **FAST)) for q in "2233"
            ]
            await asyncio.sleep(0.1)
            gate.set()
            return await asyncio.gather(first, *later)

    assert asyncio.run(run()) == ["a:1", "a:2", "a:2", "a:3", "a:3"]
    assert [questions for _, questions, _ in made] == [["1"], ["2", "3"]]


@pytest.mark.serial
def test_two_polls_of_one_agent_keep_their_distance(monkeypatch):
    monkeypatch.setattr(module, "SPACING", 0.3)
    made: list[Any] = []

    async def run() -> float:
        async with shared_polls() as polls:
            began = time.monotonic()
            for question in "12":
                await polls.ask(Recorder("a", made), question, settings=HERE, **FAST)
            return time.monotonic() - began

    assert 0.3 <= asyncio.run(run()) < 2


def test_an_error_reaches_everybody_who_asked_and_not_the_next_poll():
    outcomes = [RobofyServerError("down"), None]

    @dataclass(frozen=True)
    class Failing:
        def __call__(self, client, questions):
            if (error := outcomes.pop(0)) is not None:
                raise error
            return dict.fromkeys(questions, "up")

    async def run() -> list[Any]:
        async with shared_polls() as polls:
            asked = [polls.ask(Failing(), q, settings=HERE, **FAST) for q in "112"]
            first = await asyncio.gather(*asked, return_exceptions=True)
            return [*first, await polls.ask(Failing(), "3", settings=HERE, **FAST)]

    *failed, after = asyncio.run(run())
    assert [type(one) for one in failed] == [RobofyServerError] * 3
    assert after == "up"


@pytest.mark.serial
def test_one_account_never_holds_more_than_half_of_the_threads():
    made: list[Any] = []
    gate = threading.Event()

    async def run() -> str:
        async with shared_polls() as polls:
            hanging = [
                asyncio.ensure_future(polls.ask(Recorder(f"h{n}", made, gate), "q", settings=HERE, **FAST))
                for n in range(2 * THREADS)
            ]
            await asyncio.sleep(0.2)
            held = len(made)
            other = Settings(api_key="another")
            answer = await polls.ask(Recorder("free", made), "q", settings=other, **FAST)
            gate.set()
            await asyncio.gather(*hanging)
            return f"{held} {answer}"

    assert asyncio.run(run()) == f"{THREADS_PER_ACCOUNT} free:q"


def test_a_poll_makes_one_attempt_within_its_interval(robofy_emulator):
    seen: list[Settings] = []

    @dataclass(frozen=True)
    class Spy:
        def __call__(self, client, questions):
            seen.append(client.settings)
            return dict.fromkeys(questions)

    async def run() -> None:
        async with shared_polls() as polls:
            for interval in (60, 0.05):
                await polls.ask(Spy(), None, settings=HERE, interval=interval, timeout=5)

    asyncio.run(run())
    assert [(one.max_attempts, one.total_timeout) for one in seen] == [(1, 60), (1, 1.0)]


def test_the_wait_for_an_answer_is_bounded_and_what_nobody_waits_for_is_not_asked():
    made: list[Any] = []
    gate = threading.Event()

    async def run() -> None:
        async with shared_polls() as polls:
            first = asyncio.ensure_future(polls.ask(Recorder("a", made, gate), "1", settings=HERE, **FAST))
            await asyncio.sleep(0.1)
            with pytest.raises(TimeoutError):
                await polls.ask(Recorder("a", made, gate), "2", settings=HERE, interval=60, timeout=0.1)
            gate.set()
            await first
            await asyncio.sleep(0.1)
            assert not polls._asked, "nothing is kept of an agent that nobody asks for"

    asyncio.run(run())
    assert [questions for _, questions, _ in made] == [["1"]]


def test_a_client_is_used_again_by_the_next_poll_of_the_account():
    made: list[Any] = []

    async def run() -> None:
        async with shared_polls() as polls:
            for name in "ab":
                await polls.ask(Recorder(name, made), "q", settings=HERE, **FAST)
            await polls.ask(Recorder("c", made), "q", settings=Settings(api_key="other"), **FAST)

    asyncio.run(run())
    one, same, other = (client for *_, client in made)
    assert one is same
    assert other is not one


def test_clients_without_work_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(module, "_MAX_IDLE", 3)
    made: list[Any] = []

    async def run() -> int:
        async with shared_polls() as polls:
            for n in range(10):
                await polls.ask(Recorder("a", made), "q", settings=Settings(api_key=f"k{n}"), **FAST)
            return len(polls._idle)

    assert asyncio.run(run()) == 3


def test_the_triggers_of_a_loop_share_until_the_last_one_leaves_and_each_loop_has_its_own():
    async def run():
        async with shared_polls() as first:
            async with shared_polls() as second:
                assert first is second
            assert await first.ask(Recorder("a", []), "q", settings=HERE, **FAST) == "a:q"
        async with shared_polls() as third:
            assert third is not first
            return third

    assert asyncio.run(run()) is not asyncio.run(run())
    assert not module._polls


@pytest.mark.serial
def test_when_the_last_trigger_leaves_the_request_under_way_ends(robofy_emulator):
    robofy_emulator.configure(latency=30)
    settings = Settings(api_key=robofy_emulator.api_key, base_url=robofy_emulator.url)
    ended: list[BaseException] = []

    @dataclass(frozen=True)
    class Hanging:
        def __call__(self, client, questions):
            try:
                return dict.fromkeys(questions, client.call(list_projects()))
            except RobofyError as error:
                ended.append(error)
                raise

    async def run() -> None:
        async with shared_polls() as polls:
            with pytest.raises(TimeoutError):
                await polls.ask(Hanging(), None, settings=settings, interval=60, timeout=0.3)

    began = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - began < 3
    end = time.monotonic() + 5
    while not ended:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert "killed" in str(ended[0])


@pytest.mark.serial
def test_a_process_ends_while_a_call_hangs(robofy_emulator):
    robofy_emulator.configure(latency=60)
    code = f"""
import asyncio
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.knowledge.crawl import crawl_status
from airflow_provider_robofy.triggers.knowledge import AgentPoll
from airflow_provider_robofy.triggers.polls import shared_polls

settings = Settings(api_key={robofy_emulator.api_key!r}, base_url={robofy_emulator.url!r})

async def main():
    async with shared_polls() as polls:
        await polls.ask(AgentPoll(crawl_status, "1", "a"), None, settings=settings, interval=60, timeout=0.5)

try:
    asyncio.run(main())
except TimeoutError:
    print("timed out")
"""
    began = time.monotonic()
    done = python("-c", code, timeout=50)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("timed out\n")
    assert time.monotonic() - began < 30, "importing Airflow is most of it"
