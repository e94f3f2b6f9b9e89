"""What a user of transformers would serve one model with: FastAPI, and `pipeline()` in an endpoint that is a plain function.

    python benchmarks/serving_peers.py MODEL

FastAPI runs such an endpoint in its pool of 40 threads, a request each. It prints where it listens, as `rankwise serve` does.
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

MAX_LENGTH = 128


class Asked(BaseModel):
    """What /predict is asked."""

    inputs: str


def application(model: str) -> FastAPI:
    """The application, its model loaded."""
    app = FastAPI()
    classifier = pipeline("text-classification", model=model, top_k=None, truncation=True, max_length=MAX_LENGTH)

    @app.post("/predict")
    def predict(asked: Asked) -> list[dict[str, float | str]]:
        return classifier([asked.inputs])[0]

    return app


def main() -> None:
    app = application(sys.argv[1])
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"serving on http://127.0.0.1:{listening.getsockname()[1]};", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


if __name__ == "__main__":
    main()
