"""``push`` makes a finished data set a repository of a hub: every byte that the manifest lists, and nothing else.

The hub is a stand-in on this machine; who sends and fetches is the real huggingface_hub.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest

from pain3d.console.refused import RefusedError
from pain3d.pipeline import pushing
from pain3d.pipeline.pushing import push
from pain3d.pipeline.shard_files import file_hash
from tests.conftest import Ran
from tests.house.test_light_import import loaded_after
from tests.pipeline.conftest import hashes
from tests.pipeline.hub_server import DROP, Hub, Repository, running_hub

Run = Callable[..., Ran]
TOKEN = "hf_secretsecretsecret"
REPO = "someone/faces"
FILES = 20  # of the small data set: 12 of shards, 7 beside them, the manifest
FRAMES = "data/frames/train-00000-of-00001.parquet"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that is asked in place of huggingface.co, by somebody who is logged in; nobody waits between tries."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with running_hub(TOKEN) as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        address = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        yield hub
    huggingface_hub.close_session()


def manifest_paths(out: Path) -> set[str]:
    """What a manifest lists, and itself."""
    held = json.loads((out / "manifest.json").read_text())
    listed = [*held["files"], *(file for shard in held["shards"] for file in shard["files"])]
    return {entry["path"] for entry in listed} | {"manifest.json"}


def without_manifest(hub: Hub) -> bool:
    return all("manifest.json" not in held for held in hub.repositories[REPO].branches.values())


def test_what_is_pushed_comes_back_byte_for_byte(pain3d: Run, hub: Hub, small: Path, tmp_path: Path) -> None:
    before = hashes(small)
    size = sum((small / path).stat().st_size for path in before)
    ran = pain3d("push", small, REPO)
    assert ran.err == "" and ran.code == 0
    assert hashes(small) == before  # nothing was written there
    assert ran.out.splitlines() == [
        f"{FILES} of {FILES} files were added, {size / 1e6:,.1f} MB",
        f"repository     {hub.url}/datasets/{REPO}",
        f"manifest       {file_hash(small / 'manifest.json')}, for pain3d verify --expect",
        "licence        cc0-1.0, as its card says",
    ]
    assert not hub.repositories[REPO].private
    assert hub.repositories[REPO].commits[-1]["paths"] == ["manifest.json"]

    fetched = Path(huggingface_hub.snapshot_download(REPO, repo_type="dataset", local_dir=tmp_path / "fetched"))
    assert {path: digest for path, digest in hashes(fetched).items() if path in before} == before
    ran = pain3d("verify", fetched, "--expect", file_hash(small / "manifest.json"))
    assert (ran.code, ran.out.splitlines()[-1]) == (0, f"{fetched}: 76 rows, nothing wrong")
    alone = huggingface_hub.hf_hub_download(REPO, FRAMES, repo_type="dataset", cache_dir=tmp_path / "cache")
    assert file_hash(Path(alone)) == before[FRAMES]
    rows = datasets.load_dataset(str(fetched), "pairs", split="train", cache_dir=str(tmp_path / "loaded"))
    assert len(rows) == 12 and rows[0]["image"].size == (64, 64)


def test_a_second_push_sends_nothing(pain3d: Run, hub: Hub, small: Path) -> None:
    pain3d("push", small, REPO)
    hub.asked.clear()
    ran = pain3d("push", small, REPO)
    assert (ran.code, ran.out.splitlines()[0]) == (0, f"all {FILES} files are there already")
    assert hub.sent() == []
    said = json.loads(pain3d("push", small, REPO, "--json").out)
    assert said == {
        "out": str(small),
        "repo": REPO,
        "revision": "main",
        "url": f"{hub.url}/datasets/{REPO}",
        "files": FILES,
        "new_files": 0,
        "new_bytes": 0,
        "deleted_files": 0,
        "licence": "cc0-1.0",
        "manifest_sha256": file_hash(small / "manifest.json"),
    }


def test_what_others_put_there_stays_here(hub: Hub, copy: Path) -> None:
    """What later commands add to the folder doesn't leave, nor does what a download left in it."""
    for name in ("report/gallery.html", "judge/judge.json", ".gitattributes", ".cache/huggingface/.gitignore"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("mine alone")
    push(copy, REPO)
    assert {*hub.repositories[REPO].branches["main"]} == manifest_paths(copy) | {".gitattributes"}
    assert not any(b"mine alone" in content for content in hub.repositories[REPO].branches["main"].values())


def stray(copy: Path) -> str:
    (copy / "data" / "notes.txt").write_text("stray")
    return f"{copy}/data/notes.txt: not in the manifest"


def another_byte(copy: Path) -> str:
    content = bytearray((copy / FRAMES).read_bytes())
    content[1000] ^= 1
    (copy / FRAMES).write_bytes(content)
    return f"{copy / FRAMES}: another SHA-256 than published"


def another_card(copy: Path) -> str:
    card = copy / "README.md"
    card.write_text(card.read_text().replace("a", "b", 1))
    return f"{card}: SHA-256 differs from the manifest"


def a_link(copy: Path) -> str:
    shutil.move(copy / FRAMES, copy.parent / "elsewhere")
    (copy / FRAMES).symlink_to(copy.parent / "elsewhere")
    return f"{copy / 'manifest.json'}: names '{FRAMES}': a link that leads out of its folder"


def no_manifest(copy: Path) -> str:
    (copy / "manifest.json").unlink()
    return f"{copy}: not a finished data set of pain3d, it has no manifest.json"


def no_card(copy: Path) -> str:
    """As of an older pain3d."""
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"] = [{"path": "config.resolved.yaml", "sha256": file_hash(copy / "config.resolved.yaml")}]
    manifest["resolved"]["code_version"] = "0123456789ab"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return f"{copy / 'manifest.json'}: of an older pain3d, it doesn't list README.md"


@pytest.mark.parametrize("damage", [stray, another_byte, another_card, a_link, no_manifest, no_card])
def test_a_damaged_data_set_is_refused_before_any_request(
    pain3d: Run, hub: Hub, copy: Path, damage: Callable[[Path], str]
) -> None:
    named = damage(copy)
    ran = pain3d("push", copy, REPO)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"pain3d: {named}")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (401, "pain3d: {url}: doesn't take the token (401 said by the test): hf auth login"),
        (403, "pain3d: someone/faces: the token gives no right to do that (403 said by the test)"),
        (404, "pain3d: someone/faces: not at {url}, or not for this token (404 said by the test)"),
        (500, "pain3d: {url}: answers 500 said by the test"),
    ],
)
@pytest.mark.parametrize("where", ["/api/datasets/someone/faces", "/commit/", "/blobs/"])
def test_a_hub_that_refuses_is_told_in_one_line(
    pain3d: Run, hub: Hub, small: Path, status: int, line: str, where: str
) -> None:
    hub.fault = lambda method, path: status if where in path else 0
    ran = pain3d("push", small, REPO)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(line.format(url=hub.url))
    if where == "/blobs/":
        assert "Error while uploading 'data/" in ran.err or "Error while uploading 'contact_sheet.png" in ran.err


def test_a_broken_upload_goes_on(pain3d: Run, hub: Hub, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "FILES_A_COMMIT", 5)
    monkeypatch.setattr(pushing, "FILES_A_TURN", 2)
    hub.fault = lambda method, path: DROP if method == "PUT" and len(hub.blobs) >= 6 else 0
    ran = pain3d("push", small, REPO)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"pain3d: {hub.url}: not reached, or it broke off: ")
    assert 6 <= len(hub.blobs) <= 7 and hub.repositories[REPO].commits and without_manifest(hub)
    before, hub.fault = dict(hub.blobs), lambda method, path: 0
    hub.asked.clear()
    said = json.loads(pain3d("push", small, REPO, "--json").out)
    assert 0 < said["new_files"] < FILES
    again = {path.removeprefix("/blobs/") for method, path in hub.asked if method == "PUT"}
    assert again and again.isdisjoint(before)
    assert hub.repositories[REPO].commits[-1]["paths"] == ["manifest.json"]
    assert {*hub.repositories[REPO].branches["main"]} == manifest_paths(small) | {".gitattributes"}


def test_ctrl_c_says_that_it_goes_on(pain3d: Run, hub: Hub, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pushing._Branch, "commit", interrupted)
    ran = pain3d("push", small, REPO)
    line = "pain3d: interrupted; what was uploaded stays at the hub, the same command goes on from there\n"
    assert (ran.code, ran.err) == (130, line)
    assert hub.blobs and without_manifest(hub)


def test_a_file_that_the_hub_leaves_out_is_seen(hub: Hub, small: Path) -> None:
    hub.ignored = {FRAMES}
    with pytest.raises(RefusedError, match=f"{REPO}: doesn't hold {FRAMES} as it was sent; its manifest.json was not"):
        push(small, REPO)
    assert without_manifest(hub)


def test_what_a_repository_holds_is_replaced_when_told(pain3d: Run, hub: Hub, copy: Path, small: Path) -> None:
    push(small, REPO)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest))  # another text: another data set
    hub.repositories[REPO].branches["main"]["notes.txt"] = b"of somebody"
    before, hub.asked = dict(hub.repositories[REPO].branches["main"]), []
    ran = pain3d("push", copy, REPO)
    words = "holds another data set, its manifest.json is another; --replace makes it this one, and deletes the rest"
    assert (ran.code, ran.err) == (2, f"pain3d: {REPO}: {words}\n")
    said = json.loads(pain3d("push", copy, REPO, "--replace", "--dry-run", "--json").out)
    assert (said["new_files"], said["deleted_files"], said["dry_run"]) == (1, 1, True)
    assert hub.repositories[REPO].branches["main"] == before and hub.sent() == []
    ran = pain3d("push", copy, REPO, "--replace")
    assert ran.out.splitlines()[1] == "deleted        1 files of something else"
    first, *_, last = hub.repositories[REPO].commits[-2:]
    assert (first["paths"], last["paths"]) == (["notes.txt", "manifest.json"], ["manifest.json"])
    held = hub.repositories[REPO].branches["main"]
    assert {*held} == manifest_paths(copy) | {".gitattributes"}
    assert held["manifest.json"] == (copy / "manifest.json").read_bytes()


@pytest.mark.parametrize(
    ("name", "told"), [("notes.txt", "holds 'notes.txt', not"), ("README.md", "holds 'README.md'")]
)
def test_strangers_files_are_not_written_over(hub: Hub, small: Path, name: str, told: str) -> None:
    hub.repositories[REPO] = Repository(private=False)
    hub.repositories[REPO].branches["main"][name] = b"of somebody"
    with pytest.raises(RefusedError, match=f"{REPO}: {told}"):
        push(small, REPO)
    assert hub.sent() == []


def test_a_branch_of_its_own(hub: Hub, small: Path, pain3d: Run) -> None:
    hub.repositories[REPO] = Repository(private=False)
    ran = pain3d("push", small, REPO, "--revision", "small", "--endpoint", f"{hub.url}/")
    assert f"repository     {hub.url}/datasets/{REPO}/tree/small\n" in ran.out
    branches = hub.repositories[REPO].branches
    assert {*branches["small"]} == manifest_paths(small) | {".gitattributes"} and {*branches["main"]} == {
        ".gitattributes"
    }


def test_private_is_private(hub: Hub, small: Path) -> None:
    push(small, REPO, private=True)
    assert hub.repositories[REPO].private
    assert push(small, REPO, private=True).new_files == 0
    hub.repositories[REPO].private = False
    with pytest.raises(RefusedError, match=f"{REPO}: public already"):
        push(small, REPO, private=True)


def test_a_dry_run_changes_nothing(pain3d: Run, hub: Hub, small: Path) -> None:
    ran = pain3d("push", small, REPO, "--dry-run")
    assert ran.out.startswith(f"{FILES} of {FILES} files would be added")
    assert hub.repositories == {} and {method for method, _ in hub.asked} == {"GET"}


def test_without_what_it_needs(
    pain3d: Run, hub: Hub, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("faces", "some one/faces", "a/b/c", "a/b--c", "a/.b", "a/b.git", "a/b\n"):
        assert "not OWNER/NAME of a repository" in pain3d("push", small, name).err
    assert "'hub.example': not the address of a hub" in pain3d("push", small, REPO, "--endpoint", "hub.example").err
    with monkeypatch.context() as patch:
        patch.setattr(pushing, "find_spec", lambda name: None)
        assert pain3d("push", small, REPO).err == 'pain3d: push needs huggingface_hub: pip install "pain3d[push]"\n'
    with monkeypatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        assert pain3d("push", small, REPO).err == "pain3d: push asks a hub, and HF_HUB_OFFLINE forbids it\n"
    with monkeypatch.context() as patch:
        patch.delenv("HF_TOKEN")
        patch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
        assert "pain3d: push needs a token of the hub: hf auth login" in pain3d("push", small, REPO).err
    assert hub.asked == []
    hub.shutdown()
    hub.server_close()
    ran = pain3d("push", small, REPO)
    assert ran.err.startswith(f"pain3d: {hub.url}: not reached, or it broke off: ") and ran.err.count("\n") == 1


def test_the_token_is_in_no_word(pain3d: Run, hub: Hub, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where the hub says it back, and nor where it is no text that a header may have."""
    said = pain3d("push", small, REPO)
    assert TOKEN not in said.out + said.err
    hub.token = "another"
    refused = pain3d("push", small, "someone/else")
    assert "doesn't take the token (401 Invalid credentials" in refused.err
    monkeypatch.setattr(
        "tests.pipeline.hub_server._Answers.fail",
        lambda self, status, words, code="": self.answer({"error": f"{self.headers['Authorization']} " * 9}, status),
    )
    hub.fault = lambda method, path: 418
    echoed = pain3d("push", small, REPO)
    assert "Bearer (the token)" in echoed.err
    monkeypatch.setenv("HF_TOKEN", f"{TOKEN}\x01")
    broken = pain3d("push", small, REPO)
    assert "the token of the hub has characters that no token has" in broken.err
    assert (refused.code, echoed.code, broken.code) == (2, 2, 2)
    assert not any("secret" in ran.out + ran.err for ran in (refused, echoed, broken))


def test_the_front_door_does_not_open_the_client(tmp_path: Path) -> None:
    loaded = loaded_after("import pain3d.__main__, pain3d.pipeline.cli, pain3d.pipeline.pushing", tmp_path)
    assert "huggingface_hub" not in loaded and "pain3d" in loaded
