"""A stand-in for a Hugging Face hub on this machine: what huggingface_hub asks for to send and fetch a data set.

It keeps everything in memory, large files by SHA-256 and the others by git's hash, as a hub does.
"""

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = ("*.parquet", "*.png", "*.jpg")  # what its .gitattributes has as large files
ATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LARGE).encode()
DROP = -1  # an answer: the connection ends
PAGE = 7  # entries of a tree in one answer: a listing takes several


@dataclass
class Repository:
    """A data set repository: branches with the bytes of each file, and its commits: words, branch, paths."""

    private: bool
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {".gitattributes": ATTRIBUTES}})
    commits: list[dict[str, Any]] = field(default_factory=list)

    def sha(self, branch: str) -> str:
        """The name of a branch's last commit."""
        held = self.branches[branch]
        listing = "".join(f"{path} {git_hash(content)}\n" for path, content in sorted(held.items()))
        return hashlib.sha1(listing.encode()).hexdigest()


class Hub(ThreadingHTTPServer):
    """A hub at `url`.

    Attributes:
        token: Whom it lets write; reading what is public needs none.
        repositories: By OWNER/NAME.
        blobs: What was uploaded as large files, by SHA-256.
        asked: Method and path of every request, in order.
        fault: Asked before every request: a status to answer with, `DROP`, or 0.
        ignored: Files that are left out of commits, as a .gitignore there does.
    """

    daemon_threads = True

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.token = token
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.fault: Callable[[str, str], int] = lambda method, path: 0
        self.ignored: set[str] = set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is none of ours."""

    def sent(self) -> list[tuple[str, str]]:
        """The requests that changed something."""
        return [(method, path) for method, path in self.asked if method == "PUT" or "/commit/" in path]


@contextmanager
def running_hub(token: str) -> Iterator[Hub]:
    """A hub that answers within the context."""
    with Hub(token) as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


def git_hash(content: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(path: str) -> bool:
    """Whether a file is kept as a large one."""
    return any(fnmatch(path, pattern) for pattern in LARGE)


class _Answers(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: Any) -> None:
        """Nothing is printed."""

    def handle_any(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, path))
        fault = self.server.fault(self.command, path)
        if fault == DROP:
            self.rfile.read(10)
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        body = self.body()
        if fault:
            self.fail(fault, "said by the test")
            return
        parts = path.strip("/").split("/")
        match self.command, parts:
            case "PUT", ["blobs", oid]:  # as of storage elsewhere: its address is the permission
                self.put(oid, body)
                return
            case "GET" | "HEAD", _:
                pass
            case _:
                if self.headers.get("Authorization") != f"Bearer {self.server.token}":
                    self.fail(401, "Invalid credentials in Authorization header")
                    return
        match parts:
            case ["api", "repos", "create"]:
                self.create(json.loads(body))
                return
            case ["api", "validate-yaml"]:
                self.answer({"errors": [], "warnings": []})
                return
            case ["api", "datasets", owner, name, *rest]:
                pass
            case ["datasets", owner, name, *rest]:
                rest = [name.removeprefix(name.removesuffix(".git")) or "files", *rest]
                name = name.removesuffix(".git")
            case _:
                self.fail(404, "no such address")
                return
        repository = self.server.repositories.get(f"{owner}/{name}")
        if repository is None or (repository.private and not self.may_read()):
            self.fail(404, "Repository not found", "RepoNotFound")
            return
        match rest:
            case [".git", "info", "lfs", "objects", "batch"]:
                self.batch(json.loads(body))
            case ["branch", branch]:
                repository.branches[branch] = dict(repository.branches["main"])
                self.answer({})
            case [] | ["revision", _] | ["tree" | "preupload" | "commit", _] | ["files", "resolve", _, *_]:
                branch = self.branch(repository, rest)
                if branch is None:
                    self.fail(404, "Invalid rev id", "RevisionNotFound")
                    return
                self.on_branch(f"{owner}/{name}", repository, branch, rest, body)
            case _:
                self.fail(404, "no such address")

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # names of the base class

    def on_branch(self, name: str, repository: Repository, branch: str, rest: list[str], body: bytes) -> None:
        held = repository.branches[branch]
        match rest:
            case [] | ["revision", _]:
                siblings = [{"rfilename": path} for path in sorted(held)]
                said = {"id": name, "sha": repository.sha(branch), "private": repository.private, "siblings": siblings}
                self.answer(said)
            case ["tree", _]:
                self.tree(held)
            case ["preupload", _]:
                self.answer({"files": [self.mode(file["path"], held) for file in json.loads(body)["files"]]})
            case ["commit", _]:
                self.commit(name, branch, [json.loads(line) for line in body.splitlines()])
            case ["files", "resolve", _, *path]:
                self.resolve(repository, branch, "/".join(path))

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def may_read(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.server.token}"

    @staticmethod
    def branch(repository: Repository, rest: list[str]) -> str | None:
        """The branch that an address names, by its name or its last commit."""
        named = {"tree": 1, "preupload": 1, "commit": 1, "revision": 1, "files": 2}
        revision = rest[named[rest[0]]] if rest else "main"
        return next((name for name in repository.branches if revision in (name, repository.sha(name))), None)

    def create(self, wish: dict[str, Any]) -> None:
        name = f"{wish['organization']}/{wish['name']}"
        assert wish["type"] == "dataset"
        url = f"{self.server.url}/datasets/{name}"
        if name in self.server.repositories:
            self.answer({"error": "You already created this dataset repo", "url": url}, 409)
            return
        self.server.repositories[name] = Repository(wish.get("visibility") == "private")
        self.answer({"url": url, "name": name})

    def mode(self, path: str, held: dict[str, bytes]) -> dict[str, Any]:
        large, content = is_large(path), held.get(path)
        oid = None
        if content is not None:
            oid = hashlib.sha256(content).hexdigest() if large else git_hash(content)
        mode = "lfs" if large else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": path in self.server.ignored, "oid": oid}

    def batch(self, wish: dict[str, Any]) -> None:
        objects = []
        for entry in wish["objects"]:
            said = {"oid": entry["oid"], "size": entry["size"]}
            if entry["oid"] not in self.server.blobs:
                said["actions"] = {"upload": {"href": f"{self.server.url}/blobs/{entry['oid']}"}}
            objects.append(said)
        self.answer({"transfer": "basic", "objects": objects})

    def put(self, oid: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != oid:
            self.fail(400, "another SHA-256 than announced")
            return
        self.server.blobs[oid] = content
        self.answer({})

    def commit(self, name: str, branch: str, lines: list[dict[str, Any]]) -> None:
        repository = self.server.repositories[name]
        held = dict(repository.branches[branch])
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "file":
                    held[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    held[value["path"]] = self.server.blobs[value["oid"]]
                case "deletedFile":
                    del held[value["path"]]
        repository.branches[branch] = held
        paths = [line["value"]["path"] for line in lines if line["key"] != "header"]
        repository.commits.append({"summary": lines[0]["value"]["summary"], "branch": branch, "paths": paths})
        sha = repository.sha(branch)
        self.answer({"commitUrl": f"{self.server.url}/datasets/{name}/commit/{sha}", "commitOid": sha})

    def tree(self, held: dict[str, bytes]) -> None:
        start = int(dict(pair.split("=") for pair in urlsplit(self.path).query.split("&")).get("cursor", 0))
        entries: list[dict[str, Any]] = []
        for path, content in sorted(held.items())[start : start + PAGE]:
            entry = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
            if is_large(path):
                oid = hashlib.sha256(content).hexdigest()
                entry |= {"oid": git_hash(oid.encode()), "lfs": {"oid": oid, "size": len(content), "pointerSize": 130}}
            entries.append(entry)
        headers = {}
        if start + PAGE < len(held):
            page = f"{self.server.url}{urlsplit(self.path).path}?recursive=True&cursor={start + PAGE}"
            headers = {"Link": f'<{page}>; rel="next"'}
        self.answer(entries, headers=headers)

    def resolve(self, repository: Repository, branch: str, path: str) -> None:
        content = repository.branches[branch].get(path)
        if content is None:
            self.fail(404, "Entry not found", "EntryNotFound")
            return
        etag = hashlib.sha256(content).hexdigest() if is_large(path) else git_hash(content)
        self.write(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": repository.sha(branch)})

    def answer(self, said: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.write(status, json.dumps(said).encode(), {"Content-Type": "application/json", **(headers or {})})

    def fail(self, status: int, words: str, code: str = "") -> None:
        self.answer({"error": words}, status, {"X-Error-Message": words, **({"X-Error-Code": code} if code else {})})

    def write(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
