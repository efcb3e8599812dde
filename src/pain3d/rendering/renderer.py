"""`pain3d.Renderer`: identities and action units in, pictures out, on one device, again and again.

What does not change between calls is prepared once. On a CUDA device the whole forward (deform, project, rasterise,
shade, heatmap, bytes) waits for the host nowhere, so `Renderer.capture` can record it in a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pain3d.camera import Camera, picture_size
from pain3d.device import LastCopy, map_tensors, moved
from pain3d.head.identity import Identity
from pain3d.head.model import Faces, Head
from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._described import described
from pain3d.kernels.rendering import CHANNELS
from pain3d.kernels.rendering.bundles import Triangles
from pain3d.kernels.rendering.texels import pack_texels
from pain3d.kernels.texturing import Mipmaps, build_mipmaps
from pain3d.light import Light
from pain3d.mesh import Surface
from pain3d.rendering.heatmap import displacement_of_each
from pain3d.rendering.view import CLAY, GREY_BACKGROUND, OUTPUTS, View, render

if TYPE_CHECKING:
    from pain3d.kernels.rendering.topology import PreparedTopology

RENDERER_OUTPUTS = (*(name for name in OUTPUTS if name not in ("attributes", "layer_alpha")), "heatmap")
WARM_UPS = 3  # runs before a capture: they compile the kernels and let the allocator find its blocks


@dataclass(frozen=True)
class RendererInputs:
    """What one call of a `Renderer` reads, as tensors on its device; poses are [1 or M, 3] or None."""

    __repr__ = described

    identity: Tensor  # [1 or M, S]
    au: Tensor  # [1 or M, A, 2]
    pose: dict[str, Tensor]
    cameras: Camera
    light: Light
    texture: Mipmaps
    background: Tensor
    mesh_index: Tensor | None
    surface: Surface | None = None
    person_index: Tensor | None = None  # [M]: identity and surface have then a row per person


class Renderer:
    """Renders pictures of one head at one size: many meshes, many views, always the same outputs.

    Args:
        head: The head; None is the packaged one. It is moved to the device.
        size: Pixels, one number for a square or (height, width).
        device: ``"cpu"``, ``"cuda"``, …; None is the head's.
        outputs: Any of image, alpha, face_ids, depth, part_ids, linear and heatmap (|expression − neutral| in mm of
            what each pixel sees); what is not asked for costs nothing.
        image_dtype: ``"uint8"``, or ``"float32"`` or ``"bfloat16"`` for byte / 255.
        layout: Of the image: ``"NHWC"`` or ``"NCHW"``.
        backend: ``"reference"``, ``"cpu"``, ``"triton"``, or None for the fastest that the device has.

    Raises:
        ValueError: A size, an output, a device or a backend that there is not.
        RuntimeError: The backend can't run on the device.
    """

    def __init__(
        self,
        head: Head | None = None,
        size: int | tuple[int, int] = 512,
        *,
        device: torch.device | str | None = None,
        outputs: Sequence[str] = ("image",),
        image_dtype: str = "uint8",
        layout: str = "NHWC",
        backend: str | None = None,
    ) -> None:
        head = head or Head.default()
        self.head = head if device is None else head.on(device)
        self.size = picture_size(size)
        self.outputs = tuple(outputs)
        for name in self.outputs:
            if name not in RENDERER_OUTPUTS:
                raise ValueError(f"outputs must be among {', '.join(RENDERER_OUTPUTS)}, got {name!r}")
        self.image_dtype, self.layout, self.backend = image_dtype, layout, backend
        self._prepared = prepared_topology(self.head, backend)
        self._creases = LastCopy(self.device)  # one for all people of a head

    @property
    def device(self) -> torch.device:
        """Where the head is, and where pictures come out."""
        return self.head.device

    def __call__(
        self,
        cameras: Camera,
        *,
        identity: Identity | Sequence[Identity] | Tensor | None = None,
        au: Faces | None = None,
        pose: dict[str, Tensor] | None = None,
        light: str | Light = "studio",
        texture: Tensor | Mipmaps | None = None,
        background: Tensor | None = None,
        mesh_index: Tensor | None = None,
        surface: Surface | None = None,
        person_index: Tensor | None = None,
    ) -> View:
        """Render N pictures of M meshes.

        Args:
            cameras: N cameras, or one for all N; their size gives way to the renderer's.
            identity: Of 1 or M meshes, as `Head` takes it.
            au: Of 1 or M meshes, as `Head` takes it.
            pose: Poses by name, as `Head` takes them: ``{"neck_pose": [M, 3]}``, radians.
            light: A preset, or 1 or N lights.
            texture: [1 or N, Ht, Wt, 16] (`pain3d.paint` of N people) or its mipmaps; None is clay.
            background: [1 or N, Hb, Wb, 3] linear; None is dark grey.
            mesh_index: [N] which mesh each camera sees; None pairs them in order.
            surface: Hair, cloth and wrinkles of 1 or M people (`pain3d.surface` of M skins), as `Head` takes it.
            person_index: [M] whose mesh each one is, as `Head` takes it; identity and surface are then of P people.

        Returns:
            View; on a CUDA device its tensors are there, and the call returns before they are written.

        Raises:
            ValueError: Numbers of rows that do not fit.
        """
        given = (identity, au, pose, light, texture, background, mesh_index, surface, person_index)
        return self.forward(self.inputs(cameras, *given))

    def capture(self, cameras: Camera, **arguments: Any) -> Captured:
        """Record the forward for inputs of these shapes in a CUDA graph; arguments as for a call.

        Returns:
            Captured: called with other inputs of the same shapes, it renders them by one replay.

        Raises:
            RuntimeError: The renderer is not on a CUDA device.
        """
        if self.device.type != "cuda":
            raise RuntimeError(f"capture needs a renderer on a CUDA device, this one is on {self.device}")
        return Captured(self, self.inputs(cameras, **arguments), record_cuda_graph)

    def inputs(
        self,
        cameras: Camera,
        identity: Identity | Sequence[Identity] | Tensor | None = None,
        au: Faces | None = None,
        pose: dict[str, Tensor] | None = None,
        light: str | Light = "studio",
        texture: Tensor | Mipmaps | None = None,
        background: Tensor | None = None,
        mesh_index: Tensor | None = None,
        surface: Surface | None = None,
        person_index: Tensor | None = None,
    ) -> RendererInputs:
        """Return the arguments of a call as tensors on the device: all copies from the host happen here.

        As in a call: coefficients as `identity` [M, S], intensities as `au` [M, A, 2], `pose` of name → [M, 3];
        `texture` [1 or N, Ht, Wt, 16], `background` [1 or N, Hb, Wb, 3], `mesh_index` [N], `person_index` [M].
        """
        device = self.device
        if texture is None:
            texture = torch.tensor(CLAY).expand(1, 1, 1, CHANNELS)
        chain = moved(texture, device)
        return RendererInputs(
            identity=self.head.identity_rows(identity).to(device),
            au=self.head.au_rows(au).to(device),
            pose=moved(pose or {}, device),
            cameras=replace(cameras.to(device), size=self.size),
            light=(Light.preset(light) if isinstance(light, str) else light).to(device),
            texture=chain if isinstance(chain, Mipmaps) else build_mipmaps(chain),
            background=(torch.tensor(GREY_BACKGROUND).expand(1, 1, 1, 3) if background is None else background).to(
                device
            ),
            mesh_index=None if mesh_index is None else mesh_index.to(device),
            surface=None if surface is None else replace(surface, creases=self._creases(surface.creases)).to(device),
            person_index=None if person_index is None else person_index.to(device),
        )

    def forward(self, given: RendererInputs, packed: Tensor | None = None) -> View:
        """Render inputs that are on the device: no copy from the host, no wait for the device.

        `packed` is of `pack_texels` of the texture [K, N, 16], read by the Triton kernels in its place.
        """
        outputs = ["attributes" if name == "heatmap" else name for name in self.outputs]
        heat, who = None, given.person_index
        if "heatmap" in self.outputs:
            heat = displacement_of_each(self.head, given.identity, given.au, person_index=who)
        view = render(
            self.head(given.identity, given.au, **given.pose, surface=given.surface, person_index=who),
            given.cameras,
            light=given.light,
            texture=given.texture,
            background=given.background,
            attributes=None if heat is None else heat[..., None],
            mesh_index=given.mesh_index,
            outputs=outputs,
            image_dtype=self.image_dtype,
            layout=self.layout,
            prepared=self._prepared,
            packed=packed,
            backend=self.backend,
        )
        return view if view.attributes is None else replace(view, attributes=None, heatmap=view.attributes[..., 0])


def prepared_topology(head: Head, backend: str | None = None) -> PreparedTopology | None:
    """What the Triton kernels read of a head's topology, to be made once; None where another backend answers."""
    topology = head.topology
    if resolve_backend("render", backend, ("reference", "cpu", "triton"), topology.faces) != "triton":
        return None
    from pain3d.kernels.rendering.topology import prepare_topology

    triangles = Triangles(
        faces=topology.faces,
        adjacent_faces=topology.adjacent_faces,
        uvs=topology.uvs,
        uv_faces=topology.uv_faces,
        face_labels=topology.face_parts,
    )
    return prepare_topology(triangles, len(head.template))


class Captured:
    """A recorded forward of a `Renderer`. Its view is overwritten by the next call: copy what must stay."""

    def __init__(
        self,
        renderer: Renderer,
        given: RendererInputs,
        record: Callable[[Callable[[], View]], tuple[Callable[[], None], View]],
    ) -> None:
        """Keep own copies of the inputs, which the recorded kernels read, and record one forward of them.

        The Triton kernels read the texture packed: that is done where a texture comes in, not in each replay.
        """
        self.renderer = renderer
        kept = map_tensors(given, torch.clone)
        if given.surface is not None:  # its creases stay the ones that all people of the head share
            copied = map_tensors(given.surface, torch.clone)
            kept = replace(kept, surface=replace(copied, creases=given.surface.creases))
        shaded = renderer._prepared is not None and "image" in renderer.outputs
        packed = pack_texels(kept.texture.texels) if shaded else None
        self._given, self._packed = kept, packed
        self._replay, self._view = record(lambda: renderer.forward(kept, packed))
        self._read = renderer.head._detail  # the recorded kernels read it: the head may keep another one later

    def __call__(self, cameras: Camera, **arguments: Any) -> View:
        """Render other inputs, of the shapes that were captured; arguments as for `Renderer.__call__`.

        Raises:
            ValueError: A shape differs from the captured one, or an input requires a gradient.
        """
        for name, (kept, new) in _pairs(self._given, self.renderer.inputs(cameras, **arguments)).items():
            if name == "surface.creases" and new is not kept:
                raise ValueError("surface.creases must be the captured ones: all people of a head share them")
            if new.requires_grad and torch.is_grad_enabled():
                raise ValueError(f"{name} requires a gradient, which a captured graph lacks: call the renderer itself")
            if new.shape != kept.shape:
                raise ValueError(f"{name} must be {list(kept.shape)} as captured, got {list(new.shape)}")
            if new is not kept:
                kept.copy_(new)
        if self._packed is not None:
            pack_texels(self._given.texture.texels, out=self._packed)
        self._replay()
        return self._view


def record_cuda_graph(run: Callable[[], View]) -> tuple[Callable[[], None], View]:
    """Run a few times beside the current stream, record once; return what replays it, and the view it writes.

    What replays it holds `run`, and so the memory outside the graph that the recorded kernels read.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        view = run()
    return partial(_replay, graph, run), view


def _replay(graph: torch.cuda.CUDAGraph, _: Callable[[], View]) -> None:
    graph.replay()


def _pairs(kept: RendererInputs, new: RendererInputs) -> dict[str, tuple[Tensor, Tensor]]:
    """Each captured tensor with the new one in its place, by name."""
    first, second = _named("", kept), _named("", new)
    if first.keys() != second.keys():
        names = ", ".join(sorted(first.keys() ^ second.keys()))
        raise ValueError(f"the same arguments must be given as were captured: {names} differ")
    return {name: (first[name], second[name]) for name in first}


def _named(prefix: str, value: Any) -> dict[str, Tensor]:
    if isinstance(value, Tensor):
        return {prefix: value}
    parts: dict[str, Any] = {}
    if isinstance(value, dict):
        parts = value
    elif hasattr(value, "__dataclass_fields__"):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
    elif hasattr(value, "_asdict"):
        parts = value._asdict()
    named: dict[str, Tensor] = {}
    for name, part in parts.items():
        named |= _named(f"{prefix}.{name}" if prefix else name, part)
    return named
