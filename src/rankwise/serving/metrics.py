"""What the server counts, in the text form that Prometheus reads; texts are not among it."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0, generate_latest

from rankwise.data.given import name_of
from rankwise.serving.queue import Answer
from rankwise.serving.states import Question

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class Metrics:
    """Counters of one server, which several threads may raise."""

    content_type = CONTENT_TYPE_PLAIN_1_0_0

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("http_requests", "Requests.", ["handler", "method", "status"], registry=registry)
        self.durations = Histogram(
            "http_request_duration_seconds", "Seconds of a request.", ["handler"], buckets=SECONDS, registry=registry
        )
        self.queue_size = Gauge("rankwise_queue_size", "Texts that wait.", registry=registry)
        self.batch_size = Histogram("rankwise_batch_size", "Texts of a batch.", buckets=COUNTS, registry=registry)
        self.batch_tokens = Histogram("rankwise_batch_tokens", "Tokens of a batch.", buckets=TOKENS, registry=registry)
        self.tokenize, self.queued, self.inference = (
            Histogram(f"rankwise_{name}_seconds", help_, buckets=SECONDS, registry=registry)
            for name, help_ in (
                ("tokenize", "Seconds that a batch's texts took to be tokenised."),
                ("queue", "Seconds that a request waited."),
                ("inference", "Seconds that a batch took to be computed."),
            )
        )
        self.predictions = Counter(
            "rankwise_predictions", "Texts by what was decided.", ["model", "label"], registry=registry
        )
        self.truncated = Counter("rankwise_truncated", "Texts that were cut off.", ["model"], registry=registry)
        self.adapters = Gauge("rankwise_adapters", "Runs in memory.", registry=registry)

    def request(self, handler: str, method: str, status: int, seconds: float) -> None:
        self.requests.labels(handler, method, status).inc()
        self.durations.labels(handler).observe(seconds)

    def batch(self, texts: int, tokens: int, tokenized: float, inferred: float) -> None:
        self.batch_size.observe(texts)
        self.batch_tokens.observe(tokens)
        self.tokenize.observe(tokenized)
        self.inference.observe(inferred)

    def waited(self, seconds: float) -> None:
        self.queued.observe(seconds)

    def answered(self, questions: Iterable[Question], answers: Iterable[Answer]) -> None:
        for question, answer in dict(zip(questions, answers, strict=True)).items():
            label, run = answer.prediction.label, question.run.name
            if isinstance(label, dict):
                names = [f"{column}={name_of(one)}" for column, one in label.items()]
            elif isinstance(label, float):  # an estimate: a counter for each number would be one for each text
                names = list(question.run.labels)
            else:
                names = list(map(name_of, label if isinstance(label, tuple) else (label,)))
            for name in names:
                self.predictions.labels(run, name).inc()
            if answer.unread:
                self.truncated.labels(run).inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)
