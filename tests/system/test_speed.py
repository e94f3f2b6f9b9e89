"""The speed of this machine is measured in a moment, and decides how many threads are used."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from rankwise.system.speed import fastest_threads, gflops


def test_the_speed_is_found_in_a_moment_and_is_no_fantasy():
    gflops()  # numpy starts its threads
    started = time.perf_counter()
    speed = gflops(seconds=0.02)
    assert time.perf_counter() - started < 2
    assert 0.1 < speed < 10_000


def test_more_threads_are_used_only_where_they_are_faster():
    speeds = {1: 100.0, 2: 180.0, 4: 110.0}
    assert [fastest_threads(count, speeds.__getitem__)[0] for count in (1, 2, 4)] == [1, 2, 2]
    assert fastest_threads(4, speeds.__getitem__)[1] == speeds
    assert fastest_threads(2, {1: 100.0, 2: 110.0}.__getitem__)[0] == 1


def test_products_are_timed_on_as_many_threads_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, matmul = set(), np.matmul

    def watched(*args: Any, **options: Any) -> Any:
        seen.update(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return matmul(*args, **options)

    monkeypatch.setattr(np, "matmul", watched)
    gflops(1, seconds=0.001)
    assert seen == {1}
