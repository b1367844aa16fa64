from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from tasks.overlap import Behind, ahead, in_flight


def test_ahead_keeps_the_order() -> None:
    with ahead(iter(range(50))) as items:
        assert list(items) == list(range(50))


def test_ahead_raises_what_its_source_raises() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    with ahead(source()) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="disk"):
            next(items)


def test_ahead_ends_its_thread_when_nobody_reads_on() -> None:
    with pytest.raises(KeyError), ahead(iter(range(1000))) as items:
        next(items)
        raise KeyError
    assert not any(thread.name == "read-ahead" for thread in threading.enumerate())


def test_behind_runs_everything_in_order_before_the_block_ends() -> None:
    done: list[int] = []
    with Behind(depth=2) as behind:
        for number in range(20):
            behind.call(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == list(range(20))


def test_behind_raises_the_first_error_and_does_nothing_after_it() -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"), Behind() as behind:
        behind.call(fail)
        behind._thread.join(0.2)
        behind.call(lambda: done.append(1))
    assert not done


def test_behind_drops_what_waits_when_the_block_fails() -> None:
    done: list[int] = []
    gate = threading.Event()
    with pytest.raises(KeyError), Behind() as behind:
        behind.call(gate.wait)
        behind.call(lambda: done.append(1))
        threading.Timer(0.1, gate.set).start()
        raise KeyError
    assert not done


def test_what_is_in_flight_comes_in_order_and_is_bounded() -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        time.sleep(random.uniform(0, 0.01))
        return item * item

    results = in_flight(work, range(20), width=4)
    assert next(results) == 0 and len(started) <= 4
    assert [0, *results] == [item * item for item in range(20)]


def test_an_error_in_flight_is_raised_in_its_turn() -> None:
    results = in_flight(lambda item: 1 // item, [2, 1, 0, 1], width=3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
