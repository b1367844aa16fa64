"""`coral edit`. It imports its modules when it is called, so that --help is fast."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def edit(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    text: Annotated[
        list[str], typer.Option(help="What the edited image should show. Several: one per change, as all_of in a job.")
    ],
    source: Annotated[str, typer.Option(help="Neutral text where the direction starts.")] = "a photo",
    method: Annotated[str, typer.Option(help="Method; an unknown name prints the list.")] = "clipinverter",
    option: Annotated[list[str] | None, typer.Option(help="Option of the method or its fit, as name=value.")] = None,
    strength: Annotated[float, typer.Option(help="0 changes nothing, 1 is the method's own.")] = 1.0,
    reference: Annotated[str | None, typer.Option(help="An image to resemble, for methods that support it.")] = None,
    size: Annotated[Literal["generator", "source"], typer.Option(help="Size of the result.")] = "generator",
    bundle: Annotated[str, typer.Option(help="A name of the catalogue or a folder.")] = "portraits",
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    editors: Annotated[str | None, typer.Option(help="An output whose fitted editors are used and kept.")] = None,
    to: Annotated[Path | None, typer.Option(help="PNG file for the result; beside the image by default.")] = None,
) -> None:
    """Edit one image as a run would. The mask is written beside the result."""
    from pipelines.cli.method_options import parse_options
    from pipelines.cli.tables import scores_line
    from pipelines.interactive.edit_image import OneEdit, edit_image

    request = OneEdit(
        image=image,
        texts=tuple(text),
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
    result = edit_image(request, lambda line: print(line, file=sys.stderr))
    path.write_bytes(result.image)
    path.with_suffix(".mask.png").write_bytes(result.mask)
    print(f"{path}: {scores_line(result.row)}")
