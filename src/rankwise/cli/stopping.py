"""How a command ends that is stopped from outside: by Ctrl-C, by a signal, or by a standard output that takes no more."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

CTRL_C, SIGTERM = 130, 143  # exit codes, 128 and the signal's number


class Terminated(KeyboardInterrupt):
    """SIGTERM, which a scheduler or `docker stop` sends some seconds before it kills, ends a command as Ctrl-C does."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """What the command line returns after it was stopped."""
    return SIGTERM if isinstance(stop, Terminated) else CTRL_C


def heed_sigterm() -> None:
    """From now on SIGTERM raises Terminated."""
    signal.signal(signal.SIGTERM, _terminate)


@contextmanager
def whole_output() -> Iterator[None]:
    """Inside, and once more at its end, what is printed must get out.

    Where a reader has seen enough, it ends quietly with exit code 0; where standard output takes no more, as on a full disk,
    with a line on standard error and exit code 2. What else the system refuses is told there too, if nobody nearer has.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:  # closed before the process began
                sys.stdout.flush()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # which click ends with 1
            end.code = 0
        raise
    except BrokenPipeError as error:
        drop_output(sys.stdout)
        ended = error.__context__  # what the command had come to before the rest was written
        raise SystemExit(ended.code if isinstance(ended, SystemExit) and ended.code != 1 else 0) from None
    except OSError as error:
        from rankwise.system.storage import FULL, reason, refusal

        refused = refusal(error)
        if refused is None:
            raise
        drop_output(sys.stdout)
        where = error.filename or "standard output"  # files that are written have told their names
        is_full = refused.errno in FULL
        why = f"{reason(refused)}; free room there, or send it" if is_full else f"{refused.strerror}; give a path that leads"
        print(f"error: {where}: {why} elsewhere", file=sys.stderr)
        raise SystemExit(2) from None


def drop_output(stream: IO[str] | None) -> None:
    """Send what is yet to be written to a stream nowhere, so that Python does not try again when it ends; None was closed."""
    if stream is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _terminate(*_: object) -> None:
    raise Terminated
