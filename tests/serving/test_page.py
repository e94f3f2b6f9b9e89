"""The page at `/`: its headers, its routes, and what people see of it in a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import replace

import pytest

pytest.importorskip("starlette", reason="rankwise[serve] is not installed")
pytest.importorskip("httpx", reason="httpx is not installed: rankwise[dev]")

import httpx
from browser import look
from pages import tree_of
from servers import eventually, live, stub

from conftest import separable
from rankwise.data.files.output import write_rows
from rankwise.run.folder import Run
from rankwise.serving.catalogue import Catalogue, Shelf
from rankwise.serving.service import Service, Settings
from rankwise.serving.words import Explaining
from rankwise.workflows.decide import Wish, decide

TEXT = "apple and zinc near the rhine"
HOSTILE = ("<script>document.title='broken'</script>", "<img src=x onerror=\"document.title='broken'\">")
READY = """
    const until = Date.now() + 90000;
    while (Date.now() < until && !document.getElementById("stop").hidden) await new Promise((go) => setTimeout(go, 50));
    return [document.getElementById("status").textContent, document.getElementById("problem").textContent];
"""
CARDS = """
    return [...document.querySelectorAll("article")].map((card) => ({
      model: card.querySelector("h2").textContent, decision: card.querySelector(".decision").textContent,
      rows: [...card.querySelectorAll("table")].map((table) => [...table.tBodies[0].rows].map((row) => row.innerText.trim())),
      text: card.innerText}));
"""


def typed(text, *after):
    """The steps of somebody who types a text and sends it by keyboard alone."""
    return [{"js": READY}, {"keys": "Tab"}, {"type": text}, {"keys": "Ctrl+Return"}, {"js": READY}, *after]


@pytest.fixture(scope="module")
def page(server):
    return server.get("/")


# ----------------------------------------------------------------------------------------------------- what is served


def test_the_page_comes_with_a_policy_that_names_its_own_script_and_style_and_nothing_else(page):
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    wanted = {"x-frame-options": "DENY", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
    assert {name: page.headers[name] for name in wanted} == wanted
    assert page.headers["x-request-id"].startswith("req_")


def test_the_page_asks_nothing_of_another_machine_and_builds_no_markup_from_texts(page):
    assert re.findall(r"https?://|//[a-z]|@import|url\(", re.sub(r"<!doctype.*?>", "", page.text)) == []
    assert re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Storage|cookie", page.text) == []
    root = tree_of(page.text)
    assert [name for node in root.all() for name in node.attributes if name.startswith("on") or name == "style"] == []
    labelled = {label.attributes["for"] for label in root.all("label")}
    assert {node.attributes["id"] for node in root.all("input", "textarea")} == labelled
    assert {"header", "main", "footer"} <= {node.tag for node in root.all()}
    assert {node.attributes.get("role") for node in root.all("p")} >= {"status", "alert"}


@pytest.mark.parametrize("theme", [0, 1])
def test_what_is_read_has_a_contrast_of_at_least_4_5_and_what_is_seen_of_3(page, theme):
    blocks = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", page.text, re.S)
    ]
    colours = blocks[theme]
    for role in ("ink", "muted", "accent", "warn"):
        assert contrast(colours[role], colours["paper"]) >= 4.5, role
    for role in ("ink", "muted"):
        assert contrast(colours[role], colours["raised"]) >= 4.5, role
    for role in ("edge", "bar", "bad", "toward", "away"):
        assert contrast(colours[role], colours["paper"]) >= 3, role


def contrast(one, other):
    """The ratio of luminances as WCAG 2 defines it."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_page_comes_without_a_key_and_its_routes_do_not(tickets_only):
    assert tickets_only.get("/").status_code == 200
    for path in ("/page/answers", "/page/words"):
        assert tickets_only.post(path, {"text": TEXT, "models": ["tickets"]}).status_code == 401


def test_without_the_page_nothing_of_it_is_there_and_pipelines_still_ask_at_the_same_address(catalogue):
    with live(Service(catalogue=catalogue, settings=Settings(page=False))) as plain:
        assert plain.get("/").status_code == 405
        assert plain.post("/page/answers", {}).status_code == 404
        assert plain.post("/page/words", {}).status_code == 404
        assert plain.post("/", {"inputs": TEXT, "model": "tickets"}).status_code == 200


# ---------------------------------------------------------------------------------------------------------- its routes


def test_each_model_answers_as_its_task_does_and_says_why_where_it_can_not(server):
    names = list(server.service.catalogue.runs)
    reply = server.post("/page/answers", {"text": TEXT, "models": names})
    told = {one["model"]: one for one in reply.json()["answers"]}
    assert list(told) == names
    predicted = {name: server.service.catalogue.runs[name].predictor.predict([TEXT])[0] for name in names if name != "pairs"}
    for name in ("tickets", "shelves", "words"):
        (group,) = told[name]["groups"]
        probabilities = {one["label"]: one["probability"] for one in group["classes"]}
        assert probabilities == pytest.approx(predicted[name].probabilities, abs=1e-6)
        assert told[name]["decision"] == [predicted[name].label]
        assert [one["label"] for one in group["classes"] if one["decided"]] == told[name]["decision"]
    assert told["several"]["decision"] == list(predicted["several"].label)
    columns = {group["column"]: group["classes"] for group in told["columns"]["groups"]}
    assert list(columns) == ["topic", "size"]
    assert [one["label"] for one in columns["size"]] == ["large", "small"]
    assert sum(one["probability"] for one in columns["topic"]) == pytest.approx(1)
    assert told["sure"]["x_unsure"]
    assert told["sure"]["x_reason"]
    assert told["pairs"]["problem"] == "it reads pairs of texts, premise and hypothesis: give a second text too"


def test_a_second_text_is_for_those_that_read_two(server):
    body = {"text": "apple", "second": "apple pear", "models": ["pairs", "shelves", "tickets"]}
    told = server.post("/page/answers", body).json()["answers"]
    runs = server.service.catalogue.runs
    for one, text in zip(told, [("apple", "apple pear"), "apple . apple pear", "apple"], strict=True):
        (group,) = one["groups"]
        wanted = runs[one["model"]].predictor.predict([text])[0].probabilities
        assert {row["label"]: row["probability"] for row in group["classes"]} == pytest.approx(
            {str(label): share for label, share in wanted.items()}, abs=1e-6
        )


@pytest.mark.parametrize(
    ("change", "status"),
    [({"models": []}, 422), ({"models": ["gold"]}, 404), ({"text": 3}, 422), ({"models": ["pairs"]}, 422)],
)
def test_what_can_not_be_answered_is_refused_with_the_reason(server, change, status):
    reply = server.post("/page/answers", {"text": TEXT, "models": ["tickets"]} | change)
    assert reply.status_code == status
    assert reply.json()["error"]["message"]


@pytest.fixture(scope="module")
def numbers_file(tmp_path_factory):
    """The overrides of a recipe that estimates a number."""
    path = tmp_path_factory.mktemp("numbers") / "rows.csv"
    rows = separable(60, seed=4)
    numbers = [{"fruit": 1.5, "metal": 3.0, "river": 4.5}[label] for label in rows.labels]
    write_rows(
        path, ["text", "rating"], [{"text": text, "rating": number} for text, number in zip(rows.texts, numbers, strict=True)]
    )
    return ("train.epochs=2", f"data.source={path}", "data.text=text", "data.label=rating", "data.task=regression")


@pytest.fixture(scope="module")
def estimates(run_for, numbers_file):
    """A server of a run that estimates a number."""
    with live(Service(catalogue=Shelf((f"ratings={run_for('bert', *numbers_file).folder}",)).load())) as running:
        yield running


def test_a_number_is_told_as_one_and_not_counted_by_what_it_is(estimates):
    number = estimates.service.catalogue.runs["ratings"].predictor.predict([TEXT])[0].label
    (told,) = estimates.post("/page/answers", {"text": TEXT, "models": ["ratings"]}).json()["answers"]
    assert (told["decision"], told["groups"]) == ([f"{number:.4g}"], [])
    assert estimates.post("/predict", {"inputs": TEXT}).json() == [{"score": pytest.approx(number), "label": "rating"}]
    row = estimates.post("/classify", {"input": TEXT}).json()["data"][0]
    assert (float(row["label"]), row["probs"]) == (pytest.approx(number), [pytest.approx(number)])
    (record,) = estimates.post("/invocations", {"inputs": [TEXT]}).json()["predictions"]
    assert record == {"label": pytest.approx(number)}
    infer = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [TEXT]}]}
    outputs = estimates.post("/v2/models/ratings/infer", infer).json()["outputs"]
    assert [float(one["data"][0]) for one in outputs] == pytest.approx([number, number])
    (told,) = estimates.post("/v1/models/ratings:predict", {"instances": [TEXT]}).json()["predictions"]
    assert told == {"rating": pytest.approx(number)}
    assert 'rankwise_predictions_total{label="rating",model="ratings"} 6.0' in estimates.get("/metrics").text


def test_a_number_is_no_label_that_could_be_asked_for(estimates):
    for question in (
        {"type": "noul", "criteria": {"true": "rating"}},
        {"type": "choice", "criteria": {"rating": None, "other": None}},
    ):
        for model in ({"model": "ratings"}, {}):
            refused = estimates.post("/v1/systemone", {**model, "state": TEXT, "questions": {"a": question}})
            assert refused.status_code == 422, refused.text
        assert (
            "estimates a number and knows no labels; ask POST /predict"
            in estimates.post("/v1/systemone", {"model": "ratings", "state": TEXT, "questions": {"a": question}}).text
        )


def test_a_numbers_range_travels_with_it(run_for, copy_of, numbers_file):
    folder = copy_of(run_for("bert", *numbers_file))
    run = Run.load(folder)
    decide(run, Wish(sets=0.7))
    (one,) = run.predict([TEXT])
    with live(Service(catalogue=Shelf((f"ratings={folder}",)).load())) as running:
        (told,) = running.post("/page/answers", {"text": TEXT, "models": ["ratings"]}).json()["answers"]
        assert told["x_range"] == pytest.approx(one.range)
        assert running.post("/predict", {"inputs": TEXT}).json()[0]["x_range"] == pytest.approx(one.range)
        assert "x_unsure" not in told


# ----------------------------------------------------------------------------------------------------------- the words


@pytest.mark.long
def test_words_are_explained_as_the_run_does_one_run_in_memory_and_the_process_ends_with_the_server(catalogue):
    with live(Service(catalogue=catalogue)) as running:
        for name, given, second in [("tickets", "😀 apple and zinc", None), ("pairs", "apple", "apple pear")]:
            text = given if second is None else (given, second)
            body = {"text": given, "second": second, "model": name}
            reply = httpx.post(f"{running.url}/page/words", json=body, timeout=150)
            (wanted,) = catalogue.runs[name].run.explain([text])
            told = reply.json()
            assert told["explained"] == str(wanted.explained).lower() if name == "pairs" else wanted.explained
            assert [(word["word"], word["start"], word["side"]) for word in told["words"]] == [
                (word.word, word.start, word.side) for word in wanted.words
            ]
            assert [word["score"] for word in told["words"]] == pytest.approx([word.score for word in wanted.words], abs=1e-4)
            assert told["texts"] == ([given] if second is None else [given, second])
        process = running.service.explaining._process
        assert process.returncode is None
    assert process.returncode is not None


def test_words_are_refused_to_pages_of_other_sites_of_engines_without_gradients_and_of_long_texts(server, catalogue):
    body = {"text": TEXT, "model": "tickets"}
    assert server.post("/page/words", body, sec_fetch_site="cross-site").status_code == 403
    assert server.post("/page/words", body | {"text": "a " * 20_000}).json()["error"]["code"] == "too_long"
    assert server.post("/page/words", {"text": TEXT}).status_code == 400
    deaf = replace(stub(("a", "b")), engine="onnx")
    with live(Service(catalogue=Catalogue({"stub": deaf}))) as running:
        told = running.post("/page/words", {"text": TEXT, "model": "stub"})
        assert told.status_code == 400
        assert "--engine onnx has none of; serve it with --engine torch" in told.json()["error"]["message"]
        assert running.post("/page/answers", {"text": TEXT, "models": ["stub"]}).json()["answers"][0]["no_words"]


@pytest.mark.long
def test_a_run_that_has_changed_since_it_was_loaded_is_not_explained(server):
    changed = stub(("a", "b"))
    changed.run.folder = server.service.catalogue.runs["tickets"].run.folder
    with live(Service(catalogue=Catalogue({"stub": changed}))) as running:
        told = httpx.post(f"{running.url}/page/words", json={"text": TEXT, "model": "stub"}, timeout=150).json()
        assert "has changed since the server loaded it" in told["error"]["message"]


@pytest.mark.long
def test_a_text_that_takes_too_long_is_given_up_and_its_process_with_it(catalogue):
    service = Service(catalogue=catalogue)
    service.explaining = Explaining(seconds=0.2)
    with live(service) as running:
        reply = running.post("/page/words", {"text": TEXT, "model": "tickets"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "words_timeout")
        assert service.explaining._process is None
        assert running.post("/predict", {"inputs": TEXT, "model": "tickets"}).status_code == 200


@pytest.mark.long
def test_few_may_wait_for_words_and_who_goes_takes_the_process_along(catalogue):
    service = Service(catalogue=catalogue)
    service.explaining = Explaining(most=1)
    with live(service) as running:
        body = json.dumps({"text": TEXT, "model": "tickets"})

        def ask_and_go():
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{running.url}/page/words", content=body, timeout=1.0)

        first = threading.Thread(target=ask_and_go)
        first.start()
        assert eventually(lambda: service.explaining._process is not None)
        reply = running.http.post("/page/words", content=body)
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "30")
        first.join()
        assert eventually(lambda: service.explaining._process is None)
        assert eventually(lambda: service.explaining._waiting == 0)


# --------------------------------------------------------------------------------------------------------- in a browser


@pytest.mark.long
def test_somebody_types_a_text_by_keyboard_and_reads_every_models_answer(server):
    given = [{"js": CARDS}, {"js": "return [document.documentElement.scrollWidth <= innerWidth]"}]
    *_, (status, problem), cards, (fits,) = look(server.url, typed(TEXT, *given), width=360)
    assert (problem, fits) == ("", True)
    assert re.fullmatch(r"6 of 7 models answered, 1 unsure, in \d+ ms\.", status)
    runs = server.service.catalogue.runs
    assert [card["model"] for card in cards] == list(runs)
    by_name = {card["model"]: card for card in cards}
    wanted = runs["tickets"].predictor.predict([TEXT])[0]
    likeliest = sorted(wanted.probabilities.items(), key=lambda one: -one[1])
    rows = [re.split(r"\s*\t\s*", row.replace(", decided", "")) for row in by_name["tickets"]["rows"][0]]
    assert rows == [[label, f"{100 * share:.1f} %"] for label, share in likeliest]
    assert by_name["tickets"]["decision"] == wanted.label
    assert by_name["sure"]["decision"].startswith("unsure: ")
    assert "Why: " in by_name["sure"]["text"]
    assert len(by_name["columns"]["rows"]) == 2
    assert by_name["pairs"]["decision"].startswith("Not answered: it reads pairs of texts")


@pytest.mark.long
def test_the_tab_key_goes_from_the_text_to_the_button_and_on_to_the_answers_and_each_place_shows_that_it_is_there(server):
    where = """
        const one = document.activeElement, style = getComputedStyle(one);
        return [one.id || one.innerText.split("\\n")[0], style.outlineStyle, parseFloat(style.outlineWidth) >= 2];
    """
    tabs = [step for _ in range(5) for step in ({"keys": "Tab"}, {"js": where})]
    places = [told for told in look(server.url, [*typed(TEXT), {"js": where}, *tabs]) if told and len(told) == 3]
    assert [name for name, *_ in places[:4]] == ["text", "second", "send", "filter"]
    assert places[4][0].startswith("What the words did")
    assert all(told[1:] == ["solid", True] for told in places)


@pytest.mark.long
def test_where_a_key_is_wanted_the_page_asks_for_it_and_keeps_it_to_itself(tickets_only):
    kept = {"js": "return [localStorage.length + sessionStorage.length, document.cookie, location.href]"}
    steps = [
        {"js": READY},
        {"js": "return document.activeElement.id"},
        {"type": "wrong"},
        {"keys": "Tab"},
        {"type": TEXT},
        {"keys": "Ctrl+Return"},
        {"js": READY},
        {"js": "document.getElementById('key').value = ''"},
        {"type": "secret"},
        {"keys": "Ctrl+Return"},
        {"js": READY},
        kept,
    ]
    told = look(tickets_only.url, steps)
    assert told[0] == ["", "This server wants an API key. Type it above."]
    assert told[1] == "key"
    assert told[6] == ["", "The API key is wrong."]
    assert re.fullmatch(r"tickets: \w+, in \d+ ms\.", told[10][0])
    assert told[10][1] == ""
    assert told[11] == [0, "", f"{tickets_only.url}/"]


@pytest.mark.long
def test_labels_and_names_that_look_like_markup_are_shown_as_they_are(catalogue):
    hostile = stub(HOSTILE, name=HOSTILE[1])
    many = stub(tuple(f"label {number}" for number in range(77)), name="many")
    shown = """
        const button = document.querySelector("article button.plain"), rows = () =>
          [...button.parentElement.querySelectorAll("tbody tr")].filter((row) => !row.hidden).length;
        const before = rows();
        button.click();
        return [before, rows(), button.getAttribute("aria-expanded"), document.title,
          document.querySelectorAll("main img, main script").length];
    """
    with live(Service(catalogue=Catalogue({hostile.name: hostile, "many": many}))) as running:
        *_, cards, told = look(running.url, typed(TEXT, {"js": CARDS}, {"js": shown}))
    assert cards[0]["model"] == HOSTILE[1]
    assert all(label in cards[0]["text"] for label in HOSTILE)
    assert told == [5, 77, "true", "rankwise: type a text", 0]


@pytest.mark.long
def test_what_went_wrong_is_told_in_words(catalogue):
    large = {"js": "document.getElementById('text').value = 'a'.repeat(3000000)"}
    again = [{"keys": "Ctrl+Return"}, {"js": READY}]
    with live(Service(catalogue=catalogue, settings=Settings(most_queued=1))) as running:
        running.service.queue._waiting = 1  # as if one waited
        busy = look(running.url, [{"js": READY}, *again, {"type": TEXT}, *again, large, *again])
        running.service.queue._waiting = 0
        running.service.queue.draining = True
        *_, leaving = look(running.url, typed(TEXT))
        running.service.queue.draining = False
    assert busy[2][1] == "There is no text. Type one first."
    assert busy[5][1] == "The server is busy: 1 texts wait already. Try again in 1 s."
    assert busy[8][1] == "The text is too large: a request may have 2 MB."
    assert leaving[1] == "The server can't answer now: the server is shutting down. Try again in 1 s."


@pytest.mark.long
def test_words_are_marked_in_the_text_and_escape_stops_what_takes_too_long(server):
    press = {"js": "document.querySelector('article button:not(.plain)').click()"}
    marks = {"js": "return [...document.querySelectorAll('article mark')].map((one) => [one.textContent, one.className])"}
    said = "😀 apple and zinc"
    enter = {"js": f"document.getElementById('text').value = {said!r}; document.getElementById('text').focus()"}
    steps = [{"js": READY}, enter, {"keys": "Ctrl+Return"}, {"js": READY}, press, {"keys": "Escape"}, {"js": READY}]
    *_, stopped, _, told, marked = look(server.url, [*steps, press, {"js": READY}, marks])
    (wanted,) = server.service.catalogue.runs["tickets"].run.explain([said])
    most = abs(wanted.strongest[0].score)
    strong = [word for word in wanted.words if abs(word.score) >= 0.05 * most]
    assert stopped == ["Stopped.", ""]
    assert told == [f"Told what the words did to {wanted.explained}, by tickets.", ""]
    assert [one[0] for one in marked] == [word.word for word in strong]
    assert [one[1].split()[0] for one in marked] == ["toward" if word.score > 0 else "away" for word in strong]
