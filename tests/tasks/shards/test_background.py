from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from tasks.shards.background import BackgroundWriter, PixelBudget, in_flight, read_ahead


def test_read_ahead_keeps_the_order() -> None:
    with read_ahead(iter(range(50))) as items:
        assert list(items) == list(range(50))


def test_read_ahead_raises_the_error_of_its_source() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    with read_ahead(source()) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="disk"):
            next(items)


def test_read_ahead_ends_its_thread_with_the_block() -> None:
    with pytest.raises(KeyError), read_ahead(iter(range(1000))) as items:
        next(items)
        raise KeyError
    assert not any(thread.name == "read-ahead" for thread in threading.enumerate())


def test_the_writer_runs_all_calls_in_order_before_the_block_ends() -> None:
    done: list[int] = []
    with BackgroundWriter(depth=2) as writer:
        for number in range(20):
            writer.submit(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == list(range(20))


def test_the_writer_raises_the_first_error_and_runs_no_call_after_it() -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"), BackgroundWriter() as writer:
        writer.submit(fail)
        writer._thread.join(0.2)
        writer.submit(lambda: done.append(1))
    assert not done


def test_the_writer_drops_waiting_calls_if_the_block_fails() -> None:
    done: list[int] = []
    gate = threading.Event()
    with pytest.raises(KeyError), BackgroundWriter() as writer:
        writer.submit(gate.wait)
        writer.submit(lambda: done.append(1))
        threading.Timer(0.1, gate.set).start()
        raise KeyError
    assert not done


def test_submit_always_runs_a_call_after_an_error() -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"), BackgroundWriter() as writer:
        writer.submit(fail)
        writer.submit_always(lambda: done.append(1))
    with pytest.raises(KeyError), BackgroundWriter() as writer:
        writer.submit_always(lambda: done.append(2))
        raise KeyError
    assert done == [1, 2]


def test_acquired_pixels_never_exceed_the_budget() -> None:
    budget, lock = PixelBudget(10), threading.Lock()
    held = most = 0

    def work(size: int) -> None:
        nonlocal held, most
        budget.acquire(size)
        with lock:
            held += size
            most = max(most, held)
        time.sleep(0.001)
        with lock:
            held -= size
        budget.release(size)

    assert len(list(in_flight(work, [1, 4, 9, 10, 3, 3, 3] * 8, width=6))) == 56
    assert 4 < most <= 10


def test_a_request_above_the_budget_waits_until_all_of_it_is_free() -> None:
    budget = PixelBudget(10)
    budget.acquire(25)
    other = threading.Thread(target=budget.acquire, args=(1,), daemon=True)
    other.start()
    other.join(0.1)
    assert other.is_alive()
    budget.release(25)
    other.join(5)
    assert not other.is_alive()


def test_no_thread_waits_for_a_closed_budget() -> None:
    budget = PixelBudget(10)
    budget.acquire(10)
    other = threading.Thread(target=budget.acquire, args=(1,), daemon=True)
    other.start()
    budget.close()
    other.join(5)
    assert not other.is_alive()


def test_results_in_flight_are_in_order_and_bounded() -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        time.sleep(random.uniform(0, 0.01))
        return item * item

    results = in_flight(work, range(20), width=4)
    assert next(results) == 0 and len(started) <= 4
    assert [0, *results] == [item * item for item in range(20)]


def test_an_error_in_flight_is_raised_at_its_position() -> None:
    results = in_flight(lambda item: 1 // item, [2, 1, 0, 1], width=3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
