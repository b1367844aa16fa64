from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from tasks.shards.background import Behind, Room, ahead, in_flight


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


def test_what_others_wait_for_is_done_although_something_failed() -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"), Behind() as behind:
        behind.call(fail)
        behind.call_anyway(lambda: done.append(1))
    with pytest.raises(KeyError), Behind() as behind:
        behind.call_anyway(lambda: done.append(2))
        raise KeyError
    assert done == [1, 2]


def test_a_room_holds_no_more_than_its_size() -> None:
    room, lock = Room(10), threading.Lock()
    held = most = 0

    def work(size: int) -> None:
        nonlocal held, most
        room.take(size)
        with lock:
            held += size
            most = max(most, held)
        time.sleep(0.001)
        with lock:
            held -= size
        room.give(size)

    assert len(list(in_flight(work, [1, 4, 9, 10, 3, 3, 3] * 8, width=6))) == 56
    assert 4 < most <= 10


def test_what_is_larger_than_a_room_has_it_alone() -> None:
    room = Room(10)
    room.take(25)
    other = threading.Thread(target=room.take, args=(1,), daemon=True)
    other.start()
    other.join(0.1)
    assert other.is_alive()
    room.give(25)
    other.join(5)
    assert not other.is_alive()


def test_nobody_waits_for_a_closed_room() -> None:
    room = Room(10)
    room.take(10)
    other = threading.Thread(target=room.take, args=(1,), daemon=True)
    other.start()
    room.close()
    other.join(5)
    assert not other.is_alive()


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
