"""Knows what Blender's own importer makes of a GLB; run where `bpy` is, with the file and perhaps a picture to draw."""

import json
import math
import sys

import bpy


def main(path: str, picture: str = "") -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=path)
    (face,) = (one for one in bpy.data.objects if one.type == "MESH" and one.data.shape_keys)
    (rig,) = (one for one in bpy.data.objects if one.type == "ARMATURE")
    rest, *shapes = face.data.shape_keys.key_blocks
    reach = {
        shape.name: max((moved.co - still.co).length for moved, still in zip(shape.data, rest.data, strict=True))
        for shape in shapes
    }
    print(
        json.dumps(
            {
                "reach": reach,
                "shown": {shape.name: shape.value for shape in shapes},
                "bones": sorted(bone.name for bone in rig.data.bones),
                "images": [list(image.size) for image in bpy.data.images if image.size[0]],
                "uvs": len(face.data.uv_layers),
            }
        )
    )
    if picture:
        draw(picture)


def draw(picture: str) -> None:
    """What a user sees who drops the file into Blender, from in front, under one sun."""
    scene = bpy.context.scene
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location, camera.rotation_euler, camera.data.lens = (0, -0.9, 0), (math.pi / 2, 0, 0), 85
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.rotation_euler = 3, (1.0, 0.2, 0.4)
    world = bpy.data.worlds.new("world")
    world.color = (0.4, 0.4, 0.4)
    for one in (camera, sun):
        scene.collection.objects.link(one)
    scene.camera, scene.world = camera, world
    scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", 24
    scene.render.resolution_x = scene.render.resolution_y = 512
    scene.view_settings.view_transform = "Standard"
    scene.render.filepath = picture
    bpy.ops.render.render(write_still=True)


main(*sys.argv[1:])
