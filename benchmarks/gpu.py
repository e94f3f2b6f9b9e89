"""The speed table on a machine with a GPU: Trainer + peft in fp32 and bf16 beside rankwise, passes recorded or one by one.

    python benchmarks/gpu.py --data ../shared/data/ag_news

`rank4-adam` on the embedded encoder, the same rows, batch size and updates; medians of the repeats after one warm-up each.
Without a GPU it says so and stops; `--cpu` runs it there, to try the script. Writes results/gpu.csv.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from peers import quiet, trainer_peft
from results_file import write
from speed import Bench, Work, show

from rankwise.cli.options import FAST

PEER = "Trainer + peft, dynamic padding"
RESULTS = Path(__file__).parent / "results" / "gpu.csv"
COLUMNS = ("work", "side", "rows", "updates", "repeats", "seconds", "rows_per_second", "ratio", "peak_gb", "device", "torch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available() and not options.cpu:
        raise SystemExit("no CUDA device here; --cpu tries the script on a CPU")
    quiet()
    on_cpu = not torch.cuda.is_available()
    bench = Bench(SimpleNamespace(data=options.data))
    data = bench.cut(16 * options.steps, 8)
    train = (list(data.train.texts), data.train.labels)

    def ours(*changes: str) -> Callable[[], float]:
        return lambda: bench.ours(bench.recipe.with_overrides(changes), data)

    def peer(*, bf16: bool = False) -> Callable[[], float]:
        return lambda: trainer_peft(bench.recipe, data.classes, train, pad_to_max=False, seed=0, bf16=bf16).seconds

    work = Work(
        "rank4-adam",
        16 * options.steps,
        options.steps,
        0,
        {
            PEER: peer(),
            "Trainer + peft, dynamic padding, bf16": peer(bf16=True),
            "rankwise, the recipe as it is": ours(),
            "rankwise, passes one by one": ours("train.speed.graphs=false"),
            "rankwise --fast": ours(*FAST),
        },
    )
    peaks = {}
    for side, once in work.sides.items():  # the warm-up: kernels are chosen, graphs compiled
        if not on_cpu:
            torch.cuda.reset_peak_memory_stats()
        once()
        peaks[side] = "" if on_cpu else round(torch.cuda.max_memory_allocated() / 1e9, 2)
    work.run(options.repeats)
    rows = [
        {
            "work": work.name,
            "side": side,
            "rows": work.rows,
            "updates": work.updates,
            "repeats": options.repeats,
            "seconds": round(work.median(side), 2),
            "rows_per_second": round(work.rows / work.median(side), 1),
            "ratio": round(work.median(PEER) / work.median(side), 2),
            "peak_gb": peaks[side],
            "device": "CPU" if on_cpu else torch.cuda.get_device_name(),
            "torch": torch.__version__,
        }
        for side in work.sides
    ]
    if not on_cpu:
        write(RESULTS, COLUMNS, rows)
    show(rows, COLUMNS)


if __name__ == "__main__":
    main()
