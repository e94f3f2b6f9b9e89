"""What a server holds while it runs: its settings, the runs in memory, the queue before them, and what is counted.

Nothing here speaks HTTP: `app.py` takes requests, `routes.py` answers them out of this.
"""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass

from rankwise.serving.catalogue import Catalogue, Served, Shelf
from rankwise.serving.engine import EachAlone, Engine
from rankwise.serving.metrics import Metrics
from rankwise.serving.questions import Runs
from rankwise.serving.queue import MOST_SECONDS, MOST_TEXTS, TIMEOUT, TOKENS, Queue
from rankwise.serving.refusals import Refused
from rankwise.serving.words import Explaining
from rankwise.system.memory import return_freed_memory

LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a server is told."""

    api_key: str | None = None
    hosts: frozenset[str] | None = None
    """Names that a request may call the server by; None for any."""
    admin: bool = False
    """Whether clients of this machine may have the runs looked up again."""
    any_json: bool = False
    """Whether a state without a run's text columns is read as JSON is written."""
    page: bool = True
    """Whether people get a page at `/`."""
    truncate: bool = True
    """Whether a text that is too long is cut, and not refused."""
    most_queued: int = MOST_TEXTS
    most_wait: float = MOST_SECONDS
    most_tokens: int = TOKENS
    queue_timeout: float = TIMEOUT


class Service:
    """A catalogue of runs that may be replaced, a queue before it, and whatever else answers need."""

    def __init__(
        self,
        shelf: Shelf | None = None,
        *,
        settings: Settings | None = None,
        engine: Engine | None = None,
        catalogue: Catalogue | None = None,
        open_labels: Runs | None = None,
    ) -> None:
        """Without a `catalogue` it is loading until `load` has made one of the shelf's; `open_labels` are for tests."""
        self.shelf, self.settings = shelf, settings or Settings()
        self.catalogue = catalogue
        self.open_labels = open_labels
        self.metrics = Metrics()
        how = self.settings
        self.queue = Queue(
            engine or EachAlone(),
            most=how.most_queued,
            most_seconds=how.most_wait,
            tokens=how.most_tokens,
            timeout=how.queue_timeout,
            watch=self.metrics,
        )
        self.active = 0
        """Requests that are being answered."""
        self._reloading = asyncio.Lock()
        self.explaining = Explaining()

    def load(self) -> None:
        """Put every run of the shelf in memory; those that are there already, and the same, stay. Raises RankwiseError.

        What stays is not searched for cycles again, which would hold requests up for tenths of a second now and then.
        """
        if self.shelf is not None:
            gc.unfreeze()
            self.catalogue = self.shelf.load(self.catalogue)
            gc.collect()
            gc.freeze()
            return_freed_memory()

    async def reload(self) -> None:
        """`load`, while requests are answered; where it fails the runs stay as they were. Raises RankwiseError, OSError."""
        async with self._reloading:
            await asyncio.to_thread(self.load)

    async def close(self) -> None:
        """End what it has started beside the queue."""
        await self.explaining.close()

    @property
    def status(self) -> str:
        """`ok`, `loading` or `draining`."""
        if self.queue.draining:
            return "draining"
        return "ok" if self.catalogue is not None else "loading"

    def loaded(self) -> Catalogue:
        """The runs. Raises Refused while they are being loaded."""
        if self.catalogue is None:
            raise Refused("the models are being loaded; ask again", "loading", status=503, headers={"retry-after": "1"})
        return self.catalogue

    def named(self, name: str) -> Served:
        """The run that a path names. Raises Refused."""
        run = self.loaded().runs.get(name)
        if run is None:
            self.loaded().named(name)
            raise Refused("no model of that name", "model_not_found", status=404)
        return run
