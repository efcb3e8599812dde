"""Batches without files: functions of the step, rings of people, and the law of a data set."""

import json
import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pain3d.console.refused import RefusedError
from pain3d.device import map_tensors
from pain3d.face.square import cut
from pain3d.head import Head
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.run import synthesise
from pain3d.rendering.scene_inputs import painted_skin
from pain3d.scene import GROWN, PAINTED, demographic_grid, sample_scenes
from pain3d.skin.painting import surface_maps
from pain3d.skin.sketch import draw_sketch
from pain3d.training.config import TrainConfig
from pain3d.training.data import open_data
from pain3d.training.data.backstage import Backstage
from pain3d.training.data.online import OnlineBatches, as_drawn, cut_on_device, online_batches
from pain3d.training.data.parquet import subject_name
from pain3d.training.data.population import (
    Draw,
    Population,
    drawn_scenes,
    population_of_rows,
    read_population,
    sample_population,
)
from pain3d.training.data.ring import Ring, Turnover
from pain3d.training.prediction import split_rows
from tests.training.made_samples import same_batch

SIDE, SEED = 48, 3


@pytest.fixture(scope="module")
def population() -> Population:
    """Three people with hair that is grown, small pictures with shadows, half of them at rest."""
    return sample_population(3, 7, size=96, hair=GROWN, neutral_share=0.5, shadows=True)


def batches(population: Population, **changed: object) -> OnlineBatches:
    settings: dict[str, object] = {
        "size": 4, "group": 2, "neutral": True, "side": SIDE, "seed": SEED, "pool": 2, "renew": 1,
        "heatmaps": True,
    }  # fmt: skip
    return OnlineBatches(population, **(settings | changed))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def online(population: Population) -> Iterator[OnlineBatches]:
    made = batches(population)
    yield made
    made.close()


def test_a_batch_is_a_function_of_the_step_alone(population: Population, online: OnlineBatches) -> None:
    """Another order, one thread, and a painter that works ahead: the same bytes."""
    seen = {step: online(step) for step in (0, 1, 3)}
    assert not torch.equal(seen[0].image, seen[1].image)
    threads = torch.get_num_threads()
    again = batches(population, painters=1)
    try:
        torch.set_num_threads(1)
        assert all(same_batch(again(step), seen[step]) for step in (3, 0, 1))
    finally:
        torch.set_num_threads(threads)
        again.close()


def test_hair_is_that_of_the_population(
    population: Population, online: OnlineBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On pictures to learn from and neutral ones; labels and heat maps are those of the face below."""
    grown = online(0)
    bald = batches(population)
    monkeypatch.setattr(bald._people, "layers", lambda *_: None)
    bare = bald(0)
    for one, other in ((grown.image, bare.image), (grown.neutral, bare.neutral)):
        assert one is not None and other is not None
        assert (one != other).flatten(1).any(1).all()
    assert same_batch(replace(grown, image=bare.image, neutral=bare.neutral), bare)
    people = tuple(replace(person, hair=PAINTED) for person in population.people)
    painted = batches(replace(population, people=people))
    assert not torch.equal(painted(0).image, grown.image) and not any(painted._people._hair)


def test_processes_render_what_one_renders(population: Population, online: OnlineBatches) -> None:
    """Each its groups, with hair and shadows: the same pixels, side by side."""
    halves = [batches(population, rank=rank, ranks=2) for rank in (0, 1)]
    for step in (0, 3):
        whole, parts = online(step), [half(step) for half in halves]
        assert torch.equal(torch.cat([part.image for part in parts]), whole.image)
        neutral = [part.neutral for part in parts if part.neutral is not None]
        assert whole.neutral is not None and torch.equal(torch.cat(neutral), whole.neutral)


def test_a_gpu_paints_the_hair_of_all_and_says_so(population: Population, capsys: pytest.CaptureFixture[str]) -> None:
    cuda = torch.device("cuda")
    assert as_drawn(population, torch.device("cpu")) is population and not capsys.readouterr().err
    drawn = as_drawn(population, cuda)
    said = capsys.readouterr().err
    assert "hair is painted, not grown" in said and said.count("\n") == 1
    assert as_drawn(population, cuda, quiet=True) == drawn and as_drawn(drawn, cuda) is drawn
    assert not capsys.readouterr().err
    for one, other in zip(drawn.people, population.people, strict=True):
        assert one.hair == PAINTED and replace(one, hair=GROWN) == other


def test_another_seed_is_another_batch(population: Population, online: OnlineBatches) -> None:
    assert batches(population, seed=SEED + 1).plan(0).scenes != online.plan(0).scenes


def test_labels_are_those_of_the_scenes(online: OnlineBatches) -> None:
    batch, plan = online(0), online.plan(0)
    assert batch.image.shape == (4, SIDE, SIDE, 3) and batch.image.dtype == torch.uint8
    assert batch.neutral is not None and batch.neutral.shape == (2, SIDE, SIDE, 3)
    labels = batch.labels
    for row, scene in enumerate(plan.scenes[:4]):
        columns = scene.au.as_row()
        assert labels.pspi[row] == scene.au.pspi()
        assert labels.au[row].tolist() == [columns[name] for name in ("AU04", "AU06", "AU07", "AU09", "AU10", "AU43")]
        assert labels.sides[row, 0].tolist() == [columns["AU04_L"], columns["AU04_R"]]
    assert torch.equal(labels.pain, (labels.pspi >= 1).float())
    assert set(labels.row.tolist()) == {-1}


def test_a_group_is_one_person_and_shares_a_face_at_rest(population: Population) -> None:
    made = batches(population, num_references=2, group=2)
    plan = made.plan(4)
    who = [scene.identity_id for scene in plan.scenes]
    assert who[0] == who[1] and who[2] == who[3]
    neutral_of = made(4).neutral_of
    assert neutral_of is not None
    assert [[who[4 + row] for row in rows] for rows in neutral_of.tolist()] == [[w, w] for w in who[:4]]
    assert all(scene.au.pspi() == 0 and not scene.au.nonzero() for scene in plan.scenes[4:])
    assert len({scene.expression_id for scene in plan.scenes}) == 8  # no draw twice


def test_a_process_prepares_what_is_made_here(population: Population) -> None:
    planner = batches(population).plan
    maps = surface_maps(Head.default(), 256)
    backstage = Backstage(planner, maps.board(), 1)
    try:
        for step in (3, 4, 0):
            made: list[list[torch.Tensor]] = [[], []]
            for numbers, tensors in zip((backstage.numbers(step), planner.numbers(step)), made, strict=True):
                map_tensors(numbers, tensors.append)
            assert all(torch.equal(one, other) for one, other in zip(*made, strict=True))
        assert torch.equal(backstage.backgrounds([5])[0], planner.background(5))
        for arrival, sketch in enumerate(backstage.sketches(range(3))):
            here = draw_sketch(maps, painted_skin(planner.person(arrival)))
            assert np.array_equal(sketch.marks, here.marks) and np.array_equal(sketch.hairline, here.hairline)
        for process in multiprocessing.active_children():
            process.kill()
        for _ in range(2):  # whoever waits and whoever asks afterwards
            with pytest.raises(RefusedError, match="a process that prepares steps was killed"):
                backstage.backgrounds([6])
    finally:
        backstage.close()


def test_processes_share_a_step(population: Population) -> None:
    """Each of two plans its groups alone; together they are what one plans."""
    whole = batches(population, size=8, num_references=2).plan
    halves = [batches(population, size=8, num_references=2, rank=rank, ranks=2).plan for rank in (0, 1)]
    for step in (0, 5):
        every, parts = whole(step), [half(step) for half in halves]
        for name in ("scenes", "places", "backgrounds"):
            shown, known = ([getattr(part, name)[rows] for part in parts] for rows in (slice(4), slice(4, None)))
            assert [one for part in shown + known for one in part] == getattr(every, name)
    with pytest.raises(RefusedError, match="2 groups can't be shared evenly by 3"):
        batches(population, rank=0, ranks=3)


def test_heat_maps_tell_who_moves(population: Population) -> None:
    made = batches(population, size=16)
    batch = made(0)
    assert batch.heatmap is not None
    hottest = batch.heatmap.flatten(1).amax(1)
    at_rest = torch.tensor([not scene.au.nonzero() for scene in made.plan(0).scenes[:16]])
    assert 0 < at_rest.sum() < 16
    assert (hottest[at_rest] == 0).all()
    assert (hottest[batch.labels.pspi >= 4] > 10).all()  # 1 mm: least seen 22 levels, at PSPI 4


def test_everybody_comes_once_before_anybody_comes_again() -> None:
    population = sample_population(7, 1, size=96)
    made = batches(population, pool=3)
    arrivals = [made.plan.person(number).identity_id for number in range(14)]
    assert sorted(arrivals[:7]) == sorted(arrivals[7:]) == list(range(7))
    assert arrivals[:7] != arrivals[7:]


@pytest.mark.parametrize("shadows", [False, True])
def test_a_draw_is_that_of_free_cameras(shadows: bool) -> None:
    """The law is written twice, for pictures on disk and without: the same numbers give the same scene."""
    cell = demographic_grid(3, 7)[2]
    scenes = sample_scenes(
        seed=7, identity_id=2, cell=cell, expressions=3, views=1, size=96, cameras="free", law="independent",
        asymmetry=0.5, quality=80, environments=0, shadows=shadows, hair=GROWN,
    )  # fmt: skip
    law = {"law": "independent", "asymmetry": 0.5, "quality": 80, "shadows": shadows}
    population = sample_population(3, 7, size=96, hair=GROWN, **law)
    draws = [Draw(population.people[2], number, number == 0) for number in range(len(scenes))]
    for scene, drawn in zip(scenes, drawn_scenes(population, 7, draws), strict=True):
        behind = {"background": scene.background, "background_blur": scene.background_blur}
        assert replace(drawn, **behind) == scene  # type: ignore[arg-type]


def test_the_population_is_that_of_the_split(faces: Path) -> None:
    manifest = json.loads((faces / "manifest.json").read_bytes())
    population = read_population(faces)
    assert len(population.people) == manifest["counts"]["identities"]["train"] == 4
    assert (population.size, population.law, population.neutral_share) == (96, "uniform", 0.25)
    assert population.shadows and {person.hair for person in population.people} == {GROWN}
    everybody = read_population(faces, split=None)
    assert [scene.identity_id for scene in everybody.people] == list(range(6))
    known = sample_population(6, 5, size=96).people
    pairs = zip(everybody.people, known, strict=True)
    assert all((one.identity, one.skin) == (other.identity, other.skin) for one, other in pairs)


def test_shadows_are_those_of_the_data_set(faces: Path, tmp_path: Path) -> None:
    """Cast or not, as it says; one from before there were any has none."""
    copied = tmp_path / "faces"
    shutil.copytree(faces, copied)
    path = copied / "manifest.json"
    manifest = json.loads(path.read_bytes())
    for said, cast in (({"shadows": True}, True), ({"shadows": False}, False), ({}, False)):
        resolved = {name: value for name, value in manifest["resolved"].items() if name != "shadows"} | said
        path.write_text(json.dumps({**manifest, "resolved": resolved}))
        population = read_population(copied)
        drawn = drawn_scenes(population, 0, [Draw(population.people[0], number, False) for number in range(4)])
        assert population.shadows == cast and all((scene.light.size > 0) == cast for scene in drawn)


def test_the_population_is_that_of_the_rows(faces: Path) -> None:
    samples = open_data(faces)
    rows = split_rows(samples, "validation")
    chosen = population_of_rows(samples, rows)
    names = {samples.subjects[subject] for subject in samples.subject[rows].tolist()}
    assert {subject_name(scene.seed, scene.identity_id) for scene in chosen.people} == names
    made = online_batches(samples, rows, TrainConfig(batch=8), heatmaps=False, device=torch.device("cpu"))
    assert {scene.identity_id for scene in made.plan(0).scenes} <= {scene.identity_id for scene in chosen.people}
    with pytest.raises(RefusedError, match="only people of a data set of pain3d"):
        population_of_rows(replace(samples, pixels=NoPixels()), rows)


class NoPixels:
    """Pictures of some other data set."""

    def picture(self, row: int) -> npt.NDArray[np.uint8]:
        raise NotImplementedError

    def heatmap(self, row: int) -> npt.NDArray[np.uint8] | None:
        raise NotImplementedError


def test_a_population_that_cannot_be_read_is_named(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="is no data set of pain3d"):
        read_population(tmp_path)
    with pytest.raises(RefusedError, match=r"nobody is in its split dress rehearsal"):
        read_population(faces, "dress rehearsal")
    broken = tmp_path / "broken"
    shutil.copytree(faces, broken)
    file = next((broken / "data/identities").glob("train-*.parquet"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(RefusedError, match=file.name) as refused:
        read_population(broken)
    assert "\n" not in str(refused.value)
    path = broken / "manifest.json"
    manifest = json.loads(path.read_bytes())
    wrong = {"size": 10**9, "law": ["uniform"], "quality": "x", "expressions": -1, "shadows": 1}
    for name, value in (*wrong.items(), ("size", None)):
        path.write_text(json.dumps({**manifest, "resolved": {**manifest["resolved"], name: value}}))
        with pytest.raises(RefusedError, match=rf"manifest\.json: {name} can't be "):
            read_population(broken)


def test_who_wears_things_is_refused_and_a_bed_is_left(tmp_path: Path) -> None:
    small = SynthConfig(identities=2, expressions=1, views=1, size=32, seed=5)
    synthesise(replace(small, glasses_share=1.0), tmp_path / "glasses", quiet=True)
    with pytest.raises(RefusedError, match="glasses: its people wear glasses, which --online does not"):
        read_population(tmp_path / "glasses", None)
    synthesise(replace(small, bedside_share=1.0), tmp_path / "bed", quiet=True)
    assert all(person.worn == () for person in read_population(tmp_path / "bed", None).people)


def test_what_else_cameras_do_is_left_out(tmp_path: Path) -> None:
    shares = {"shake_share": 1.0, "defocus_share": 1.0, "infrared_share": 1.0, "distortion_share": 1.0}
    config = SynthConfig(identities=2, expressions=1, views=1, size=32, seed=5, **shares)
    synthesise(config, tmp_path / "night", quiet=True)
    population = read_population(tmp_path / "night", None)
    assert all(len(person.effects) == 3 and person.camera.distortion for person in population.people)
    drawn = drawn_scenes(population, 3, [Draw(person, 1, neutral=False) for person in population.people])
    assert all(scene.effects == () and scene.camera.distortion == 0 for scene in drawn)


def test_what_cannot_be_dealt_is_refused(population: Population) -> None:
    with pytest.raises(RefusedError, match="groups of 2"):
        batches(population, size=5)
    with pytest.raises(RefusedError, match="nobody"):
        batches(replace(population, people=()))


@given(st.integers(1, 9), st.integers(0, 4), st.integers(1, 5), st.integers(0, 60))
def test_the_newest_are_in_the_ring(places: int, new: int, every: int, step: int) -> None:
    turnover = Turnover(places, new, every)
    there = [turnover.arrival(place, step) for place in range(places)]
    last = max(there)
    assert sorted(there) == list(range(last - places + 1, last + 1))
    assert all(arrival % places == place for place, arrival in enumerate(there))
    assert last == places - 1 + step * new // every


@given(st.lists(st.tuples(st.lists(st.integers(0, 3)), st.integers(0, 12)), max_size=8), st.integers(0, 2))
def test_a_ring_holds_who_should_be_there(asked: list[tuple[list[int], int]], ahead: int) -> None:
    held: dict[int, int] = {}
    turnover = Turnover(4, 3, 2)
    ring: Ring[int] = Ring(turnover, list, held.__setitem__, ahead=ahead, together=3)
    for places, step in asked:
        ring.fill(places, step)
        assert all(held[place] == turnover.arrival(place, step) for place in places)
        ring.expect(step, 2)
        assert len(ring._coming) == len(ring._made_with) <= 6 * ahead
    ring.close()


@pytest.mark.parametrize("together", [1, 2])
def test_nobody_is_painted_twice(together: int) -> None:
    painted: list[int] = []
    held: dict[int, int] = {}

    def make(arrivals: Sequence[int]) -> Sequence[int]:
        painted.extend(arrivals)
        return arrivals

    ring = Ring(Turnover(3, 1, 2), make, held.__setitem__, together=together)
    for step in range(9):
        ring.fill(range(3), step)
    assert painted == list(range(7))


@pytest.mark.parametrize("square", [60.0, 30.0])
def test_a_device_cuts_as_the_file_reader_does(square: float) -> None:
    image = torch.randint(256, (2, 96, 96, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    squares = torch.tensor([[50.3, 44.8, square], [20.0, 90.1, square]])  # the second reaches beyond the picture
    made = cut_on_device(image, squares, SIDE, widest=square).int()
    for row in range(2):
        expected = torch.from_numpy(cut(image[row].numpy(), *squares[row].tolist(), SIDE)).int()
        assert (made[row] - expected).abs().max() <= 8  # pure noise; OpenCV has weights of 5 bits. Faces: 1 level


def test_a_device_averages_before_it_makes_small() -> None:
    """Lines finer than the crop's pixels become grey, not stripes."""
    image = torch.zeros(1, 128, 128, 3, dtype=torch.uint8)
    image[:, :, ::2] = 200
    crop = cut_on_device(image, torch.tensor([[64.0, 64.0, 120.0]]), 30, widest=120.0).float()
    assert crop.std() < 15
