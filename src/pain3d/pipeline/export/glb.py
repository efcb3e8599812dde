"""Knows how the people of a data set are written as GLB: a head each, its action units as morph targets, its skin.

A folder per split holds ``id000003.glb``, as `Head.save` writes it, and ``identities.jsonl``: a line for each, with the
columns of ``identities`` that are no picture and no vertices.
"""

from __future__ import annotations

from contextlib import ExitStack
from io import BufferedWriter
from pathlib import Path
from typing import Final

from pain3d.console.refused import RefusedError, quoted
from pain3d.files import make_inside, open_new, write_new
from pain3d.head import Head
from pain3d.mesh_files import rig_of
from pain3d.mesh_files.corners import corners_of, picture_of, surface_of
from pain3d.mesh_files.gltf import glb_bytes
from pain3d.pipeline.data_set import scene_of
from pain3d.pipeline.export.walk import Written, labels_line, walking
from pain3d.pipeline.texture.bank import TextureBank
from pain3d.provenance import pain3d_version
from pain3d.records import SPLITS
from pain3d.rendering import scene_inputs
from pain3d.rendering.frames import TEXTURE_SIZE
from pain3d.scene import Scene
from pain3d.skin import paint, surface_maps

IN_THE_MESH: Final = "neutral_vertices"  # a column that the GLB holds
LABELS: Final = "identities.jsonl"

TEXT: Final = f"""- `train/`, `validation/`, `test/`: a head of each identity, neutral, in metres. Weight 1 of a morph
  target (`AU04_L`, `AU04_R`, ...) is that action unit alone at intensity 5; the weights of other intensities stand in
  the mesh's `extras.facsCurve`.
- `{LABELS}` in each: what the data set says of the person.

No identity lies in two splits. Hair that is grown, glasses and what else is worn are not in the files.
"""


def export_glb(data: Path, to: Path, quiet: bool = False) -> Written:
    """Write the people of a finished data set as GLB files that can be moved: all of them, or nothing.

    Args:
        data: Folder of the data set.
        to: The new folder; absent or empty.
        quiet: Show no progress.

    Returns:
        How much was written.

    Raises:
        RefusedError: There is no finished data set, the destination holds something, a file of the data set can't be
            read, or a scene is one of another version.
    """
    head = Head.default()
    with walking(data, to, quiet, "identities") as walk, ExitStack() as files:
        lines: dict[str, BufferedWriter] = {}
        textures = walk.source.textures
        labels = tuple(name for name in walk.names() if name != IN_THE_MESH)
        for row in walk.each(labels):
            row["sample_id"], split = f"id{row['identity_id']:06d}", row["split"]
            if split not in SPLITS:
                raise RefusedError(f"{row['sample_id']}: split is {quoted(split)}, there are {', '.join(SPLITS)}")
            if split not in lines:
                make_inside(walk.folder, split)
                lines[split] = files.enter_context(open_new(walk.folder / split / LABELS))
            scene = scene_of(row)
            if scene.texture and scene.texture not in textures:
                raise RefusedError(f"{row['sample_id']}: the data set has no texture {quoted(scene.texture)}")
            write_new(walk.folder / split / f"{row['sample_id']}.glb", head_glb(head, scene, textures))
            told = {"file_name": f"{row['sample_id']}.glb"} | {name: row[name] for name in labels}
            lines[split].write(labels_line(told) + b"\n")
        files.close()
        return walk.finish(to, "GLB", TEXT)


def head_glb(head: Head, scene: Scene, textures: TextureBank) -> bytes:
    """The GLB of who a scene shows, neutral, as clothed and as painted."""
    rig = rig_of(head, scene.identity, surface=scene_inputs.surface_of(head, scene))
    albedo = textures[scene.texture] if scene.texture else None
    texture = paint(surface_maps(head, TEXTURE_SIZE), scene_inputs.painted_skin(scene), albedo)
    places, normals = surface_of(rig.neutral, 0)
    return glb_bytes(
        places,
        normals,
        corners_of(rig.neutral.topology),
        generator=f"pain3d {pain3d_version()}",
        copyright_line=head.source.credit,
        picture=picture_of(texture),
        rig=rig,
    )
