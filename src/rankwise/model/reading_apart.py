"""`python -m rankwise.model.reading_apart < config.json` prints what `reading.read` says, in two thirds of its seconds.

Most of these go into imports. Whatever class is read, transformers imports torch's compiler, its tensors of several machines
and scipy's losses; here, in a process that does nothing else, they are left out. A class that needs them fails or is refused,
and then `python -m rankwise.model.reading` says what it is.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


class NoCompiler(ModuleType):
    """torch's compiler as far as importing asks for it: its decorators leave functions as they are."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = [str(Path(torch.__file__).parent / "_dynamo")]  # of a module of it that imports nothing more

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda function=None, *_, **__: function or (lambda decorated: decorated)


def leave_out() -> None:
    """Let this process import nothing that reading does without; before transformers is imported."""
    sys.modules["torch._dynamo"] = NoCompiler("torch._dynamo")
    sys.modules["scipy"] = None  # type: ignore[assignment]  # the language's way to say that there is none
    torch.distributed.is_available = lambda: False


def main() -> None:
    leave_out()
    from transformers.utils import logging

    from rankwise.model.reading import read

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    print(json.dumps(read(json.load(sys.stdin))))


if __name__ == "__main__":
    main()
