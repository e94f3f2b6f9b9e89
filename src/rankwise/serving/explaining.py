"""The process that `words.py` starts: a line of JSON in, with a run and a text; a line out, with what its words did.

One run is in memory at a time. Where standard input ends the server has, and so does it.
"""

import json
import os
import sys
import traceback
from dataclasses import asdict
from typing import Any, BinaryIO

from rankwise.data.given import name_of
from rankwise.errors import RankwiseError, RunError
from rankwise.run.folder import Run
from rankwise.serving.catalogue import digest_of

NICER = 5  # than the server, whose engine goes first


class Explained:
    """The run that was asked about last."""

    def __init__(self) -> None:
        self.key: tuple[str, str | None, str] | None = None
        self.run: Run | None = None

    def words(self, folder: str, base: str | None, digest: str, text: Any) -> dict[str, Any]:
        """What each word of a text, or of a pair, adds. Raises RankwiseError, OSError.

        `digest` is of the run that the server has in memory: another one in its folder has other reasons.
        """
        if self.key != (folder, base, digest) or self.run is None:
            self.key = self.run = None  # what is in memory goes before the next comes
            run = Run.load(folder, base=base)
            if digest_of(run.folder) != digest:
                raise RunError("the run's folder has changed since the server loaded it; send SIGHUP, and ask again")
            _ = run.explainer
            self.key, self.run = (folder, base, digest), run
        (told,) = self.run.explain([text if isinstance(text, str) else tuple(text)])
        return {
            "explained": name_of(told.explained),
            "margin": told.margin,
            "hidden_margin": told.hidden_margin,
            "words": [asdict(word) for word in told.words],
        }


def answer(line: bytes, explained: Explained) -> dict[str, Any]:
    """What is told of a line, whatever happens."""
    try:
        return explained.words(**json.loads(line))
    except (RankwiseError, OSError) as problem:
        return {"problem": str(problem)}
    except Exception as defect:  # noqa: BLE001 - the edge of a process; not its words, which may quote a text
        where = "".join(traceback.format_tb(defect.__traceback__))
        return {"defect": f"{type(defect).__name__}\n{where}"}


def work(asked: BinaryIO, told: BinaryIO) -> None:
    """Answer until there is nobody who asks."""
    explained = Explained()
    for line in asked:
        told.write(json.dumps(answer(line, explained)).encode() + b"\n")
        told.flush()


def main() -> None:
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    if hasattr(os, "nice"):
        os.nice(NICER)
    work(sys.stdin.buffer, told)


if __name__ == "__main__":
    main()
