"""A Hugging Face hub on this machine: the part of its HTTP API that huggingface_hub asks for models, and nothing more."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

WRITES, READS = "hf_may_write", "hf_may_read"
LARGE = (".safetensors", ".onnx", ".skops")  # what the hub keeps apart from git


@dataclass
class Repository:
    """A model repository: who sees it, and each commit's files by the commit's number."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], message: str = "") -> str:
        oid = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[oid] = files
        self.messages.append(message)
        return oid

    def at(self, revision: str) -> str | None:
        return list(self.commits)[-1] if revision == "main" else revision if revision in self.commits else None

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[list(self.commits)[-1]]


@dataclass
class Hub:
    """What it holds, where it is, and what was asked of it."""

    url: str = ""
    models: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    takes_large: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)

    def holds(self, name: str, *, private: bool, files: dict[str, bytes]) -> Repository:
        """As if somebody had made a repository with some files."""
        made = self.models[name] = Repository(private)
        made.commit({".gitattributes": b"", **files})
        return made

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to take this for the hub."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": WRITES}


@contextmanager
def live_hub() -> Iterator[Hub]:
    """Inside, the hub answers on a free port."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._route()

    do_HEAD = do_POST = do_PUT = do_GET

    def _route(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.asked.append((self.command, path))
        for pattern, answer in ROUTES:
            if found := re.fullmatch(pattern, path):
                answer(self, body, *found.groups())
                return
        self._answer({"error": "no such page"}, 404)

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _answer(self, content: Any, status: int = 200, **headers: str) -> None:
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _repository(self, name: str) -> Repository | None:
        """A repository that whoever asks may see; else it is answered that there is none."""
        found = self.hub.models.get(name)
        if found is not None and (not found.private or self.token in (WRITES, READS)):
            return found
        self._answer({"error": "Repository not found"}, 404 if self.token else 401, X_Error_Code="RepoNotFound")
        return None

    def _may_write(self) -> bool:
        if self.token == WRITES:
            return True
        known = self.token == READS
        self._answer(
            {"error": "this token may not write" if known else "Invalid username or password."}, 403 if known else 401
        )
        return False

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if self._may_write():
            if name in self.hub.models:
                self._answer({"error": "You already created this model repo"}, 409)
                return
            self.hub.holds(name, private=asked.get("visibility") == "private", files={})
            self._answer({"url": f"{self.hub.url}/{name}"})

    def about(self, _: bytes, name: str, revision: str | None = None) -> None:
        if found := self._repository(name):
            oid = found.at(revision or "main")
            if oid is None:
                self._answer({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
                return
            siblings = [{"rfilename": path} for path in found.commits[oid]]
            self._answer(
                {"id": name, "modelId": name, "sha": oid, "private": found.private, "siblings": siblings, "tags": []}
            )

    def tree(self, _: bytes, name: str, revision: str) -> None:
        if found := self._repository(name):
            files = found.commits[str(found.at(revision))]
            self._answer(
                [
                    {"type": "file", "path": path, "size": len(content), "oid": _oid(content)}
                    for path, content in files.items()
                ]
            )

    def preupload(self, body: bytes, name: str) -> None:
        if self._may_write() and (found := self._repository(name)):
            self._answer(
                {
                    "files": [
                        {
                            "path": file["path"],
                            "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                            "shouldIgnore": False,
                            "oid": _oid(found.files[file["path"]]) if file["path"] in found.files else None,
                        }
                        for file in json.loads(body)["files"]
                    ]
                }
            )

    def batch(self, body: bytes, _: str) -> None:
        if self._may_write():
            objects = json.loads(body)["objects"]
            for entry in objects:
                upload = {"upload": {"href": f"{self.hub.url}/large/{entry['oid']}"}}
                entry.update({} if entry["oid"] in self.hub.large else {"actions": upload})
            self._answer({"transfer": "basic", "objects": objects})

    def keep(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        if not self.hub.takes_large:
            self._answer({"error": "no room here"}, 403)
            return
        self.hub.large[oid] = body
        self._answer({})

    def commit(self, body: bytes, name: str) -> None:
        if self._may_write() and (found := self._repository(name)):
            files, message = dict(found.files), ""
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "header":
                    message = value["summary"]
                elif line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = self.hub.large[value["oid"]]
                elif line["key"] == "deletedFile":
                    del files[value["path"]]
            oid = found.commit(files, message)
            self._answer({"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid})

    def valid(self, body: bytes) -> None:
        front = json.loads(body)["content"].split("---")[1]
        self._answer({"errors": [] if "pipeline_tag" in front else [{"message": "no pipeline_tag"}], "warnings": []})

    def file(self, _: bytes, name: str, revision: str, path: str) -> None:
        if found := self._repository(name):
            oid = str(found.at(revision))
            content = found.commits[oid].get(path)
            if content is None:
                self._answer({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")
            else:
                self._answer(content, ETag=f'"{_oid(content)}"', X_Repo_Commit=oid)


def _oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


_NAME = "([^/]+/[^/]+)"
ROUTES = [
    ("/api/repos/create", _Handler.create),
    ("/api/validate-yaml", _Handler.valid),
    (f"/api/models/{_NAME}", _Handler.about),
    (f"/api/models/{_NAME}/revision/(.+)", _Handler.about),
    (f"/api/models/{_NAME}/tree/([^/]+)", _Handler.tree),
    (f"/api/models/{_NAME}/preupload/main", _Handler.preupload),
    (f"/api/models/{_NAME}/commit/main", _Handler.commit),
    (rf"/{_NAME}\.git/info/lfs/objects/batch", _Handler.batch),
    ("/large/(.+)", _Handler.keep),
    (f"/{_NAME}/resolve/([^/]+)/(.+)", _Handler.file),
]
