"""A notebook that trains, plans and predicts shows what a person should see; Jupyter's own kernel runs it."""

from __future__ import annotations

import json
import os
import sys
from html.parser import HTMLParser

import pytest

from rankwise.inference.predict import Prediction
from rankwise.recipe import Recipe

CELLS = """\
import rankwise
recipe = rankwise.Recipe.load(RECIPE)
recipe
#
rankwise.plan(recipe)
#
run = rankwise.train(recipe, OUT)
#
run
#
run.predict(["apple"])[0]
"""


class Balanced(HTMLParser):
    """Whether every tag is closed in its turn, and which tags there are."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, _):
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.slow
def test_a_notebook_shows_recipe_plan_progress_run_and_prediction(recipe_for, tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="no Jupyter here: pip install nbclient ipykernel")
    nbclient = pytest.importorskip("nbclient", reason="no Jupyter here: pip install nbclient ipykernel")
    pytest.importorskip("ipykernel", reason="no Jupyter here: pip install nbclient ipykernel")
    (tmp_path / "recipe.yaml").write_text(recipe_for("bert", "train.epochs=1").to_yaml())
    code = CELLS.replace("RECIPE", repr(str(tmp_path / "recipe.yaml"))).replace("OUT", repr(str(tmp_path / "run")))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in code.split("#\n")])
    kernel = tmp_path / "share" / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "this", "language": "python"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
        patch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    if kept := os.environ.get("RANKWISE_KEEP_NOTEBOOK"):
        nbformat.write(notebook, kept)
    recipe, plan, training, run, said = [cell.outputs for cell in notebook.cells]
    told = "".join(output.text for output in training if output.output_type == "stream" and output.name == "stdout")
    assert "rankwise: 36 train, 12 validation, 12 test rows" in told
    assert "rankwise: epoch 1: validation accuracy" in told
    assert "\r" in told  # a line that changes
    shown = [outputs[-1].data["text/html"] for outputs in (recipe, plan, run, said)]
    for page, word in zip(shown, ("every key", "parameters train", "12 test rows", "fruit"), strict=True):
        assert word in page
        assert not Balanced(page).seen & {"script", "style", "img", "link"}


def test_what_is_shown_is_escaped():
    said = Prediction(
        "<script>alert(1)</script>", 0.9, {"<script>alert(1)</script>": 0.9, "b&b": 0.1}, unsure=True, reason="<b>"
    )
    page = said._repr_html_()
    assert Balanced(page).seen == {"div", "strong", "table", "tr", "td"}
    assert "&lt;script&gt;" in page
    assert "b&amp;b" in page
    recipe = Recipe(name="a<b>", summary="<i>x</i>")
    assert Balanced(recipe._repr_html_()).seen == {"div", "strong", "table", "tr", "td", "details", "summary", "pre"}


def test_a_prediction_of_many_classes_shows_the_likeliest_few():
    page = Prediction("c0", 0.5, {f"c{number}": 0.5 / (number + 1) for number in range(100)})._repr_html_()
    assert page.count("<tr>") == 8
    assert "and 92 more classes" in page
    assert len(page) < 4_000
