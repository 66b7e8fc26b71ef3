"""The settlement buffer: age, order, failed transactions."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.adapters.dramatiq.factories import settlement
from workbell.adapters.dramatiq import settlement_buffer
from workbell.adapters.dramatiq.settlement_buffer import SettlementBuffer


def test_settlements_are_drained_once_and_in_order() -> None:
    buffer = SettlementBuffer()
    buffer.add(settlement(1))
    buffer.requeue([settlement(2), settlement(3)])
    assert len(buffer) == 3
    assert [settlement.id for settlement in buffer.drain()] == [1, 2, 3]
    assert buffer.drain() == []


def test_the_first_settlement_decides_when_the_buffer_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(settlement_buffer, "monotonic", lambda: now[0])
    buffer = SettlementBuffer()
    assert not buffer.is_due(0.0)
    buffer.add(settlement(1))
    assert buffer.is_due(0.0)
    assert not buffer.is_due(0.5)
    now[0] += 1
    buffer.add(settlement(2))
    assert buffer.is_due(0.5)
    drained = buffer.drain()
    buffer.requeue(drained)
    assert not buffer.is_due(0.5)


def test_no_settlement_is_lost_to_threads() -> None:
    buffer = SettlementBuffer()

    def fill(first: int) -> list[int]:
        drained: list[int] = []
        for number in range(first, first + 1_000):
            buffer.add(settlement(number))
            if number % 7 == 0:
                drained += [settlement.id for settlement in buffer.drain()]
        return drained

    with ThreadPoolExecutor(4) as pool:
        drained = [number for each in pool.map(fill, range(0, 4_000, 1_000)) for number in each]
    assert sorted([*drained, *(settlement.id for settlement in buffer.drain())]) == list(
        range(4_000)
    )
