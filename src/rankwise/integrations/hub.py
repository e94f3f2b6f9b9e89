"""Runs on the Hugging Face hub: one is pushed without any row of its data, and pulled again as the run that it was.

huggingface_hub does what is done over the network, with the endpoint and the token that it finds itself (`HF_ENDPOINT`,
`HF_TOKEN`, `hf auth login`). A repository is made private, and holds one run: what another program put there is left alone.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._validators import validate_repo_id
from huggingface_hub.utils.tqdm import disable_progress_bars

from rankwise.errors import HubError, as_typed
from rankwise.run.decision import DECISION
from rankwise.run.deployed import FILES, files_of
from rankwise.run.engines.onnx import FILE as ONNX_FILE
from rankwise.run.export.without_rows import write_without_rows
from rankwise.run.folder import Run
from rankwise.run.manifest import CARD, MANIFEST, WORDS, Manifest, read_manifest
from rankwise.system.files import parse_json
from rankwise.system.hub import OFFLINE, is_reachable
from rankwise.system.storage import check_new_folder, told_refusals, whole_folder
from rankwise.system.visible import one_line

HTTP_ERROR: Any = HfHubHTTPError.__bases__[
    0
]  # of the client that huggingface_hub has, which no release of it exports by name
EXPORTED = (f"{form}/{name}" for form in FILES for name in files_of(form))
BESIDE = (DECISION, ONNX_FILE, *EXPORTED)  # which a run's manifest does not list
HERE = '"path/to/this/folder"'  # in a run's card


@dataclass(frozen=True)
class Pushed:
    """What was sent, or would be."""

    url: str
    """Where it is now, or would be."""
    files: Mapping[str, int]
    """Bytes of each file, by its path in the repository."""
    stays: Mapping[str, str]
    """What of the run folder was not sent, and why."""
    notes: tuple[str, ...]
    """What whoever pushes should know."""


def push(run: Run, repo: str, *, public: bool = False, dry_run: bool = False) -> Pushed:
    """Send a run to a model repository of the hub, which is made, private unless `public`, where there is none.

    No row goes along: `without_rows` says what does. A run that the repository holds already is replaced in one commit.
    With `dry_run` nothing is sent, and nobody asked. Raises HubError, StorageError.
    """
    _check_name(repo)
    url = f"{constants.ENDPOINT}/{repo}"
    with told_refusals(run.folder, "free room in TMPDIR"), TemporaryDirectory(prefix="rankwise-") as draft:
        folder = Path(draft)
        stays = write_without_rows(run, folder, card=lambda text: _card(text, repo))
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        notes = _notes(run)
        if not dry_run:
            notes = (*notes, *_send(files, repo, public=public, name=run.recipe.name))
        return Pushed(url, {name: path.stat().st_size for name, path in files.items()}, stays, notes)


def pull(repo: str, folder: str | Path, *, revision: str | None = None) -> Run:
    """Fetch a run that was pushed into a new folder, each file checked by its sha256, and open it.

    Raises HubError where there is no such run, RunError for a folder with something in it or files that are not as pushed.
    """
    _check_name(repo)
    folder, again = Path(folder), f"rankwise pull {repo} FOLDER"
    check_new_folder(folder, again)
    _check_reachable()
    refused = "free room there, or give another folder of yours"
    with _told(repo), told_refusals(folder, refused), whole_folder(folder, again) as draft:
        _fetch(repo, revision, draft)
        Run.load(draft)
    return Run.load(folder, verify=False)


def _fetch(repo: str, revision: str | None, draft: Path) -> None:
    """Bring the files of a run, and no other of the repository's, into a folder."""
    disable_progress_bars()
    api = HfApi()
    commit = api.model_info(repo, revision=revision).sha  # one, whatever is pushed meanwhile
    names = api.list_repo_files(repo, revision=commit)
    if MANIFEST not in names:
        raise HubError(
            f"{repo} has no {MANIFEST}, so it is no run that rankwise pushed; expected one: rankwise push RUN {repo}"
        )
    api.snapshot_download(repo, revision=commit, local_dir=draft, allow_patterns=[MANIFEST])
    wanted = [*read_manifest(draft).sha256, *BESIDE]
    api.snapshot_download(repo, revision=commit, local_dir=draft, allow_patterns=[escape(name) for name in wanted])
    shutil.rmtree(draft / ".cache", ignore_errors=True)  # where huggingface_hub notes what it fetched


def _send(files: Mapping[str, Path], repo: str, *, public: bool, name: str) -> tuple[str, ...]:
    """Commit the files, in the place of those of a run that was there."""
    _check_reachable()
    if get_token() is None:
        raise HubError("no token for the hub; type: hf auth login, or set HF_TOKEN to one that may write")
    disable_progress_bars()
    api, notes = HfApi(), tuple[str, ...]()
    with _told(repo):
        try:
            there = api.model_info(repo)
        except RepositoryNotFoundError:
            api.create_repo(repo, private=not public)
            old: set[str] = set()
        else:
            old = _ours(api, repo, [entry.rfilename for entry in there.siblings or ()])
            if not there.private and not public:
                raise HubError(f"{repo} is public already; type --public to push there, or give another name")
            if there.private and public:
                notes = (
                    f"{repo} was private and stays so; who should see it is said at {constants.ENDPOINT}/{repo}/settings",
                )
        added = [CommitOperationAdd(name, path) for name, path in files.items()]
        gone = [CommitOperationDelete(name) for name in sorted(old - files.keys())]
        api.create_commit(repo, [*added, *gone], commit_message=f"Run {name}")
    return notes


def _ours(api: HfApi, repo: str, there: list[str]) -> set[str]:
    """The files of the run in a repository that is there already; none in an empty one. Raises HubError for another's."""
    if MANIFEST in there:
        with TemporaryDirectory(prefix="rankwise-") as folder:
            content = Path(api.hf_hub_download(repo, MANIFEST, local_dir=folder)).read_bytes()
        try:
            return {MANIFEST, *parse_json(content, Manifest).sha256, *BESIDE}.intersection(there)
        except ValueError:  # of another program
            pass
    if others := sorted({*there} - {".gitattributes", CARD}):
        raise HubError(
            f"{repo} holds no run of rankwise but {', '.join(others[:3])}{' and more' if len(others) > 3 else ''}; give "
            "another name, or delete the repository first"
        )
    return set()


def _notes(run: Run) -> tuple[str, ...]:
    notes = []
    if run.counts_words:
        notes.append(f"{WORDS} is its classifier and holds the words that it counts, which are from training texts")
    if run.facts.base.hub is None and not run.counts_words and not run.is_whole:
        notes.append(
            f"its base '{run.facts.base.name}' is a folder of this machine: who pulls the run needs it too, and types --base "
            f"FOLDER; a model that needs none: rankwise merge {as_typed(run.folder)} --out FOLDER"
        )
    return tuple(notes)


def _card(text: str, repo: str) -> str:
    """A run's card as a repository's: what it says to type fetches the folder first."""
    pulled = f'pull("{repo}", "{repo.partition("/")[2]}")'
    for before, after in (
        ("from rankwise import Run\n", "from rankwise.integrations.hub import pull\n"),
        (f"Run.load({HERE})", pulled),
        ("from pathlib import Path\n\n", "from pathlib import Path\n\nfrom huggingface_hub import snapshot_download\n"),
        (f"Path({HERE})", f'Path(snapshot_download("{repo}"))'),
        (HERE, f'"{repo}"'),  # of what loads from the hub itself
    ):
        text = text.replace(before, after)
    return text


def _check_name(repo: str) -> None:
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise HubError(f"'{repo}' names no repository; expected OWNER/NAME, such as me/news") from error
    if "/" not in repo:
        raise HubError(f"'{repo}' has no owner; expected OWNER/NAME, such as me/{repo}")


def _check_reachable() -> None:
    if not is_reachable():
        where = constants.ENDPOINT
        raise HubError(
            f"{where} can't be reached from here, or {OFFLINE[0]} is set; try again with a network, or set HF_ENDPOINT"
        )


@contextmanager
def _told(repo: str) -> Iterator[None]:
    """Inside, what the hub refuses is a HubError."""
    try:
        yield
    except RevisionNotFoundError as error:
        raise HubError(f"{repo} has no such revision; look at {constants.ENDPOINT}/{repo}/commits/main") from error
    except RepositoryNotFoundError as error:
        raise HubError(
            f"{repo}: the hub has no such model, or it is private and the token may not see it; type: hf auth login"
        ) from error
    except (HTTP_ERROR, LocalEntryNotFoundError, RuntimeError) as error:
        cause = error.__cause__ if type(error) is RuntimeError else error  # as huggingface_hub tells of large files
        if not isinstance(cause, (HTTP_ERROR, LocalEntryNotFoundError)):
            raise
        if isinstance(cause, HfHubHTTPError):
            raise HubError(f"{repo}: the hub answered {_answer(cause)}") from error
        why = type(cause.__cause__ or cause).__name__
        raise HubError(f"{repo}: {constants.ENDPOINT} can't be reached ({why}); try again") from error


def _answer(error: HfHubHTTPError) -> str:
    """A refusal in a line, and what to do about it where that is known."""
    status = error.response.status_code
    told = one_line((error.server_message or "").strip())
    advice = "; type: hf auth login, with a token that may write there" if status in (401, 403) else ""
    return f"{status}{told and f' ({told})'}{advice}"
