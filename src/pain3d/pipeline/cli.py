"""Knows the commands that make data, and what they print."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import tyro

from pain3d.console.entry import Entry
from pain3d.console.refused import WRONG, RefusedError
from pain3d.console.settings import Within, checked, load_settings
from pain3d.pipeline.assets.command import Assets, show_assets
from pain3d.pipeline.config import Seed, SynthConfig
from pain3d.pipeline.texture.command import Teach, Texture, paint_textures, teach_textures

DEFAULT_SEED, DEFAULT_SIZE = 7, 512  # of sheets


@dataclass(frozen=True)
class Synth:
    """Make a labelled synthetic data set of pain faces."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder of the data set: new, empty, or one of this configuration, to go on with unless it is finished."""
    config: Path | None = None
    """YAML file of the options below; the command line overrides it."""
    synthesis: tyro.conf.OmitArgPrefixes[SynthConfig] = field(default_factory=SynthConfig)
    repair: tyro.conf.FlagCreatePairsOff[bool] = False
    """Of a damaged data set keep what its hash proves, and make the rest again."""
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
    """Say what would be made, and write nothing."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""

    def with_config(self) -> Synth | None:
        """The defaults that the configuration file makes; None without one. Raises RefusedError."""
        if self.config is None:
            return None
        return Synth(tyro.MISSING, synthesis=load_settings(self.config, SynthConfig(), checked))


@dataclass(frozen=True)
class Verify:
    """Check a data set: every file against its hash, every column of every row against its scene, every picture."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder of the data set."""
    expect: Annotated[str, tyro.conf.arg(metavar="HASH")] = ""
    """SHA-256 of the manifest, as the run that made the data set has said it: then nothing at all was changed."""
    sample: Annotated[int, Within(0, 1_000_000)] = 0
    """Render so many identities again, spread over the data set, and compare their pictures too."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


@dataclass(frozen=True)
class Replay:
    """Make one row of a data set again, of what the data set carries: the bytes must be those that it holds."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder of the data set, finished."""
    sample: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SAMPLE_ID")]
    """Whom: a sample_id of frames (id000003_e02_v1) or of expressions (id000003_e02)."""
    to: Path | None = None
    """Folder for the pictures that were made; files of their names are replaced."""


@dataclass(frozen=True)
class Push:
    """Publish a finished data set as a data set repository of a Hugging Face hub; every file is checked before."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder of the data set, finished."""
    repo: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")]
    """The repository; made if it isn't there."""
    private: tyro.conf.FlagCreatePairsOff[bool] = False
    """Make it so that its owners alone see it."""
    revision: Annotated[str, tyro.conf.arg(metavar="BRANCH")] = "main"
    """Its branch; made of main if it isn't there."""
    endpoint: Annotated[str, tyro.conf.arg(metavar="URL")] = ""
    """Address of the hub; HF_ENDPOINT, or else huggingface.co, where it isn't given."""
    replace: tyro.conf.FlagCreatePairsOff[bool] = False
    """Make of a branch that holds something else this data set, and delete what else it holds."""
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
    """Say what would be sent, and change nothing at the hub."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


@dataclass(frozen=True)
class Gallery:
    """Show faces: of a finished data set a page to look through; anywhere else sheets to judge faces by eye."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """A finished data set, which gets the page report/gallery.html; or the folder of the sheets (people, the same
    at PSPI 16, action units, the ladder of PSPI, profiles, hair, care, cloth, cameras, a close-up): new, empty, or
    one of older sheets, which are replaced."""
    people: Annotated[int, Within(0, 10_000)] = 0
    """Of a data set: how many of its people the page shows; 0 is 24, or fewer where that is over 1,000 pictures."""
    seed: Seed = DEFAULT_SEED
    """Of sheets: whose people, those of a data set of that seed."""
    size: Annotated[int, Within(16, 2048)] = DEFAULT_SIZE
    """Of sheets: pixels a side that a face is rendered at, before the sheet scales it."""


def _synth(command: Synth, started: float) -> int:
    from pain3d.pipeline.folder import MANIFEST
    from pain3d.pipeline.run import preview, synthesise
    from pain3d.pipeline.shard_files import file_hash

    checked(command.synthesis)
    if command.dry_run:
        _show_preview(command, preview(command.synthesis, command.out, repair=command.repair))
        return 0
    receipt = synthesise(command.synthesis, command.out, quiet=command.json, started=started, repair=command.repair)
    if receipt.rank:  # rank 0 speaks for all
        return 0
    manifest = file_hash(receipt.out / MANIFEST)
    if command.json:
        print(
            json.dumps(
                {
                    "out": str(receipt.out),
                    "images": receipt.images,
                    "new_images": receipt.new,
                    **({"finished_already": True} if receipt.finished else {}),
                    **({} if receipt.behind is None else {"painted_backgrounds": receipt.behind}),
                    **({} if receipt.refined is None else {"refined_images": receipt.refined}),
                    "seconds": round(receipt.seconds, 3),
                    "images_per_second": round(receipt.images_per_second, 2),
                    "stages": {name: round(seconds, 3) for name, seconds in receipt.stages.items()},
                    "busy": {name: round(share, 3) for name, share in receipt.busy.items()},
                    "bound": receipt.bound,
                    "manifest_sha256": manifest,
                }
            )
        )
        return 0
    if receipt.finished:
        print(f"finished already, {receipt.images} images")
    else:
        print(f"{receipt.new} images in {receipt.seconds:.1f} s, {receipt.images_per_second:.0f} images/s")
    if receipt.behind is not None:
        print(
            f"backgrounds    {receipt.behind} of {receipt.images} images painted, {receipt.behind / receipt.images:.0%}"
        )
    if receipt.refined is not None:
        print(f"refined        {receipt.refined} of {receipt.images} images, {receipt.refined / receipt.images:.0%}")
    if receipt.bound:
        print(f"bound by       {receipt.bound}, busy for {receipt.busy[receipt.bound]:.0%} of the time")
    if command.synthesis.pictures:
        print(f"contact sheet  {receipt.out / 'contact_sheet.png'}")
    print(f"report         {receipt.out / 'report' / 'index.html'}")
    print(f"data           {receipt.out / 'data'}")
    print(f"manifest       {manifest}, for pain3d verify --expect")
    return 0


def _show_preview(command: Synth, plan: object) -> None:
    from pain3d.pipeline.estimation import estimate
    from pain3d.pipeline.plan import Plan

    if plan is None:
        said = {"out": str(command.out), "dry_run": True, "finished_already": True}
        print(json.dumps(said) if command.json else "finished already, nothing would be made")
        return
    assert isinstance(plan, Plan)
    expected = estimate(plan)
    if command.json:
        print(json.dumps({"out": str(command.out), "dry_run": True, **expected}))
        return
    print(f"{plan.images} images of {plan.config.identities} identities in {len(plan.shards)} shards")
    for split, identities in expected["identities"].items():
        print(f"{split:<10} {identities} identities")
    print(f"disk       about {expected['bytes'] / 1e6:,.0f} MB")
    print(f"time       about {expected['seconds']:,.0f} s here, if a core makes {expected['rate']:.0f} images/s")


def _verify(command: Verify, started: float) -> int:
    from pain3d.pipeline.verification import verify

    checked(command)
    found = verify(command.out, command.expect, command.sample)
    if command.json:
        said = {"rows": found.rows, "findings": found.findings, "notes": found.notes, "manifest_sha256": found.manifest}
        print(json.dumps({"out": str(command.out), **said, "ok": not found.findings}))
    else:
        for note in found.notes:
            print(f"note: {note}")
        if not found.findings:
            print(f"manifest: SHA-256 {found.manifest}")
        print("\n".join(found.findings) or f"{command.out}: {found.rows} rows, nothing wrong")
    return WRONG if found.findings else 0


def _replay(command: Replay, started: float) -> int:
    from pain3d.pipeline.replaying import replay

    found = replay(command.out, command.sample, command.to)
    for part in found.compared:
        print(f"{part.subset:<12} {part.what:<16} {part.words}")
    if command.to is not None:
        print(f"{len(found.files)} pictures in {command.to}")
    if found.differing:
        why = f" ({'; '.join(found.reasons)})" if found.reasons else ""
        print(f"{found.name}: {', '.join(found.differing)} not as stored{why}")
        return WRONG
    print(f"{found.name}: as stored")
    return 0


def _push(command: Push, started: float) -> int:
    from pain3d.pipeline.pushing import push

    done = push(
        command.out,
        command.repo,
        private=command.private,
        revision=command.revision,
        endpoint=command.endpoint,
        replace=command.replace,
        dry_run=command.dry_run,
        quiet=command.json,
    )
    if command.json:
        said = {"out": str(command.out), "repo": command.repo, "revision": command.revision}
        print(json.dumps({**said, **({"dry_run": True} if command.dry_run else {}), **done._asdict()}))
        return 0
    were = "would be" if command.dry_run else "were"
    if done.new_files:
        print(f"{done.new_files} of {done.files} files {were} added, {done.new_bytes / 1e6:,.1f} MB")
    else:
        print(f"all {done.files} files are there already")
    if done.deleted_files:
        print(
            f"deleted        {done.deleted_files} files of something else"
            + (", or would be" if command.dry_run else "")
        )
    print(f"repository     {done.url}")
    print(f"manifest       {done.manifest_sha256}, for pain3d verify --expect")
    print(f"licence        {done.licence}, as its card says")
    return 0


def _gallery(command: Gallery, started: float) -> int:
    from pain3d.pipeline.folder import MANIFEST

    checked(command)
    if (command.out / MANIFEST).is_file():
        from pain3d.pipeline.data_set import open_data_set
        from pain3d.pipeline.gallery_page import write_gallery_page

        if (command.seed, command.size) != (DEFAULT_SEED, DEFAULT_SIZE):
            raise RefusedError(f"{command.out} is a data set: --seed and --size are of sheets, which it doesn't get")
        page = write_gallery_page(open_data_set(command.out), command.people)
        whom = f"{page.people} of {page.of_people} people, {page.pictures} pictures, {page.bytes / 1e6:.1f} MB"
        print(f"{page.path}  {whom}")
        return 0
    if command.people:
        raise RefusedError(f"{command.out} is no finished data set: --people is of its page")
    from pain3d.pipeline.gallery import draw_gallery

    for path in draw_gallery(command.out, command.seed, command.size):
        print(path)
    return 0


COMMANDS: Final = {
    "synth": Entry(Synth, _synth, "published shards are kept, the same command goes on from there"),
    "verify": Entry(Verify, _verify),
    "replay": Entry(Replay, _replay),
    "gallery": Entry(Gallery, _gallery),
    "push": Entry(Push, _push, "what was uploaded stays at the hub, the same command goes on from there"),
    "texture": Entry(Texture, paint_textures, "what was painted is kept, the same command goes on from there"),
    "assets": Entry(Assets, show_assets, "what was imported is kept"),
    "teach": Entry(Teach, teach_textures, "what was learned is kept, the same command goes on from there"),
}
