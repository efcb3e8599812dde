"""pain3d: labelled synthetic pain faces, from a parametric head to pictures, heatmaps and data sets.

The names of the quickstart; everything else has its own module (`pain3d.facs`, `pain3d.head`, `pain3d.rendering`,
`pain3d.scene`, `pain3d.kernels`, `pain3d.pipeline`).
"""

TYPE_CHECKING = False  # typing's own, which need not be loaded for it
if TYPE_CHECKING:
    from pain3d.quickstart import (
        ActionUnits,
        Camera,
        Fit,
        Frames,
        Head,
        Identity,
        Light,
        Mesh,
        Renderer,
        Scene,
        Skin,
        View,
        au_heatmap,
        colourise,
        demographic_grid,
        fit,
        joint_heatmap,
        paint,
        pspi,
        render,
        render_scenes,
        sample_scenes,
        sample_skin,
        surface,
        surface_maps,
    )

__version__ = "0.1.0"

__all__ = [
    "ActionUnits",
    "Camera",
    "Fit",
    "Frames",
    "Head",
    "Identity",
    "Light",
    "Mesh",
    "Renderer",
    "Scene",
    "Skin",
    "View",
    "au_heatmap",
    "colourise",
    "demographic_grid",
    "fit",
    "joint_heatmap",
    "paint",
    "pspi",
    "render",
    "render_scenes",
    "sample_scenes",
    "sample_skin",
    "surface",
    "surface_maps",
]


if not TYPE_CHECKING:  # who checks types would take any name for one of ours

    def __getattr__(name):
        """Load all names, and torch with them, when the first is asked for: the command line hears Ctrl-C before."""
        if not name.startswith("__"):
            from importlib import import_module

            public = vars(import_module("pain3d.quickstart"))
            globals().update({known: public[known] for known in __all__ if known in public})
            if name in globals():
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
