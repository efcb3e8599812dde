"""Knows how the head is drawn with OpenGL through moderngl, as fast as a software rasteriser lets it be.

One persistent context, framebuffer, program and vertex array; per picture one write of vertices, one of uniforms, one
draw, one read. The picture is drawn upside down, so that the first row read is the top one. The shading is that of
`kernels/shading` (its README has the formulas), term by term, with the sums over harmonics folded into constants.

What was tried and dropped stands in this folder's README.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.peers._meshes import corners_of
from benchmarks.peers._pool import Draw, Pictures
from pain3d.kernels import encode_srgb, vertex_normals
from pain3d.kernels.rendering.colour import KNEE
from pain3d.kernels.shading.reference import (
    A0,
    A1,
    A2,
    HORIZON,
    MIN_COSINE,
    MIN_ROUGHNESS,
    SKIN_F0,
    WRAP,
    Y00,
    Y1,
    Y2,
    Y20,
    Y22,
)

NEAR, FAR = 0.1, 10.0  # metres: the workload's cameras stand at 0.6 to 1.2
RGB10_A2 = 0x8059  # 10 bits a channel of linear colour: 0.1 levels of sRGB coarser than floats, and faster to fetch
HARMONICS = np.array([Y00, Y1, Y1, Y1, Y2, Y2, Y20, Y2, Y22])
TO_IRRADIANCE = np.array([A0] + [A1] * 3 + [A2] * 5)

UNIFORMS = """
layout(std140) uniform Picture {
    mat4 world_to_clip;
    vec4 eye;            // w: exposure
    vec4 key_direction;
    vec4 key_colour;
    vec4 irradiance[9];
    vec4 mirrored[4];
};
"""

VERTEX = f"""#version 330
{UNIFORMS}
in vec3 position; in vec3 normal; in vec2 uv; in float occlusion;
out vec3 v_normal; out vec3 v_view; out vec2 v_uv; out float v_occlusion;
void main() {{
    gl_Position = world_to_clip * vec4(position, 1.0);
    v_normal = normal; v_view = eye.xyz - position; v_uv = uv; v_occlusion = occlusion;
}}
"""

FRAGMENT = f"""#version 330
{UNIFORMS}
const float PI = 3.14159265358979;
uniform sampler2D albedo; uniform sampler2D gloss;
in vec3 v_normal; in vec3 v_view; in vec2 v_uv; in float v_occlusion;
out vec4 colour;
void main() {{
    vec3 a = texture(albedo, v_uv).rgb;
    vec3 glossiness = texture(gloss, v_uv).rgb;  // specular scale, roughness, scatter
    vec3 n = normalize(v_normal), v = normalize(v_view), l = key_direction.xyz;
    vec3 sky = max(irradiance[0].rgb + irradiance[1].rgb * n.y + irradiance[2].rgb * n.z + irradiance[3].rgb * n.x
        + irradiance[4].rgb * (n.x * n.y) + irradiance[5].rgb * (n.y * n.z)
        + irradiance[6].rgb * (3.0 * n.z * n.z - 1.0) + irradiance[7].rgb * (n.x * n.z)
        + irradiance[8].rgb * (n.x * n.x - n.y * n.y), 0.0);
    float cosine = dot(n, l);
    vec3 wrap = vec3({WRAP[0]}, {WRAP[1]}, {WRAP[2]}) * glossiness.z;
    vec3 wrapped = max(cosine + wrap, 0.0) / ((1.0 + wrap) * (1.0 + wrap));
    vec3 diffuse = a * (sky * v_occlusion + key_colour.rgb * wrapped) * (1.0 / PI);

    float r = clamp(glossiness.y, {MIN_ROUGHNESS}, 1.0), alpha = r * r;
    vec3 h = normalize(l + v);
    float facing = dot(n, v);
    float n_l = max(cosine, 0.0), n_v = clamp(facing, {MIN_COSINE}, 1.0);
    float n_h = clamp(dot(n, h), 0.0, 1.0), v_h = clamp(dot(v, h), 0.0, 1.0);
    float spread = n_h * n_h * (alpha * alpha - 1.0) + 1.0;
    float distribution = alpha * alpha / (PI * spread * spread);
    float visibility = 0.5 / (2.0 * n_l * n_v + alpha * (n_l + n_v - 2.0 * n_l * n_v));
    float f = 1.0 - v_h, f2 = f * f;
    float fresnel = {SKIN_F0} + {1 - SKIN_F0} * (f2 * f2 * f);
    vec3 m = 2.0 * facing * n - v;
    vec3 seen = max(mirrored[0].rgb + mirrored[1].rgb * m.y + mirrored[2].rgb * m.z + mirrored[3].rgb * m.x, 0.0);
    float g = 1.0 - n_v, g2 = g * g;
    float grazing = ({SKIN_F0} + (max(1.0 - r, {SKIN_F0}) - {SKIN_F0}) * (g2 * g2 * g)) * (1.0 - r)
        * min(n_v * {1 / HORIZON}, 1.0);
    vec3 glossy = key_colour.rgb * (distribution * visibility * fresnel * n_l) + seen * grazing;

    vec3 x = max(diffuse + v_occlusion * glossiness.x * glossy, 0.0) * eye.w;
    vec3 above = max(x - {KNEE}, 0.0) * {1 / (1 - KNEE)};
    vec3 toned = min(x, {KNEE}) + {1 - KNEE} * above / (1.0 + above);
    vec3 encoded = mix(12.92 * toned, 1.055 * pow(toned, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, toned));
    colour = vec4(encoded, 1.0);
}}
"""

Floats = npt.NDArray[np.float32]


class Renderer:
    """A context and all that lives in it; only the thread that made it may use it."""

    def __init__(self, shared: SimpleNamespace, side: int, samples: int) -> None:
        import moderngl

        self._gl = gl = moderngl.create_context(standalone=True, backend="egl", require=330)
        self._gather, uvs, indices = corners_of(shared)
        fixed = np.concatenate([uvs, shared.occlusion[self._gather, None]], 1)
        self._corners = np.empty((len(uvs), 6), np.float32)
        self._moving = gl.buffer(reserve=self._corners.nbytes, dynamic=True)
        program = gl.program(VERTEX, FRAGMENT)
        program["albedo"], program["gloss"] = 0, 1
        self._mesh = gl.vertex_array(
            program,
            [
                (self._moving, "3f 3f", "position", "normal"),
                (gl.buffer(fixed.astype(np.float32)), "2f 1f", "uv", "occlusion"),
            ],
            gl.buffer(indices),
        )
        self._uniforms = gl.buffer(reserve=4 * (16 + 3 * 4 + 9 * 4 + 4 * 4), dynamic=True)
        self._uniforms.bind_to_uniform_block(0)
        program["Picture"].binding = 0
        self._skins = [self._skin(texture) for texture in shared.textures]
        self._background = (encode_srgb(torch.from_numpy(shared.background)).numpy() / 255).tolist()
        size = (side, side)
        self._read = gl.framebuffer([gl.texture(size, 4)], None if samples else gl.depth_renderbuffer(size))
        self._drawn = self._read
        if samples:
            layers = [gl.texture(size, 4, samples=samples)]
            self._drawn = gl.framebuffer(layers, gl.depth_renderbuffer(size, samples=samples))
        self._drawn.use()
        gl.enable(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        gl.front_face = "cw"  # because the picture is upside down

    def _skin(self, texture: Floats) -> tuple[Any, Any]:
        """Two mipmapped textures of [Ht, Wt, 16]: colour; specular, roughness, scatter. Row 0 of OpenGL is v = 0."""
        import moderngl

        height, width, _ = texture.shape
        upward = texture[::-1].clip(0, 1)
        opaque = np.concatenate([upward[..., :3], np.ones_like(upward[..., :1])], -1)
        gloss = (upward[..., [3, 4, 7]] * 255 + 0.5).astype(np.uint8)
        made = (
            self._gl.texture((width, height), 4, opaque.tobytes(), dtype="f4", internal_format=RGB10_A2),
            self._gl.texture((width, height), 3, gloss.tobytes()),
        )
        for each in made:
            each.build_mipmaps()
            each.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
            each.repeat_x = each.repeat_y = False
        return made

    def load(self, vertices: Floats, normals: Floats) -> None:
        """Take a mesh: [V, 3] each."""
        self._corners[:, :3] = vertices[self._gather]
        self._corners[:, 3:] = normals[self._gather]
        self._moving.write(self._corners)

    def draw(self, uniforms: Floats, skin: int, picture: npt.NDArray[np.uint8]) -> None:
        """Draw the mesh that was loaded last into picture [H, W, 3]."""
        self._uniforms.write(uniforms)
        for slot, texture in enumerate(self._skins[skin]):
            texture.use(slot)
        self._drawn.clear(*self._background, 1.0, depth=1.0)
        self._mesh.render()
        if self._drawn is not self._read:
            self._gl.copy_framebuffer(self._read, self._drawn)  # the mean of the samples
        self._read.read_into(picture, components=3, alignment=1)


def uniforms_of(each: SimpleNamespace) -> Floats:
    """The uniform block of every picture of a set, [N, 80]."""
    clip = each.world_to_clip.astype(np.float64)
    clip[:, 2] = (FAR + NEAR) / (FAR - NEAR) * clip[:, 3]  # from w, which is metres, to depth in [-w, w]
    clip[:, 2, 3] -= 2 * FAR * NEAR / (FAR - NEAR)
    clip[:, 1] *= -1  # upside down

    def padded(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate([rows, np.zeros((*rows.shape[:-1], 1))], -1)

    irradiance = padded(each.sh * (HARMONICS * TO_IRRADIANCE)[:, None])
    mirrored = padded(each.sh[:, :4] * HARMONICS[:4, None])
    eye = np.concatenate([each.camera_position, each.exposure[:, None]], 1)
    parts = (clip.transpose(0, 2, 1), eye, padded(each.key_direction), padded(each.key_colour), irradiance, mirrored)
    return np.concatenate([part.reshape(len(clip), -1) for part in parts], 1).astype(np.float32)


def make(scene: SimpleNamespace, options: Mapping[str, Any]) -> Draw:
    """Get a process ready."""
    renderer = Renderer(scene.shared, scene.side, options["samples"])
    faces = torch.from_numpy(scene.shared.faces)

    def draw(number: int, first: int, pictures: Pictures) -> None:
        each = scene.ring[number]
        uniforms = uniforms_of(each)
        loaded = -1
        for at, picture in enumerate(pictures, first):
            mesh = int(each.mesh_index[at])
            if mesh != loaded:
                vertices = each.vertices[mesh]
                renderer.load(vertices, vertex_normals(torch.from_numpy(vertices[None]), faces)[0].numpy())
                loaded = mesh
            renderer.draw(uniforms[at], int(each.texture_index[at]), picture)

    return draw
