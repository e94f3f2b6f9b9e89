"""`rankwise serve` under load: beside one run, beside FastAPI and pipeline(), beside predicting alone, and past its capacity.

    python benchmarks/serving.py WORK RUN [RUN …] --texts ../shared/data/ag_news/train.csv [--copies 50] [--rounds 3]

WORK is one of

- `many`: so many copies of the runs behind one server, beside one of them alone, whose adapter is folded into the weights;
- `peer`: one run on each of `--engines` beside a FastAPI server of it, merged (`--model`, a folder of `rankwise merge`): 16
  clients as fast as they get answers, and then all at 0.7 of what the slowest one takes, requests coming at random;
- `alone`: one text, one client, beside `Run.predict` in this process, in turns;
- `overload`: ten times the capacity for `--seconds`, `--max-queue` texts waiting at most.

Clients keep a connection each and ask for a text drawn at random, of a run drawn at random. Sides run in turn, and share this
machine's cores with the clients. Each round is a row of results/serving.csv; tables.py makes the tables of it.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import http.client
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from results_file import append

from rankwise import Run

RESULTS = Path(__file__).parent / "results" / "serving.csv"
COLUMNS = (
    *("work", "threads", "texts", "side", "runs", "parameters", "round", "clients", "offered", "rate", "p50_ms", "p99_ms"),
    *("cpu_ms", "start_cpu_s", "mb_start", "mb_after", "wrong", "statuses", "recovery_s"),
)
TOLERANCE = 1e-4  # of a probability
LOAD = 0.7  # of what the slower side can do
TIMES = 10  # the capacity


class Started(NamedTuple):
    """A server at work."""

    process: subprocess.Popen[str]
    port: int
    wall: float
    """Seconds until it listened."""

    @property
    def cpu(self) -> float:
        """CPU seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident(self) -> float:
        """MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


class Loaded(NamedTuple):
    """What clients saw."""

    seconds: float
    latencies: list[float]
    """Seconds of each answer, from when it was to be asked for."""

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        return 1000 * sorted(self.latencies)[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=list(WORKS))
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--texts", type=Path, required=True, help="a CSV with a column `text`")
    parser.add_argument("--longest", type=int, default=10_000, help="characters of a text")
    parser.add_argument("--model", help="what the peer serves")
    parser.add_argument("--engines", nargs="+", default=["torch"], help="what computes the run beside the peer")
    parser.add_argument("--copies", type=int, default=50)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--max-queue", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with options.texts.open(newline="", encoding="utf-8") as file:
        texts = [row["text"][: options.longest] for row in csv.DictReader(file)][:2_000]
    words = statistics.mean(len(text.split()) for text in texts)
    threads = os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    about = {"work": options.work, "threads": threads, "texts": f"{words:.0f} words", "clients": options.clients}
    for round_ in range(options.rounds):
        for row in WORKS[options.work](options, texts):
            append(RESULTS, COLUMNS, about | {"round": round_} | row)
            print(*(f"{key} {value}" for key, value in row.items()), flush=True)


def many(options: argparse.Namespace, texts: list[str]) -> Iterator[dict[str, Any]]:
    """Many runs beside one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(options.copies):
            shutil.copytree(options.runs[number % len(options.runs)], folder / f"run{number}")
        names = [f"run{number}" for number in range(options.copies)]
        for given, asked in ((folder / "run0", names[:1]), (folder, names)):
            with serving(given) as server:
                yield _side(server, "rankwise", asked, texts, options) | {"parameters": _parameters(options.runs[0])}


def peer(options: argparse.Namespace, texts: list[str]) -> Iterator[dict[str, Any]]:
    """One run beside a server of pipeline(), as fast as they can and at an equal load."""
    commands = {
        **{_named(engine): _command(options.runs[0], more=["--engine", engine]) for engine in options.engines},
        "FastAPI + pipeline()": [sys.executable, str(Path(__file__).with_name("serving_peers.py")), options.model],
    }
    rows = []
    for side, command in commands.items():
        with started(command) as server:
            rows.append(_side(server, side, [options.runs[0].name], texts, options))
            yield rows[-1]
    offered = round(LOAD * min(row["rate"] for row in rows), 1)
    for side, command in commands.items():
        with started(command) as server:
            yield _side(server, side, [options.runs[0].name], texts, options, offered=offered)


def alone(options: argparse.Namespace, texts: list[str]) -> Iterator[dict[str, Any]]:
    """One text at a time through the server, and by `Run.predict` here."""
    run, found = Run.load(options.runs[0]), dict[str, list[float]]()
    with serving(options.runs[0]) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        until, place = time.monotonic() + options.seconds, 0
        while time.monotonic() < until:
            for side in ("Run.predict", "rankwise"):
                begun = time.perf_counter()
                if side == "rankwise":
                    _asked(connection, None, texts[place % len(texts)])
                else:
                    run.predict([texts[place % len(texts)]])
                found.setdefault(side, []).append(time.perf_counter() - begun)
            place += 1
    for side, seconds in found.items():
        seen = Loaded(options.seconds, seconds[len(seconds) // 10 :])
        yield {
            "side": side,
            "runs": 1,
            "clients": 1,
            "p50_ms": round(seen.percentile(0.5), 2),
            "p99_ms": round(seen.percentile(0.99), 2),
        }


def overload(options: argparse.Namespace, texts: list[str]) -> Iterator[dict[str, Any]]:
    """Ten times what the server can do: every answer is looked at."""
    texts = texts[:200]
    expected = {
        (run.name, text): max(prediction.probabilities.values())
        for run in options.runs
        for text, prediction in zip(texts, Run.load(run).predict(texts), strict=True)
    }
    more = ["--max-queue", str(options.max_queue)]
    with started(_command(*options.runs, more=more)) as server:
        names = [run.name for run in options.runs]
        row = _side(server, "capacity", names, texts, options)
        yield row
        offered, before = TIMES * row["rate"], server.cpu
        flooded = asyncio.run(flood(server, offered, options, expected))
        print("MB each second:", *(f"{value:.0f}" for value in flooded.resident))
        answered = flooded.statuses[200]
        yield {
            "side": "overload",
            "runs": len(names),
            "clients": flooded.connections,
            "offered": round(flooded.asked / options.seconds, 1),
            "rate": round(flooded.answered / options.seconds, 1),
            "cpu_ms": round(1000 * (server.cpu - before) / answered, 1),
            "mb_start": round(flooded.resident[0]),
            "mb_after": round(flooded.resident[-1]),
            "wrong": flooded.wrong,
            "statuses": json.dumps(flooded.statuses).replace('"', ""),
            "recovery_s": round(flooded.recovery, 2),
        }


def table() -> list[str]:
    """Each work's sides, medians over rounds, in Markdown."""
    columns = {
        "rate": "answers a second",
        "p50_ms": "p50, ms",
        "p99_ms": "p99, ms",
        "cpu_ms": "CPU ms a text",
        "start_cpu_s": "CPU s to start",
        "mb_start": "MB before",
        "mb_after": "MB after",
        "recovery_s": "recovery, s",
    }
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    with RESULTS.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            load_ = "asked at random" if row["offered"] and row["work"] == "peer" else ""
            found.setdefault((row["work"], row["threads"], row["side"], row["runs"], load_), []).append(row)
    lines = [
        f"| work | threads | side | runs | load | {' | '.join(columns.values())} |",
        f"|---|---:|---|---:|---|{'---:|' * len(columns)}",
    ]
    for names, rows in found.items():
        told = ([float(row[name]) for row in rows if row[name]] for name in columns)
        cells = (f"{statistics.median(values):.4g}" if values else "" for values in told)
        lines.append(f"| {' | '.join(names)} | {' | '.join(cells)} |")
    return lines


WORKS = {"many": many, "peer": peer, "alone": alone, "overload": overload}


def _side(
    server: Started, side: str, names: list[str], texts: list[str], options: argparse.Namespace, *, offered: float = 0.0
) -> dict[str, Any]:
    """What a server does for so many clients."""
    start, before = server.cpu, server.resident
    load(server.port, names, texts, options.clients, 2.0)  # what is made at the first text
    begun = server.cpu
    seen = load(server.port, names, texts, options.clients, options.seconds, offered=offered)
    return {
        "side": side,
        "runs": len(names),
        "offered": offered or "",
        "rate": round(seen.rate, 1),
        "p50_ms": round(seen.percentile(0.5), 1),
        "p99_ms": round(seen.percentile(0.99), 1),
        "cpu_ms": round(1000 * (server.cpu - begun) / len(seen.latencies), 2),
        "start_cpu_s": round(start, 2),
        "mb_start": round(before),
        "mb_after": round(server.resident),
    }


def _parameters(run: Path) -> int:
    return Run.load(run).facts.trained_parameters.counted


def _named(engine: str) -> str:
    """A side of ours in the table: torch, which is the default, has no name."""
    return "rankwise" if engine == "torch" else f"rankwise, {engine}"


def _command(*given: Path, more: list[str] | None = None) -> list[str]:
    return [sys.executable, "-m", "rankwise", "serve", *map(str, given), "--port", "0", *(more or [])]


def serving(given: Path) -> Any:
    """`rankwise serve` on a free port."""
    return started(_command(given))


@contextmanager
def started(command: list[str]) -> Iterator[Started]:
    """A server that prints where it listens."""
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+);", line)
        assert found is not None, line
        yield Started(process, int(found[1]), time.monotonic() - begun)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def load(port: int, names: list[str], texts: list[str], clients: int, seconds: float, *, offered: float = 0.0) -> Loaded:
    """What clients see that ask one after another; where a rate is `offered`, at random times that come to that rate."""
    latencies, until = list[float](), time.perf_counter() + seconds

    def client(number: int) -> None:
        drawn, connection = random.Random(number), http.client.HTTPConnection("127.0.0.1", port)
        due = time.perf_counter()
        while due < until:
            due = due + drawn.expovariate(offered / clients) if offered else time.perf_counter()
            time.sleep(max(0.0, due - time.perf_counter()))
            _asked(connection, drawn.choice(names), drawn.choice(texts))
            latencies.append(time.perf_counter() - due)
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Loaded(time.perf_counter() - begun, latencies)


def _asked(connection: http.client.HTTPConnection, name: str | None, text: str) -> None:
    body = json.dumps({"inputs": text} | ({} if name is None else {"model": name}))
    connection.request("POST", "/predict", body, {"content-type": "application/json"})
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    assert reply.status == 200, answer


class Flood:
    """What became of more requests than a server can answer."""

    def __init__(self, connections: int) -> None:
        self.connections = connections
        self.asked = self.answered = self.wrong = 0
        self.statuses = Counter[int]()
        self.resident: list[float] = []
        """MB, each second."""
        self.recovery = 0.0
        """Seconds that the first request took which came once the others had stopped coming."""


async def flood(
    server: Started, offered: float, options: argparse.Namespace, expected: dict[tuple[str, str], float]
) -> Flood:
    """Ask at a rate, whatever comes back; a connection that waits for its answer is not asked again."""
    flooded = Flood(options.max_queue + 64)
    idle, drawn, keys = asyncio.Queue[Any](), random.Random(0), list(expected)
    for _ in range(flooded.connections):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", server.port))
    until = time.perf_counter() + options.seconds

    async def ask(pair: Any) -> None:
        name, text = key = drawn.choice(keys)
        status, body = await _exchange(pair, name, text)
        flooded.statuses[status] += 1
        flooded.answered += status == 200 and time.perf_counter() < until
        if status == 200:
            flooded.wrong += abs(json.loads(body)[0]["score"] - expected[key]) > TOLERANCE
        idle.put_nowait(pair)

    tasks, due, tick = set[asyncio.Task[None]](), time.perf_counter(), time.perf_counter()
    while time.perf_counter() < until:
        due += 1 / offered
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(ask(await idle.get()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        flooded.asked += 1
        if time.perf_counter() > tick:
            tick += 1
            flooded.resident.append(server.resident)
    begun, pair = time.perf_counter(), await asyncio.open_connection("127.0.0.1", server.port)
    while (await _exchange(pair, *keys[0]))[0] != 200:
        await asyncio.sleep(0.02)
    flooded.recovery = time.perf_counter() - begun
    await asyncio.gather(*tasks)
    return flooded


async def _exchange(pair: tuple[asyncio.StreamReader, asyncio.StreamWriter], name: str, text: str) -> tuple[int, bytes]:
    """(status, body) of a question on a connection that is kept."""
    reader, writer = pair
    body = json.dumps({"model": name, "inputs": text}).encode()
    writer.write(
        b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        % len(body)
        + body
    )
    head = await reader.readuntil(b"\r\n\r\n")
    size = re.search(rb"content-length: (\d+)", head)
    assert size is not None, head
    return int(head.split(b" ", 2)[1]), await reader.readexactly(int(size[1]))


if __name__ == "__main__":
    main()
