"""Every picture is written, and shows the correct answer if there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coral_core.bundle.models import load_models
from pipelines.bench import network_gallery
from pipelines.cli.tables import curve_chart
from tasks.images.contact_sheet import GAP


def test_every_network_has_its_picture(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_gallery, "POOL", 12)
    monkeypatch.setattr(network_gallery, "GUIDE_STEPS", 2)
    monkeypatch.setattr(network_gallery, "REFINE_STEPS", 2)
    lines = {"generator": 4, "encoder": 3, "segmenter": 2, "clip": 4, "perceptual": 3, "identity": 4, "judge": 2}
    tile = network_gallery.ZOOM * load_models(str(bundle)).image_size + 2 * GAP
    for path in network_gallery.write_gallery(str(bundle), tmp_path / "pictures"):
        width, height = Image.open(path).size
        columns = 4 if path.stem == "identity" else network_gallery.COLUMNS
        assert (width, height) == (columns * tile, lines.pop(path.stem) * tile)
    assert not lines


def test_a_render_is_its_own_nearest_neighbour(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_gallery, "POOL", 12)
    models = load_models(str(bundle))
    first = [row[0] for row in network_gallery.of_perceptual(models)]
    assert np.array_equal(first, [scene.image(models.image_size) for scene in network_gallery.scenes(3)])


def test_the_shipped_networks_draw_what_they_are_shown() -> None:
    models = load_models("portraits")
    renders, inversions, refined = (np.stack(row).astype(float) for row in network_gallery.of_encoder(models))
    assert np.array_equal(renders, [scene.image() for scene in network_gallery.scenes()])
    assert np.square(refined - renders).mean() < np.square(inversions - renders).mean() < 20**2
    _, truth, found = (np.stack(row) for row in network_gallery.of_segmenter(models))
    assert (truth == found).all(-1).mean() > 0.93


def test_a_curve_names_its_steps_and_losses() -> None:
    chart = curve_chart("clip", [(200, 1.5), (400, 0.75), (600, 2e-5)])
    assert '"steps of clip" 200 --> 600' in chart and "line [1.50000, 0.75000, 0.00002]" in chart
    with pytest.raises(ValueError, match="1 step long"):
        curve_chart("clip", [(1, 1.5)])
