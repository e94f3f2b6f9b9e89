"""Many runs behind `rankwise serve` beside one: texts a second, memory and start; prints one table.

    python benchmarks/serving.py RUN --texts ../shared/data/ag_news/train.csv [--runs 50] [--seconds 20] [--rounds 3]

RUN is copied, so that the server holds so many adapters of its size. Clients are threads that keep a connection each and ask
for the next text when they have an answer; each asks a run drawn at random. The server with one run has its adapter folded
into the weights. Both sides run in turn, each on the given cores' threads; ratios are medians over rounds.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--texts", type=Path, required=True, help="a CSV with a column `text`")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with options.texts.open(newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)][:2_000]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(options.runs):
            shutil.copytree(options.run, folder / f"run{number}")
        many = [f"run{number}" for number in range(options.runs)]
        measured: dict[str, list[tuple[float, float, float, float, float]]] = {"one": [], "many": []}
        for _ in range(options.rounds):
            for side, given, names in (("one", folder / "run0", many[:1]), ("many", folder, many)):
                with serving(given) as server:
                    start, before = server.cpu, server.resident
                    done, seconds = load(server.port, names, texts, options.clients, options.seconds)
                    used = (server.cpu - start) / done
                    measured[side].append((done / seconds, used, start, before, server.resident))
                    print(side, *(f"{value:.4g}" for value in measured[side][-1]), flush=True)
    print("| server | texts a second | CPU ms a text | CPU s to start | MB at the start | MB after |")
    print("|---|---:|---:|---:|---:|---:|")
    for side, rows in measured.items():
        rate, used, start, before, after = (statistics.median(column) for column in zip(*rows, strict=True))
        count = 1 if side == "one" else options.runs
        print(
            f"| {count} run{'s' * (count > 1)} | {rate:.1f} | {1000 * used:.1f} | {start:.1f} | {before:.0f} | {after:.0f} |"
        )
    rates, costs = (
        statistics.median(many[place] / one[place] for one, many in zip(measured["one"], measured["many"], strict=True))
        for place in (0, 1)
    )
    print(f"texts a second, many over one: {rates:.2f}; CPU a text, one over many: {1 / costs:.2f}")


@contextmanager
def serving(given: Path) -> Iterator[Started]:
    """`rankwise serve` on a free port."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "rankwise", "serve", str(given), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(line.partition("http://127.0.0.1:")[2].partition(";")[0])
        yield Started(process, port, time.monotonic() - begun)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def load(port: int, names: list[str], texts: list[str], clients: int, seconds: float) -> tuple[int, float]:
    """How many texts were answered, and in how many seconds."""
    counts, stop = [0] * clients, threading.Event()

    def client(number: int) -> None:
        drawn, connection = random.Random(number), http.client.HTTPConnection("127.0.0.1", port)
        while not stop.is_set():
            body = json.dumps({"model": drawn.choice(names), "inputs": drawn.choice(texts)})
            connection.request("POST", "/predict", body, {"content-type": "application/json"})
            reply = connection.getresponse()
            answer = json.loads(reply.read())
            assert reply.status == 200, answer
            counts[number] += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(counts), time.monotonic() - begun


if __name__ == "__main__":
    main()
