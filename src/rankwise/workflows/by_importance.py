"""Which linear layers ask for rank: gradients of the loss against their frozen weights, on a sample of the training texts.

The gradients must mean something before anything is trained, so the head is first fitted to the frozen features of one half
of the sample (a random head would give gradients of noise); the other half then gives each layer's mean gradient G (d_out,
d_in), without dropout, in fp32. A criterion makes gains of it, one number for each rank that the layer could get:

- energy: σ₁² ≥ σ₂² ≥ … of G. To first order, changing a layer by a matrix of rank R and length ε lowers the loss by at most
  ε·√(σ₁² + … + σ_R²), so a rank is worth its σ². LoRA-GA (arXiv 2407.05000) starts adapters from the same directions.
- sensitivity: Σ|w·g|, what the loss would change without each weight (Molchanov et al., arXiv 1906.10771; GoRA, arXiv
  2502.12171, gives ranks by it; AdaLoRA, arXiv 2303.10512, prunes them by it). One number, shared out in proportion.

Gains are shares: of one linear layer against all. Scores are kept in the user's cache, by encoder, data and settings.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from rankwise.data.batches import Padding, padded_batches, scoring_batches
from rankwise.data.labelled import Labelled
from rankwise.data.prepare import Split
from rankwise.encoders.base import locate
from rankwise.model.classifier import Classifier, to_tensors
from rankwise.recipe import AdapterSpec, BudgetSpec, ByImportance, HeadSpec, Recipe, TrainSpec
from rankwise.system.cache import Cache, cache_folder
from rankwise.system.device import Device
from rankwise.training.head_start import Reading, fit_head
from rankwise.training.loss import Loss, loss_of
from rankwise.workflows.assemble import assemble

FORMAT = 1  # of the entries in the cache
CACHE_BYTES = 10**8  # of all scores together: those of some thousand recipes
BATCH = 8  # texts per forward and backward pass
KNOWN_RANKS = 32  # gains that are kept of a layer; what is assumed past them, 1/rank, falls slower than singular values do
DIGITS = 3  # of a gain: recipes stay readable, and rounding, which differs between machines, stays out

Scores = dict[str, tuple[float, ...]]


def with_scores(recipe: Recipe, labelled: Labelled, device: Device | None = None) -> Recipe:
    """The recipe with the scores that its policy needs, from the cache or from probing; other recipes as they are.

    Probing runs on the CPU where the caller names no device. Of several processes one probes while the others wait.
    """
    policy = recipe.adapter.unscored
    if policy is None:
        return recipe
    key = _key(recipe, policy, labelled.sha256)
    cache = Cache(cache_folder() / "importance", limit_bytes=CACHE_BYTES)
    known = cache.json_entry(key, lambda: probe(recipe, policy, labelled, device or Device.cpu()))
    scores = {name: tuple(gains) for name, gains in known.items()}
    allocate = policy.model_copy(update={"scores": scores})
    return recipe.model_copy(update={"adapter": recipe.adapter.model_copy(update={"allocate": allocate})})


def probe(recipe: Recipe, policy: ByImportance, labelled: Labelled, device: Device) -> Scores:
    """The gains of every linear layer of the encoder, by `layer.kind`. Raises ModelError or DataError as training would."""
    seed = recipe.data.split.seed
    settings = {
        "rungs": (),
        "adapter": AdapterSpec(method="head"),
        "head": HeadSpec(kind="slim"),
        "budget": BudgetSpec(parameters=None, memory_gb=recipe.budget.memory_gb),
        "train": TrainSpec(seed=seed, threads=recipe.train.threads),
        "data": recipe.data.model_copy(update={"windows": 1}),  # a gradient for each text, of its beginning or its end
    }
    chosen = np.random.default_rng(seed).permutation(len(labelled.train.texts))[: policy.rows]
    first = np.zeros(1, dtype=np.int64)  # preparing wants all three splits; one row of the others does
    sample = replace(
        labelled,
        train=labelled.train.take(chosen),
        validation=labelled.validation.take(first),
        test=labelled.test.take(first),
    )
    job = assemble(recipe.model_copy(update=settings), sample, device)
    rows = job.data.train
    first_half = np.arange(len(rows)) < len(rows) // 2
    classifier = job.classifier.to(device.torch_device)
    classifier.model.eval()
    fit_head(classifier, rows.where(first_half), Reading(job.padding, "fp32"), seed=seed, task=job.data.task)
    loss = loss_of(TrainSpec(), job.data, classifier.device)
    weights, gradients = mean_gradients(classifier, rows.where(~first_half), padding=job.padding, loss_of_rows=loss)
    gained = {name: gains(weights[name], gradient, policy.criterion) for name, gradient in gradients.items()}
    total = sum(map(sum, gained.values())) or 1.0
    return {name: tuple(float(f"{g / total:.{DIGITS}g}") for g in values[:KNOWN_RANKS]) for name, values in gained.items()}


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return cross_entropy(logits, labels, reduction="sum")


def mean_gradients(
    classifier: Classifier, split: Split, *, padding: Padding, loss_of_rows: Loss | None = None
) -> tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]]:
    """Weight and mean gradient (d_out, d_in) of every linear layer, by `layer.kind`, over a split's texts; trains nothing.

    Takes the encoder's size in memory once more. The loss is cross-entropy where no other one is given.
    """
    for weight in classifier.model.parameters():
        weight.requires_grad_(False)
    sites = classifier.plan.encoder.sites
    weights = {site.address: classifier.model.get_submodule(site.name).weight.requires_grad_(True) for site in sites}
    rows = scoring_batches(split.tokens.lengths, BATCH)
    for batch, inputs in zip(rows, padded_batches(split.tokens, rows, padding), strict=True):
        labels = torch.from_numpy(split.labels[batch]).to(classifier.device)  # (B,)
        logits = classifier.logits(to_tensors(inputs, classifier.device))  # (B, C)
        loss = (loss_of_rows or _cross_entropy)(logits, labels) / len(split)
        loss.backward()  # type: ignore[no-untyped-call]
    gradients = {
        name: torch.zeros_like(weight) if weight.grad is None else weight.grad.detach() for name, weight in weights.items()
    }
    return {name: weight.detach() for name, weight in weights.items()}, gradients


def gains(weight: torch.Tensor, gradient: torch.Tensor, criterion: str) -> tuple[float, ...]:
    """What each rank of a linear layer (d_out, d_in) is worth by a criterion, falling."""
    if criterion == "sensitivity":
        return (float((weight * gradient).abs().sum()),)
    wide = gradient if gradient.shape[0] <= gradient.shape[1] else gradient.T
    squares = torch.linalg.eigvalsh(wide.double() @ wide.double().T).flip(0)  # of the smaller side: squared singular values
    return tuple(squares.clamp_min(0).tolist())


def _key(recipe: Recipe, policy: ByImportance, data_sha256: str) -> str:
    """A hash of all that the scores depend on."""
    data, base = recipe.data, locate(recipe.base, revision=recipe.revision)
    rows = [data_sha256, policy.criterion, policy.rows, data.split.seed]
    tokens = [data.clean, data.max_length, data.truncation_side, data.length_percentiles]
    what = [FORMAT, KNOWN_RANKS, DIGITS, base.sha256 or [base.location, base.revision], *rows, *tokens]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
