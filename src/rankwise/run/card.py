"""The model card, computed from the run: what it is, what it scored, how to use it, how to make it again.

YAML front matter follows the Hugging Face hub's model card metadata (base_model, library_name, pipeline_tag, model-index).
"""

from __future__ import annotations

import io

from ruamel.yaml import YAML

from rankwise.encoders.base import Base
from rankwise.planning.plan import Plan
from rankwise.recipe import Recipe
from rankwise.run.format import RunScores


def model_card(recipe: Recipe, plan: Plan, base: Base, scores: RunScores) -> str:
    """Markdown with front matter; every number comes from `scores` and the plan's ledger."""
    ledger = plan.ledger
    lines = [
        "---",
        _front_matter(recipe, plan, base, scores).strip(),
        "---",
        "",
        f"# {recipe.name}",
        "",
        recipe.summary or f"A text classifier on {base.hub or plan.encoder.name}.",
        "",
        f"{ledger.trainable_parameters:,} of {ledger.total_parameters:,} parameters were trained"
        + (f", under a cap of {ledger.budget:,}." if ledger.budget else ", without a cap."),
        "",
        f"| test score | value | {100 * scores.test.confidence_level:g} % interval |",
        "|---|---|---|",
        *_score_rows(scores),
        "",
        _how_scored(scores),
        "",
        "## Use it",
        "",
        "```python",
        "from rankwise import Run",
        "",
        'run = Run.load("path/to/this/folder")',
        'print(run.predict(["Shares rose after the central bank held rates."])[0].label)',
        "```",
        "",
        "The folder also loads without rankwise:",
        "",
        "```python",
        *_plain_loading(plan, base, len(scores.classes)),
        "```",
        "",
        "Texts were cleaned with "
        + (", ".join(recipe.data.clean) or "no cleaning steps")
        + "; rankwise applies the same steps at prediction, plain peft and transformers do not.",
        "",
        "## Make it again",
        "",
        f"`recipe.yaml` in this folder is the whole recipe: {_again(recipe)}. `versions.json` names what ran it.",
        "",
    ]
    return "\n".join(lines)


def _again(recipe: Recipe) -> str:
    if recipe.data.names_files:
        return "`rankwise train recipe.yaml`"
    return '`rankwise.train(rankwise.Recipe.load("recipe.yaml"), texts=texts, labels=labels)`, with the lists it learned from'


def _front_matter(recipe: Recipe, plan: Plan, base: Base, scores: RunScores) -> str:
    measured = (("accuracy", "Accuracy", scores.test.accuracy), ("f1", "Macro F1", scores.test.macro_f1))
    metrics = [
        {"type": kind, "name": name, "value": round(interval.value, 4)}
        for kind, name, interval in measured
        if interval.value is not None
    ]
    source = recipe.data.source or (recipe.data.train.path if recipe.data.train else "data")
    dataset = source.removeprefix("hub:") if source.startswith("hub:") else source.rsplit("/", 1)[-1]
    result = {
        "task": {"type": "text-classification", "name": "Text Classification"},
        "dataset": {"name": dataset, "type": dataset, "split": "test"},
        "metrics": metrics,
    }
    matter = {
        **({"base_model": base.hub} if base.hub else {}),
        "library_name": "peft" if plan.adapter.is_apart else "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["rankwise", plan.adapter.method, "text-classification"],
        "model-index": [{"name": recipe.name, "results": [result]}],
    }
    stream = io.StringIO()
    YAML().dump(matter, stream)
    return stream.getvalue()


def _score_rows(scores: RunScores) -> list[str]:
    test = scores.test
    measured = (("accuracy", test.accuracy), ("macro-F1", test.macro_f1), ("log-loss", test.log_loss))
    return [
        f"| {name} | {interval.value:.4f} | {interval.low:.4f} to {interval.high:.4f} |"
        for name, interval in measured
        if interval.value is not None
    ]


def _how_scored(scores: RunScores) -> str:
    clean = scores.test_not_in_training
    if clean is None:
        return "Scored once, on rows that neither training nor the choice of a checkpoint saw."
    accuracy = clean.accuracy.value
    return "Scored once, on rows set apart from training, but some of their texts are in training too" + (
        "." if accuracy is None else f": without those, accuracy is {accuracy:.4f}."
    )


def _plain_loading(plan: Plan, base: Base, classes: int) -> list[str]:
    if not plan.adapter.is_apart:
        return ["from transformers import pipeline", "", 'pipeline("text-classification", "path/to/this/folder")']
    return [
        "from peft import PeftModel",
        "from transformers import AutoModelForSequenceClassification",
        "",
        f'base = AutoModelForSequenceClassification.from_pretrained("{base.hub or plan.encoder.name}", num_labels={classes})',
        'model = PeftModel.from_pretrained(base, "path/to/this/folder").eval()',
    ]
