"""The fan-out without a network: order, bounds and ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.extract.fanout import fan_out


@dataclass
class Answer:
    number: int
    closed: bool = False

    def close(self) -> None:
        self.closed = True


def run(items, work, hand_on, *, at_a_time=4, ahead=8):
    asyncio.run(fan_out(items, work, hand_on, at_a_time=at_a_time, ahead=ahead))


@given(
    steps=st.lists(st.integers(min_value=0, max_value=5), max_size=30),
    at_a_time=st.integers(min_value=1, max_value=6),
    ahead=st.integers(min_value=0, max_value=6),
)
def test_results_come_in_order_and_within_bounds_whatever_each_takes(steps, at_a_time, ahead):
    handed_on: list[int] = []
    busy = most_busy = taken = furthest = 0

    def items():
        nonlocal taken, furthest
        for number in range(len(steps)):
            taken += 1
            furthest = max(furthest, taken - len(handed_on))
            yield number

    async def work(number: int) -> Answer:
        nonlocal busy, most_busy
        busy += 1
        most_busy = max(most_busy, busy)
        for _ in range(steps[number]):
            await asyncio.sleep(0)
        busy -= 1
        return Answer(number)

    run(items(), work, lambda one: handed_on.append(one.number), at_a_time=at_a_time, ahead=ahead)

    assert handed_on == list(range(len(steps)))
    assert most_busy <= at_a_time
    assert furthest <= at_a_time + ahead


def test_a_slow_item_holds_up_no_more_than_what_may_wait():
    started: list[int] = []
    gate = asyncio.Event()
    handed_on: list[int] = []

    async def work(number: int) -> Answer:
        started.append(number)
        if number == 0:
            await gate.wait()
        return Answer(number)

    async def scenario() -> None:
        running = asyncio.create_task(
            fan_out(range(100), work, lambda one: handed_on.append(one.number), at_a_time=3, ahead=5)
        )
        for _ in range(50):
            await asyncio.sleep(0)
        assert started == list(range(8))
        assert handed_on == []
        gate.set()
        await running

    asyncio.run(scenario())
    assert handed_on == list(range(100))


def test_an_exception_ends_the_others_and_lets_go_of_what_waited():
    made: list[Answer] = []
    ended: list[int] = []

    async def work(number: int) -> Answer:
        if number == 3:
            await asyncio.sleep(0.01)
            raise ValueError("three")
        if number == 0:
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(number)
        made.append(Answer(number))
        return made[-1]

    handed_on: list[Answer] = []
    with pytest.raises(ValueError, match="three"):
        run(range(10), work, handed_on.append, at_a_time=4, ahead=20)
    assert ended == [0]
    assert handed_on == []
    assert made
    assert all(one.closed for one in made)


def test_an_exception_of_the_items_comes_through():
    def items():
        yield 1
        raise OSError("the file is gone")

    async def work(number: int) -> Answer:
        await asyncio.sleep(0)
        return Answer(number)

    with pytest.raises(OSError, match="gone"):
        run(items(), work, lambda one: None)


def test_no_items_are_no_problem():
    handed_on: list[Answer] = []

    async def work(number: int) -> Answer:
        raise AssertionError

    run([], work, handed_on.append)
    assert handed_on == []
