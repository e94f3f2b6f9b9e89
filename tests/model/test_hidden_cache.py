"""Cached hidden states: read back as written, rebuilt when damaged, bounded, safe under several processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from rankwise.model.hidden_cache import BYTES, HiddenStatesCache, digest_of, key_of

OFFSETS = np.array([0, 3, 4, 9], dtype=np.int64)
WIDTH = 4
ROWS = np.array([2, 0, 1])


def values(seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 5, WIDTH)).astype(np.float16)).float()


def filler(calls, hidden=None):
    def fill(writer):
        calls.append(1)
        writer.put(ROWS, values() if hidden is None else hidden)

    return fill


def cache(folder, limit=10**6):
    return HiddenStatesCache(folder, limit_bytes=limit)


def test_texts_come_back_padded_in_any_order(tmp_path):
    prefix, reused = cache(tmp_path).get("key", OFFSETS, WIDTH, 2, filler([]))
    assert not reused
    assert prefix.layer == 2
    taken = prefix.take(np.array([0, 2]), torch.device("cpu")).hidden
    assert taken.shape == (2, 5, WIDTH)
    torch.testing.assert_close(taken[0, :3], values()[1, :3])  # text 0 was row 1 of the batch
    torch.testing.assert_close(taken[1], values()[0])
    assert not taken[0, 3:].any(), "padding is zeros"


def test_a_second_reader_computes_nothing(tmp_path):
    calls = []
    cache(tmp_path).get("key", OFFSETS, WIDTH, 2, filler(calls))
    _, reused = cache(tmp_path).get("key", OFFSETS, WIDTH, 2, filler(calls))
    assert reused
    assert len(calls) == 1


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[7] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: flip(entry / "hidden.bin"),
        lambda entry: (entry / "hidden.bin").write_bytes((entry / "hidden.bin").read_bytes()[:-8]),
        lambda entry: (entry / "hidden.bin").unlink(),
        lambda entry: (entry / "entry.json").write_text("{", "utf-8"),
        lambda entry: (entry / "entry.json").write_text(json.dumps({"format": 0}), "utf-8"),
        lambda entry: (entry / "entry.json").unlink(),
    ],
    ids=["a bit", "cut short", "no data", "no json", "another format", "no entry"],
)
def test_a_damaged_entry_is_built_again(tmp_path, damage):
    calls = []
    cache(tmp_path).get("key", OFFSETS, WIDTH, 2, filler(calls))
    damage(tmp_path / "key")
    prefix, reused = cache(tmp_path).get("key", OFFSETS, WIDTH, 2, filler(calls))
    assert not reused
    assert len(calls) == 2
    torch.testing.assert_close(prefix.take(np.array([2]), torch.device("cpu")).hidden[0], values()[0])


def test_a_build_that_fails_leaves_no_entry(tmp_path):
    def fill(writer):
        raise RuntimeError("out of light")

    with pytest.raises(RuntimeError, match="out of light"):
        cache(tmp_path).get("key", OFFSETS, WIDTH, 2, fill)
    assert not (tmp_path / "key").exists()
    _, reused = cache(tmp_path).get("key", OFFSETS, WIDTH, 2, filler([]))
    assert not reused


def test_the_least_recently_used_entry_makes_room(tmp_path):
    size = int(OFFSETS[-1]) * WIDTH * 2
    room_for_two = cache(tmp_path, limit=2 * size + 220)
    for number, key in enumerate(("old", "newer")):
        room_for_two.get(key, OFFSETS, WIDTH, 2, filler([]))
        os.utime(tmp_path / key, (number, number))
    room_for_two.get("old", OFFSETS, WIDTH, 2, filler([]))  # used again, so now the newest
    room_for_two.get("third", OFFSETS, WIDTH, 2, filler([]))
    assert (tmp_path / "old").exists()
    assert not (tmp_path / "newer").exists()
    assert room_for_two.used_bytes() <= room_for_two.limit_bytes


def test_what_a_killed_process_left_makes_room_and_what_a_living_one_builds_does_not(tmp_path):
    for name in ("dead.new", "building.new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hidden.bin").write_bytes(b"x" * 500)
    with FileLock(tmp_path / "building.lock"):
        cache(tmp_path).get("key", OFFSETS, WIDTH, 2, filler([]))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["building.new", "key"]


def test_what_is_larger_than_the_limit_does_not_fit(tmp_path):
    assert cache(tmp_path, limit=100).has_room(12 * 4 * BYTES)
    assert not cache(tmp_path, limit=100).has_room(13 * 4 * BYTES)


def test_the_key_depends_on_weights_tokens_lengths_and_layer():
    weights, ids = digest_of([torch.arange(4.0)]), [np.arange(9, dtype=np.int32)]
    keys = [
        key_of(weights, ids, OFFSETS, layer=2, arithmetic="cpu fp32"),
        key_of(digest_of([torch.arange(4.0).nextafter(torch.tensor(9.0))]), ids, OFFSETS, layer=2, arithmetic="cpu fp32"),
        key_of(weights, [np.arange(9, dtype=np.int32)[::-1]], OFFSETS, layer=2, arithmetic="cpu fp32"),
        key_of(weights, ids, np.array([0, 2, 4, 9]), layer=2, arithmetic="cpu fp32"),
        key_of(weights, ids, OFFSETS, layer=3, arithmetic="cpu fp32"),
        key_of(weights, ids, OFFSETS, layer=2, arithmetic="cpu bf16"),
    ]
    assert len(set(keys)) == len(keys)


def test_the_key_does_not_depend_on_how_ids_are_cut_or_stored():
    ids = np.arange(9, dtype=np.int32)
    whole = key_of("", [ids], OFFSETS, layer=1, arithmetic="cpu fp32")
    assert key_of("", [ids[:4], ids[4:].astype(np.uint16)], OFFSETS, layer=1, arithmetic="cpu fp32") == whole


def build_slowly(folder, log):
    def fill(writer):
        with log.open("a") as file:
            file.write("built\n")
        time.sleep(0.5)
        writer.put(ROWS, values())

    prefix, _ = HiddenStatesCache(folder, limit_bytes=10**6).get("key", OFFSETS, WIDTH, 2, fill)
    assert torch.equal(prefix.take(np.array([2]), torch.device("cpu")).hidden[0], values()[0])


@pytest.mark.long
def test_several_processes_build_one_entry(tmp_path):
    log = tmp_path / "log.txt"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=build_slowly, args=(tmp_path / "cache", log)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert log.read_text() == "built\n"


def test_an_entry_that_is_being_built_or_has_just_gone_is_not_counted(tmp_path, monkeypatch):
    cache = HiddenStatesCache(tmp_path, limit_bytes=10_000)
    (tmp_path / "key.new").mkdir()
    (tmp_path / "key.new" / "entry.json").write_text("{}", "utf-8")
    gone = tmp_path / "gone"
    gone.mkdir()
    (gone / "entry.json").write_text("{}", "utf-8")
    glob = Path.glob

    def then_removed(folder, pattern):
        found = list(glob(folder, pattern))
        shutil.rmtree(gone, ignore_errors=True)
        return iter(found)

    monkeypatch.setattr(Path, "glob", then_removed)
    assert cache.used_bytes() == 0
    assert cache.has_room(10 * 10 * BYTES)
