"""Knows how an HTML page is made of a template: escaped, and refused where it names something that isn't given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2


def html_page(template: Path, **values: Any) -> str:
    """The text of a template with its values filled in."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(**values)
