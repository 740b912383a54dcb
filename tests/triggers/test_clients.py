"""One client for all triggers of a loop that talk to one account."""

from __future__ import annotations

import asyncio

from airflow_provider_robofy.api.aio import AsyncRobofyClient
from airflow_provider_robofy.api.endpoints import list_projects
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.triggers import clients
from airflow_provider_robofy.triggers.clients import shared_client


def settings_of(robofy, **changes) -> Settings:
    return Settings(api_key=robofy.api_key, base_url=robofy.url, **changes)


def test_the_same_settings_share_a_client_until_the_last_gives_it_back(robofy_emulator):
    async def run() -> None:
        async with shared_client(settings_of(robofy_emulator)) as first:
            async with shared_client(settings_of(robofy_emulator)) as second:
                assert first is second
            assert (await first.call(list_projects())).items, "the client still works for the one that is left"
        async with shared_client(settings_of(robofy_emulator)) as third:
            assert third is not first
        assert clients._lent[asyncio.get_running_loop()] == []

    asyncio.run(run())


def test_another_key_or_timeout_is_another_client(robofy_emulator):
    async def run() -> None:
        async with (
            shared_client(settings_of(robofy_emulator)) as one,
            shared_client(settings_of(robofy_emulator, read_timeout=7)) as other,
        ):
            assert one is not other

    asyncio.run(run())


def test_each_event_loop_has_its_own(robofy_emulator):
    async def use() -> AsyncRobofyClient:
        async with shared_client(settings_of(robofy_emulator)) as client:
            await client.call(list_projects())
            return client

    assert asyncio.run(use()) is not asyncio.run(use())


def test_one_that_is_cancelled_while_it_opens_spoils_nothing_for_the_others(robofy_emulator, monkeypatch):
    opened = AsyncRobofyClient.__aenter__

    async def slowly(self):
        await asyncio.sleep(0.2)
        return await opened(self)

    monkeypatch.setattr(AsyncRobofyClient, "__aenter__", slowly)

    async def use() -> int:
        async with shared_client(settings_of(robofy_emulator)) as client:
            return len((await client.call(list_projects())).items)

    async def run() -> None:
        first, second = asyncio.create_task(use()), asyncio.create_task(use())
        await asyncio.sleep(0.05)
        first.cancel()
        assert await second == 1
        assert first.cancelled()
        assert clients._lent[asyncio.get_running_loop()] == []

    asyncio.run(run())
