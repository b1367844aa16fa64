"""`coral edit`. It imports what it needs, so that --help answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def edit(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    text: Annotated[str, typer.Option(help="What it should show.")],
    source: Annotated[str, typer.Option(help="Neutral text where the direction starts.")] = "a photo",
    method: Annotated[str, typer.Option(help="An unknown one lists them.")] = "clipinverter",
    option: Annotated[list[str] | None, typer.Option(help="Of the method or its fit, as name=value.")] = None,
    strength: Annotated[float, typer.Option(help="0 changes nothing, 1 is the method's own.")] = 1.0,
    reference: Annotated[str | None, typer.Option(help="An image to resemble, for methods that can.")] = None,
    size: Annotated[Literal["generator", "source"], typer.Option(help="Size of the result.")] = "generator",
    bundle: Annotated[str, typer.Option(help="A name of the catalogue or a folder.")] = "portraits",
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    editors: Annotated[str | None, typer.Option(help="An output whose fitted editors are used and kept.")] = None,
    to: Annotated[Path | None, typer.Option(help="A PNG file; next to the image by default.")] = None,
) -> None:
    """Edit one image: what a run would make of it. The mask lies beside the result."""
    from pipelines.cli.method_options import parse_options
    from pipelines.cli.tables import scores_line
    from pipelines.interactive.edit_image import OneEdit, edit_image

    wanted = OneEdit(
        image=image,
        text=text,
        source=source,
        method=method,
        options=parse_options(option or (), method),
        strength=strength,
        reference=reference,
        output=size,
        bundle=bundle,
        device=device,
        editors=editors,
    )
    path = to or image.with_name(f"{image.stem}-edited.png")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent}; make it, or give another --to")
    found = edit_image(wanted, lambda line: print(line, file=sys.stderr))
    path.write_bytes(found.image)
    path.with_suffix(".mask.png").write_bytes(found.mask)
    print(f"{path}: {scores_line(found.row)}")
