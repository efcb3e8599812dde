"""Knows how a finished data set becomes a data set repository of a Hugging Face hub: whole, or without its manifest.

What leaves are the files that the manifest lists, each compared with its SHA-256 before, and the manifest last, in a
commit of its own. The hub says by hashes what it holds, so a second push, or one that goes on, sends what is missing.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError, printable, quoted, shortened
from pain3d.doors.text import parse_yaml, read_text
from pain3d.pipeline.data_set import open_data_set
from pain3d.pipeline.folder import MANIFEST
from pain3d.pipeline.folder_checks import check_files
from pain3d.pipeline.manifest import read_manifest
from pain3d.pipeline.shard_list import find_faults
from pain3d.ranks import Ranks

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetInfo, HfApi, RepoFile

REPO_ID: Final = re.compile(r"(?!.*(--|\.\.|\.git$))\w([\w.-]*\w)?/\w([\w.-]*\w)?", re.ASCII)  # the hub's own rule
MAIN: Final = "main"
CARD: Final = "README.md"
ATTRIBUTES: Final = ".gitattributes"  # the hub's own, in every repository: what it keeps as large files
FILES_A_COMMIT: Final = 96  # what is uploaded and not yet committed the hub knows by its hash, so no more is lost
FILES_A_TURN: Final = 8  # then progress is told; the client uploads five side by side
MOST_TOLD: Final = 200  # characters of what the hub or its client says
KIND: Final = "dataset"
LOG_IN: Final = "hf auth login, or a token that may write in HF_TOKEN"


class Pushed(NamedTuple):
    """What a repository holds after a push; of a dry run, what it would.

    Attributes:
        url: Of its page.
        files: Files of the data set, all of which are there.
        new_files: How many of them were not there before.
        new_bytes: Of these.
        deleted_files: How many files that aren't of the data set were deleted.
        licence: As its card says.
        manifest_sha256: Of its manifest.
    """

    url: str
    files: int
    new_files: int
    new_bytes: int
    deleted_files: int
    licence: str
    manifest_sha256: str


class _File(NamedTuple):
    """A file of the data set, as the manifest has it."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class _Branch:
    """A branch of a repository; there need be neither."""

    api: HfApi
    repo: str
    name: str

    def info(self) -> DatasetInfo | None:
        """What the hub says of the repository; None where there is none that the token may see."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            return self.api.dataset_info(self.repo)
        except RepositoryNotFoundError:
            return None

    def held(self) -> dict[str, RepoFile] | None:
        """The files that it has, by path; None where there is no such branch."""
        from huggingface_hub import RepoFile
        from huggingface_hub.errors import RevisionNotFoundError

        try:
            tree = list(self.api.list_repo_tree(self.repo, recursive=True, revision=self.name, repo_type=KIND))
        except RevisionNotFoundError:
            return None
        return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}

    def commit(self, operations: Sequence[CommitOperationAdd | CommitOperationDelete], message: str) -> None:
        """One commit, with what isn't uploaded yet."""
        said = f"pain3d push: {message}"
        self.api.create_commit(self.repo, operations, commit_message=said, repo_type=KIND, revision=self.name)

    def upload(self, additions: Sequence[CommitOperationAdd]) -> None:
        """Send large files ahead of their commit."""
        self.api.preupload_lfs_files(self.repo, additions, repo_type=KIND, revision=self.name, free_memory=False)


def push(
    out: Path,
    repo: str,
    *,
    private: bool = False,
    revision: str = MAIN,
    endpoint: str = "",
    replace: bool = False,
    dry_run: bool = False,
    quiet: bool = True,
) -> Pushed:
    """Publish a finished data set. Nothing is written into its folder.

    Args:
        out: Its folder.
        repo: OWNER/NAME; made if it isn't there.
        private: A repository that is made is seen by its owners alone; one that is there must be private.
        revision: The branch; made of main if it isn't there.
        endpoint: Address of the hub; empty is HF_ENDPOINT, or else huggingface.co.
        replace: The branch becomes this data set, whatever it holds; what else is there is deleted.
        dry_run: Ask the hub, and change nothing there.
        quiet: Show no progress.

    Raises:
        RefusedError: The data set isn't whole, the branch holds something else, there is no token, or the hub or the
            network refuses. What was uploaded until then stays there, without the manifest, and another push goes on.
    """
    branch = _Branch(_open_hub(repo, endpoint), repo, revision)
    files = _whole_files(out, quiet)
    licence = _licence(out)
    with _one_line_refusals(branch), _quiet_client():
        info = branch.info()
        if private and info is not None and not info.private:
            raise RefusedError(f"{repo}: public already, --private doesn't hide it")
        held = None if info is None else branch.held()
        begun = held is not None
        if held is None and info is not None:  # a new branch begins as main
            held = _Branch(branch.api, repo, MAIN).held()
        held = held or {}
        new = [file for file in files if not _same(out, file, held.get(file.path))]
        others = sorted({*held} - {file.path for file in files} - {ATTRIBUTES})
        changed = [file.path for file in new if file.path in held]
        if (others or changed) and not replace:
            raise RefusedError(f"{repo}: {_told(others, changed)}; --replace makes it this one, and deletes the rest")
        if not dry_run:
            if info is None:
                branch.api.create_repo(repo, private=private or None, repo_type=KIND, exist_ok=True)
            if not begun and revision != MAIN:
                branch.api.create_branch(repo, branch=revision, repo_type=KIND, exist_ok=True)
            _send(branch, out, new, [*others, *(path for path in changed if path == MANIFEST)], quiet)
    page = f"{branch.api.endpoint}/datasets/{repo}" + (f"/tree/{revision}" if revision != MAIN else "")
    return Pushed(page, len(files), len(new), sum(file.bytes for file in new), len(others), licence, files[-1].sha256)


def _open_hub(repo: str, endpoint: str) -> HfApi:
    """The client, where it can be asked at all."""
    if find_spec("huggingface_hub") is None:
        raise RefusedError('push needs huggingface_hub: pip install "pain3d[push]"')
    import huggingface_hub

    from pain3d.provenance import pain3d_version

    if not REPO_ID.fullmatch(repo):
        raise RefusedError(f"{quoted(repo)}: not OWNER/NAME of a repository, in letters, digits and - _ .")
    if endpoint and not endpoint.startswith(("https://", "http://")):
        raise RefusedError(f"--endpoint {quoted(endpoint)}: not the address of a hub, such as https://hub.example.org")
    if huggingface_hub.is_offline_mode():
        raise RefusedError("push asks a hub, and HF_HUB_OFFLINE forbids it")
    token = huggingface_hub.get_token()
    if not token:
        raise RefusedError(f"push needs a token of the hub: {LOG_IN}")
    if not (token.isascii() and token.isprintable()):  # else errors quote it, escaped
        raise RefusedError(f"the token of the hub has characters that no token has: {LOG_IN}")
    return huggingface_hub.HfApi(
        endpoint=endpoint.rstrip("/") or None, token=token, library_name="pain3d", library_version=pain3d_version()
    )


def _whole_files(out: Path, quiet: bool) -> list[_File]:
    """What the manifest lists, the manifest itself last. Raises RefusedError unless every byte is as listed."""
    open_data_set(out)
    manifest = read_manifest(out)
    wrong = next((f"{out}/{finding}" for finding in check_files(out, manifest)), "")
    if not wrong:
        faults = find_faults(out, manifest.shards, Ranks().cores(), quiet)
        wrong = next(chain.from_iterable(faults.values()), "")
    if wrong:
        raise RefusedError(f"{wrong}; nothing was sent, pain3d verify {out} names all that is wrong")
    if CARD not in manifest.files:
        raise RefusedError(f"{out / MANIFEST}: of an older pain3d, it doesn't list {CARD}; nothing was sent")
    others = [_File(path, sha256, (out / path).stat().st_size) for path, (sha256, _) in manifest.files.items()]
    data = [_File(file["path"], file["sha256"], file["bytes"]) for file in manifest.data_files]
    return [*others, *data, _File(MANIFEST, manifest.sha256, (out / MANIFEST).stat().st_size)]


def _licence(out: Path) -> str:
    """The licence that the head of the card gives."""
    parts = read_text(out / CARD).split("---\n", 2)
    head = parse_yaml(parts[1], str(out / CARD)) if len(parts) == 3 and not parts[0] else None
    said: Mapping[str, Any] = head if isinstance(head, dict) else {}
    return printable(str(said.get("license_name") or said.get("license") or "none is stated"))


def _same(out: Path, file: _File, held: RepoFile | None) -> bool:
    """Whether the hub holds a file as it is here: it knows large ones by SHA-256, others as git does."""
    if held is None or held.size != file.bytes:
        return False
    if held.lfs is not None:
        return held.lfs.sha256 == file.sha256
    content = (out / file.path).read_bytes()
    as_git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return hashlib.sha256(content).hexdigest() == file.sha256 and as_git == held.blob_id


def _told(others: Sequence[str], changed: Sequence[str]) -> str:
    """What a branch holds that isn't of this data set."""
    if MANIFEST in changed:
        return f"holds another data set, its {MANIFEST} is another"
    first, count = [*others, *changed][0], len(others) + len(changed)
    return f"holds {quoted(first)}{f' and {count - 1} more' if count > 1 else ''}, not of this data set"


def _send(branch: _Branch, out: Path, new: Sequence[_File], gone: Sequence[str], quiet: bool) -> None:
    """Delete, upload and commit; the manifest when all else is seen to be there."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    def added(files: Sequence[_File]) -> list[CommitOperationAdd]:
        return [CommitOperationAdd(file.path, out / file.path) for file in files]

    if gone:
        branch.commit([CommitOperationDelete(path) for path in gone], f"{len(gone)} files of something else go")
    data = [file for file in new if file.path != MANIFEST]
    sent = 0
    with Progress(len(new), quiet=quiet, what="uploads") as progress:
        for start in range(0, len(data), FILES_A_COMMIT):
            files = data[start : start + FILES_A_COMMIT]
            additions = added(files)
            for turn in range(0, len(files), FILES_A_TURN):
                branch.upload(additions[turn : turn + FILES_A_TURN])
                part = files[turn : turn + FILES_A_TURN]
                sent += sum(file.bytes for file in part)
                progress.add(len(part), f"{sent / 1e6:.0f} MB")
            branch.commit(additions, f"{start + len(files)} of {len(data)} files")
        if data:
            held = branch.held() or {}
            lost = next((file.path for file in data if not _same(out, file, held.get(file.path))), None)
            if lost is not None:
                raise RefusedError(f"{branch.repo}: doesn't hold {lost} as it was sent; its {MANIFEST} was not sent")
        if len(new) > len(data):
            branch.commit(added([file for file in new if file.path == MANIFEST]), "the manifest, all else is there")
            progress.add(1)


@contextmanager
def _quiet_client() -> Iterator[None]:
    """Within it the client shows no bars of its own and tells nothing of what it tries again."""
    from huggingface_hub.utils import logging as client_log
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown, level = not are_progress_bars_disabled(), client_log.get_verbosity()
    disable_progress_bars()
    client_log.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        client_log.set_verbosity(level)
        if shown:
            enable_progress_bars()


@contextmanager
def _one_line_refusals(branch: _Branch) -> Iterator[None]:
    """Within it whatever the hub, its client or the network raises is a RefusedError, without the token in it."""
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:  # of which there is no list: the client's, those of its HTTP library, the system's
        raise RefusedError(_reason(error, branch)) from None


def _reason(error: Exception, branch: _Branch) -> str:
    from huggingface_hub.errors import HfHubHTTPError

    def told(words: str) -> str:
        return shortened(" ".join(words.replace(str(branch.api.token), "(the token)").split()), MOST_TOLD)

    hub, beside = branch.api.endpoint, ""
    if type(error) is RuntimeError and isinstance(error.__cause__, Exception):  # of an upload: it names the file
        beside, error = f"; {told(str(error))}", error.__cause__
    if not isinstance(error, HfHubHTTPError):
        unreached = type(error).__module__.partition(".")[0] in ("httpx", "httpx2")
        said = told(str(error)) or type(error).__name__
        return f"{hub}: {'not reached, or it broke off: ' if unreached else ''}{said}{beside}"
    status = error.response.status_code
    words = f"{status} {told(error.server_message or '')}".rstrip()
    if status == 401:
        return f"{hub}: doesn't take the token ({words}): {LOG_IN}{beside}"
    if status == 403:
        return f"{branch.repo}: the token gives no right to do that ({words}){beside}"
    if status == 404:
        return f"{branch.repo}: not at {hub}, or not for this token ({words}){beside}"
    return f"{hub}: answers {words}{beside}"
