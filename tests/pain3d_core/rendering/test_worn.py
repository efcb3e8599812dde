"""What is worn and the bed lie over and under pictures, leave labels as they are, and depend on nobody beside."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from pain3d import Head, Scene, demographic_grid, render_scenes, sample_scenes
from pain3d.kernels.layering import join_layers
from pain3d.rendering.frames import Clock, RenderedPeople, render_people, render_setup
from pain3d.rendering.people import paint_persons
from pain3d.rendering.scene_inputs import inputs_of
from pain3d.worn import BED, CANNULA, GLASSES, GOWN, MASK, THINGS, sample_worn

SIZE = 96
LABELS = ("heatmap", "landmarks", "depth", "parts", "frontal_heatmap")


def scenes_of(number: int, worn: Sequence[tuple[str, ...]]) -> list[Scene]:
    """Two expressions of a person in one view, worn as told."""
    cell = demographic_grid(2, 4)[number]
    scenes = sample_scenes(seed=4, identity_id=number, cell=cell, expressions=1, views=1, size=SIZE, environments=0)
    return [replace(scene, worn=own) for scene, own in zip(scenes, worn, strict=True)]


def rendered(people: Sequence[Sequence[Scene]]) -> RenderedPeople:
    head = Head.default()
    inputs = [inputs_of(scenes, head) for scenes in people]
    return render_people(inputs, render_setup(head), Clock(), dense=("depth", "parts"))


def test_labels_are_those_of_the_face_below_and_nobody_changes_who_is_beside() -> None:
    # One lies in one picture of two, and wears all; the other wears nothing that is a layer.
    worn = [(CANNULA, MASK, GLASSES), (BED, CANNULA, MASK, GLASSES)]
    people = [scenes_of(0, worn), scenes_of(1, [(), ()])]
    apart = [rendered([scenes]) for scenes in people]
    bare = rendered([scenes_of(0, [(), ()])])
    for name in LABELS:
        assert torch.equal(getattr(apart[0], name), getattr(bare, name)), name
    changed = (apart[0].image != bare.image).any(-1).float().mean((1, 2))
    assert 0.02 < changed[0] < 0.5 < changed[1]  # seen 0.1 with things on the face, 0.8 with a bed behind
    together = rendered(people)
    for name in ("image", "alpha", *LABELS):
        assert torch.equal(getattr(together, name), torch.cat([getattr(one, name) for one in apart])), name


def test_things_follow_expression_and_pose() -> None:
    """Where the head goes, the mask goes: what it changes of a picture lies around the mouth, in both."""
    plain = scenes_of(0, [(), ()])
    turned = [
        replace(scene, pose=replace(scene.pose, neck_yaw=yaw)) for scene, yaw in zip(plain, (-10, 10), strict=True)
    ]
    masked = render_scenes([replace(scene, worn=(MASK,)) for scene in turned])
    bare = render_scenes(turned)
    for picture, other, landmarks in zip(masked.image, bare.image, masked.landmarks_2d, strict=True):
        rows, columns = np.nonzero((picture != other).any(-1))
        mouth = landmarks[48:68].mean(0)
        face = np.ptp(landmarks[:17, 0])
        assert abs(np.median(columns) - mouth[0]) < 0.12 * face  # seen 0.03
        assert abs(np.median(rows) - mouth[1]) < 0.3 * face


def test_who_wears_what_is_drawn_by_share_and_key() -> None:
    assert sample_worn(0, 3, 0, 0) == ()
    drawn = [sample_worn(5, number, 1.0, 0.3) for number in range(2000)]
    for name, share in ((GOWN, 0.8), (CANNULA, 0.4), (MASK, 0.25), (GLASSES, 0.3)):
        # Five standard deviations of a binomial share are 0.056 at most.
        assert sum(name in worn for worn in drawn) / 2000 == pytest.approx(share, abs=0.056)
    assert not any(MASK in worn and CANNULA in worn for worn in drawn)
    assert all(
        sample_worn(5, number, 0.0, 0.3) == tuple(w for w in worn if w == GLASSES) for number, worn in enumerate(drawn)
    )


def test_a_scene_says_what_is_worn() -> None:
    scene = scenes_of(0, [(BED, GOWN), ()])[0]
    assert Scene.from_json(scene.to_json()) == scene
    assert '"worn"' not in replace(scene, worn=()).to_json()
    for wrong in (("crown",), (GOWN, BED), (GOWN, GOWN), "gown"):
        with pytest.raises(ValueError, match="worn must be"):
            replace(scene, worn=wrong)
    with pytest.raises(ValueError, match="but for the bed"):
        render_scenes(scenes_of(0, [(GOWN,), ()]))
    with pytest.raises(ValueError, match="must wear nothing, got bed, gown"):
        paint_persons(Head.default(), [scene], frame=SIZE)
    cell = demographic_grid(1, 0)[0]
    beds = sample_scenes(
        seed=0, identity_id=0, cell=cell, expressions=1, views=2, bedside=1.0, clinical=1.0, glasses=1.0
    )
    assert {scene.worn for scene in beds} == {tuple(name for name in THINGS if name in (BED, *sample_worn(0, 0, 1, 1)))}


def test_layers_that_do_not_fit_are_not_joined() -> None:
    head = Head.default()
    inputs = inputs_of(scenes_of(0, [(GLASSES,), (GLASSES,)]), head)
    assert inputs.worn is not None
    from pain3d.hair import on_device
    from pain3d.worn.dressing import worn_layers

    worn = on_device(inputs.worn, "cpu")
    one = worn_layers([worn], head, head.template[None], [0])
    two = worn_layers([worn, None], head, head.template[None].expand(2, -1, -1), [0, 1])
    assert two.spans.tolist() == [one.spans[0].tolist(), [0, 0, 0, 0]]
    with pytest.raises(ValueError, match="as many spans"):
        join_layers([one, two])
    both = join_layers([two, two])
    assert both.spans[1].tolist() == [len(both.vertices), 0, len(both.faces), 0]
    assert len(both.vertices) == 2 * len(one.vertices) and int(both.faces.max()) == len(both.vertices) - 1
