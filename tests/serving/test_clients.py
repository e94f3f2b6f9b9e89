"""The clients that people have, unchanged, against a live server; each is skipped where it is not installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("starlette", reason="rankwise[serve] is not installed")
pytest.importorskip("httpx", reason="httpx is not installed: rankwise[dev]")

from servers import AnyLabels, live, stub

from conftest import CLASSES
from rankwise.serving.catalogue import Catalogue
from rankwise.serving.service import Service, Settings

ORDER = ("metal", "fruit", "river")
TEXT = "apple and zinc near the rhine"
FILLED = TEXT + " with some iron and the very quite long danube" * 30  # a body of more than 1,024 bytes, which is sent packed


def probabilities(server, name="tickets", text=TEXT):
    return server.service.catalogue.runs[name].run.predict([text])[0].probabilities


def labelled(server, name="tickets", text=TEXT):
    return server.service.catalogue.runs[name].run.predict([text])[0].label


# ---------------------------------------------------------------------------------------------------------- light ones


def test_openai_decides(server):
    openai = pytest.importorskip("openai", minversion="3.26", reason="openai>=3.26 is not installed: rankwise[clients]")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="any")
    answer = client.decisions.create(
        model="tickets",
        input=[{"role": "user", "content": [{"type": "input_text", "text": TEXT}]}],
        questions=[
            {"type": "choice", "name": "what", "instructions": "?", "choices": [{"value": one} for one in ORDER]},
            {"type": "predicate", "name": "is", "instructions": "metal"},
            {"type": "score", "name": "scale", "instructions": "?", "levels": [{"label": one} for one in CLASSES]},
        ],
    )  # fmt: skip
    choice, predicate, score = answer.answers
    assert choice.choice == labelled(server)
    assert {one.value: one.probability for one in choice.probabilities} == probabilities(server)
    assert predicate.probability == probabilities(server)["metal"]
    assert score.score == pytest.approx(probabilities(server)["metal"] + 2 * probabilities(server)["river"])
    assert answer.usage.total_tokens == 8
    assert answer.x_id.startswith("req_")
    assert [one.id for one in client.models.list()] == list(server.service.catalogue.runs)
    assert client.models.retrieve("tickets").id == "tickets"
    question = {"type": "choice", "name": "a", "instructions": "?", "choices": [{"value": "gold"}, {"value": "fruit"}]}
    with pytest.raises(openai.BadRequestError, match="'gold' is no label of the model 'tickets'") as refused:
        client.decisions.create(model="tickets", input=TEXT, questions=[question])
    assert (refused.value.code, refused.value.param) == ("unknown_label", "questions.0.choices.0.value")
    with pytest.raises(openai.NotFoundError, match="no model is called 'other'"):
        client.decisions.create(model="other", input=TEXT, questions=[question])
    assert refused.value.request_id.startswith("req_")
    client.close()


def test_the_sdk_of_typesafe_asks_system_one(server):
    typesafe = pytest.importorskip("typesafe_sdk", reason="typesafe-sdk is not installed: rankwise[clients]")
    with typesafe.TypeSafeClient(api_key="any", base_url=server.url, model="tickets") as client:
        for text in (TEXT, FILLED):
            reply = client.system_one(
                state=text,
                questions={
                    "what": {"type": "choice", "instructions": "?", "criteria": {"metal": "m", "fruit": None, "river": None}},
                    "is": {"type": "noul", "criteria": {"true": "metal"}},
                },
            )
            assert reply.answers["what"].choice == labelled(server, text=text)
            assert reply.answers["what"].probabilities == probabilities(server, text=text)
            assert reply.answers["is"].noul == probabilities(server, text=text)["metal"]
        assert [one.name for one in client.models.list().models] == list(server.service.catalogue.runs)


def test_the_client_of_hugging_face_classifies(server, monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: rankwise[clients]")
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # which keeps it from a server of this machine too
    client = hub.InferenceClient(model=f"{server.url}/models/tickets", token="any")
    found = client.text_classification(TEXT)
    assert {one.label: one.score for one in found} == probabilities(server)
    assert found[0].label == labelled(server)
    assert len(client.text_classification(TEXT, top_k=1)) == 1
    raw = client.text_classification(TEXT, function_to_apply="none")
    assert sum(one.score for one in raw) != pytest.approx(1)
    endpoint = hub.InferenceClient(model=f"{server.url}/models/tickets", provider="hf-inference", token="any")
    assert endpoint.health_check() is True
    assert endpoint.get_endpoint_info()["model_type"]["classifier"]["id2label"] == {"0": "fruit", "1": "metal", "2": "river"}
    with pytest.raises(hub.errors.HfHubHTTPError, match="no model is called 'other'"):
        hub.InferenceClient(model=f"{server.url}/models/other").text_classification(TEXT)


def test_curl_as_the_readme_types_it(server):
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("no curl here")
    body = json.dumps({"model": "tickets", "inputs": TEXT})
    command = [curl, "-s", f"{server.url}/predict", "-H", "content-type: application/json", "-d", body]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {one["label"]: one["score"] for one in json.loads(done.stdout)} == probabilities(server)
    large = [curl, "-s", "-i", f"{server.url}/predict", "-H", "content-type: application/json", "--data-binary", "@-"]
    done = subprocess.run(large, input=b'{"inputs": "' + b"a" * 3_000_000 + b'"}', capture_output=True, check=True)
    assert b" 413 " in done.stdout.splitlines()[0] or b"413" in done.stdout


# --------------------------------------------------------------------------- the conformance kit, over any label at all


@pytest.mark.parametrize("key", [None, "secret"])
def test_jevcompat_finds_the_wire_conformant(key):
    pytest.importorskip("jevcompat", reason="jevcompat is not installed: rankwise[clients]")
    service = Service(
        catalogue=Catalogue({"stub": stub(("a", "b"))}),
        settings=Settings(api_key=key, any_json=True, most_wait=60.0),
        open_labels=AnyLabels(),
    )
    with live(service) as running:
        given = ["--key", key] if key else []
        program = f"import sys; sys.path[:] = {sys.path!r}; from jevcompat.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", program, "test", running.url, *given]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout


# ------------------------------------------------------------------------- those whose imports take seconds, and Triton's


@pytest.mark.slow
@pytest.mark.parametrize("binary", [True, False])
def test_the_client_of_triton_infers(server, binary):
    triton = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed: rankwise[more-clients]")
    client = triton.InferenceServerClient(url=f"{server.host}:{server.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tickets")
    assert client.get_model_metadata("tickets")["outputs"][1]["shape"] == [-1, 3]
    texts = np.array([TEXT.encode(), "é iron".encode()], dtype=np.object_)
    given = triton.InferInput("text", [2], "BYTES")
    given.set_data_from_numpy(texts, binary_data=binary)
    for outputs in (None, [triton.InferRequestedOutput("probabilities", binary_data=binary)]):
        result = client.infer("tickets", [given], outputs=outputs, request_id="mine")
        expected = [list(probabilities(server, text=text).values()) for text in (TEXT, "é iron")]
        assert result.as_numpy("probabilities") == pytest.approx(np.array(expected), abs=1e-6)
        assert result.get_response()["id"] == "mine"
    with pytest.raises(triton.InferenceServerException, match="no model is called 'other'"):
        client.infer("other", [given])
    client.close()


@pytest.mark.slow
def test_the_scoring_client_of_mlflow_invokes(server):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("mlflow.pyfunc", reason="mlflow-skinny is not installed: rankwise[more-clients]")
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    frame = pandas.DataFrame({"premise": ["apple", "iron"], "hypothesis": ["zinc", "plum"]})
    alone = Catalogue({"pairs": server.service.catalogue.runs["pairs"]})
    with live(Service(catalogue=alone)) as running:
        client = ScoringServerClient(running.host, running.port)
        client.ping()
        found = client.invoke(frame).get_predictions()
    expected = alone.runs["pairs"].run.predict([("apple", "zinc")])[0]
    assert found["label"][0] == expected.label
    assert found["score"][0] == pytest.approx(expected.score, abs=1e-5)


@pytest.mark.slow
def test_litellm_translates(server):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        litellm = pytest.importorskip("litellm", reason="litellm is not installed: rankwise[more-clients]")
        criteria = {"metal": None, "fruit": None, "river": None}
        reply = litellm.systemone(
            model="hosted_vllm/tickets",
            api_base=server.url,
            state=TEXT,
            questions={"what": {"type": "choice", "instructions": "?", "criteria": criteria}},
        )
        question = {"type": "choice", "name": "what", "instructions": "?", "choices": [{"value": one} for one in criteria]}
        how = {"input": TEXT, "questions": [question], "api_key": "any"}
        vllm = litellm.decisions(model="hosted_vllm/tickets", api_base=server.url, **how)
        openai = litellm.decisions(model="openai/tickets", api_base=f"{server.url}/v1", **how)
    for told in (reply, vllm, openai):
        written = json.loads(told.model_dump_json())
        answers = written["answers"]
        answer = answers["what"] if isinstance(answers, dict) else answers[0]
        assert answer["choice"] == labelled(server)


@pytest.mark.slow
def test_langchain_decides(server):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        langchain = pytest.importorskip(
            "langchain_openai", reason="langchain-openai is not installed: rankwise[more-clients]"
        )
        from langchain_openai.decisions import Choice, Predicate, Score

        decisions = langchain.OpenAIDecisions(base_url=f"{server.url}/v1", model="tickets", api_key="any")
        options = {"fruit": "what grows", "metal": "what melts", "river": "what flows"}
        questions = {
            "what": Choice(instructions="?", choices=options),
            "is": Predicate(instructions="metal"),
            "scale": Score(instructions="?", levels=list(options)),
        }
        told = decisions.invoke({"input": TEXT, "questions": questions})
    expected = probabilities(server)
    assert told.choices["what"].choice == labelled(server)
    assert told.predicates["is"].probability == expected["metal"]
    assert told.scores["scale"].score == pytest.approx(expected["metal"] + 2 * expected["river"])


@pytest.mark.slow
def test_dspy_chooses(server):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dspy = pytest.importorskip("dspy", reason="dspy is not installed: rankwise[more-clients]")
        pytest.importorskip("dspy.experimental", reason="dspy has no decision models before 3.4")

        options = dspy.experimental.Choice[("eat", "to eat"), ("melt", "to melt"), ("swim", "to swim in")]
        asked = {
            "title": (str, dspy.InputField(desc="a title")),
            "body": (str, dspy.InputField(desc="a body")),
            "what": (options, dspy.OutputField(desc="what it is")),
        }
        with dspy.context(lm=dspy.experimental.TypeSafe("shelves", base_url=server.url, api_key="any")):
            found = dspy.Predict(dspy.Signature(asked, "Sort a ticket."))(title="apple", body="and zinc")
    assert found.what.value == labelled(server, "shelves", "apple . and zinc")
