"""What is sealed is there whole or not at all, and any damage to it is noticed."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

import pytest

from rankwise.errors import RunError
from rankwise.system.files import Stored, write_json
from rankwise.system.sealed import SEAL, damage, read_sealed, sealed_folder, write_sealed

FILES = {"one.bin": bytes(range(256)) * 4, "sub/two.json": b'{"step": 8}\n', "empty": b""}


@pytest.fixture
def sealed(tmp_path):
    with sealed_folder(tmp_path / "sealed") as draft:
        for name, content in FILES.items():
            (draft / name).parent.mkdir(exist_ok=True)
            (draft / name).write_bytes(content)
    return tmp_path / "sealed"


def test_what_was_sealed_is_whole(sealed):
    assert {name: (sealed / name).read_bytes() for name in FILES} == FILES
    assert damage(sealed) is None
    assert [path.name for path in sealed.parent.iterdir()] == ["sealed"]


def break_off(folder):
    with sealed_folder(folder) as draft:
        (draft / "half").write_bytes(b"ha")
        raise ValueError("broke")


def test_a_folder_takes_the_place_of_the_one_before_and_what_fails_leaves_that(sealed):
    with pytest.raises(ValueError, match="broke"):
        break_off(sealed)
    assert damage(sealed) is None
    with sealed_folder(sealed) as draft:
        (draft / "new").write_bytes(b"new")
    assert sorted(path.name for path in sealed.iterdir()) == ["new", SEAL]
    assert damage(sealed) is None
    assert [path.name for path in sealed.parent.iterdir()] == ["sealed"]


@pytest.mark.parametrize("name", ["one.bin", "sub/two.json", SEAL])
def test_every_flipped_bit_and_every_cut_is_noticed(sealed, name):
    path, rng = sealed / name, random.Random(0)
    whole = path.read_bytes()
    for place in rng.sample(range(len(whole)), min(len(whole), 100)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        harmless = name == SEAL and flipped.split() == whole.split()  # white space between the digests
        assert damage(sealed) is not None or harmless, place
        path.write_bytes(whole[:place])
        assert damage(sealed) is not None, place
    path.write_bytes(whole)
    assert damage(sealed) is None


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (lambda folder: (folder / "one.bin").unlink(), "one.bin is missing"),
        (lambda folder: (folder / SEAL).unlink(), f"{SEAL} is damaged or missing"),
        (lambda folder: (folder / SEAL).write_text('{"sha256": {}}'), "empty is none of its files"),
        (lambda folder: (folder / SEAL).write_text("[]"), f"{SEAL} is damaged or missing"),
        (lambda folder: (folder / "more").write_bytes(b""), "more is none of its files"),
        (lambda folder: ((folder / "one.bin").unlink(), (folder / "one.bin").mkdir()), "one.bin is missing"),
        (lambda folder: ((folder / SEAL).unlink(), (folder / SEAL).mkdir()), f"{SEAL} is damaged or missing"),
    ],
)
def test_what_is_missing_or_too_much_is_named(sealed, tamper, told):
    tamper(sealed)
    assert damage(sealed) == told


@dataclass(frozen=True)
class Scores(Stored):
    accuracy: float
    names: tuple[str, ...]


SCORES = Scores(0.875, ("früh", "spät"))


def test_every_flipped_bit_and_every_cut_of_a_sealed_file_is_noticed(tmp_path):
    path = tmp_path / "scores.json"
    write_sealed(path, SCORES)
    assert read_sealed(path, Scores) == SCORES
    whole = path.read_bytes()
    for place in range(len(whole) - 1):  # the last one is a line's end
        flips = (bytes([*whole[:place], whole[place] ^ 1 << bit, *whole[place + 1 :]]) for bit in range(8))
        for content in (*flips, whole[:place]):
            path.write_bytes(content)
            with pytest.raises(RunError, match=r"scores\.json"):
                read_sealed(path, Scores)


def test_a_file_without_a_seal_is_read_as_older_ones_are(tmp_path):
    write_json(tmp_path / "scores.json", SCORES)
    assert read_sealed(tmp_path / "scores.json", Scores) == SCORES
    (tmp_path / "scores.json").write_text(json.dumps([1]), "utf-8")
    with pytest.raises(RunError, match="expected"):
        read_sealed(tmp_path / "scores.json", Scores)
