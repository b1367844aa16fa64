"""Exported files load in training libraries, and a network learns from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset
from PIL import Image

from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.export.export import ExportSpec, export
from tasks.spec.publish_rules import PublishRules
from tests.painted import publish_painted
from tests.tars import image_bytes, write_tar
from tests.tasks.export.exported import TABLE, edited


def test_datasets_loads_the_table_with_its_pictures(tmp_path: Path, output: Store, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    from datasets import load_dataset

    export(output, open_store(tmp_path / "to"), ExportSpec(files=replace(TABLE, max_samples=5)))
    files = sorted(str(path) for path in (tmp_path / "to" / "data").glob("*.parquet"))
    rows = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert (len(files), len(rows), len(set(rows["id"]))) == (3, 12, 12)
    first = rows[0]
    assert isinstance(first["image"], Image.Image) and first["image"].size == (16, 16)
    assert first["mask"].mode == "L"
    assert json.loads(first["metadata"])["caption"] == "number 0"
    assert (first["synthetic"], first["prompt"]) == (True, "red hair")
    assert {"image_uri", "row_group", "row"}.isdisjoint(rows.column_names)


def test_exported_tars_train_a_classifier_of_what_the_edits_changed(
    tmp_path: Path, make_job: Callable[..., Any]
) -> None:
    """The source images all say brown: only merged labels, each beside its own image, can be learned."""
    for shard in range(2):
        members = []
        for index in range(40):
            key = f"{index:04d}"
            members += [(f"{key}.png", image_bytes(100 * shard + index, (8, 8))), (f"{key}.json", b'{"hair": "brown"}')]
        write_tar(tmp_path / f"in-{shard}.tar", members)
    colours = {"red": PublishRules(labels={"hair": "red"}), "smile": PublishRules(labels={"hair": "blue"})}
    job = make_job()
    job = edited(replace(job, edits=(job.edits[0], replace(job.edits[1], target="blue hair"))), **colours)
    _, store = publish_painted(job)
    for name, number in (("train", 0), ("test", 1)):
        spec = ExportSpec(where=f"source_uri LIKE '%in-{number}.tar'")
        export(store, open_store(tmp_path / name), spec)
    losses, model = train(tmp_path / "train")
    assert losses[-1] < 0.5 * losses[0]
    inputs, labels = batch_of(tmp_path / "test")
    assert (model(inputs).argmax(1) == labels).float().mean() > 0.95


CLASSES = ("red", "blue")


def batch_of(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """All samples of an export, read as a training pipeline reads them."""
    urls = [str(path) for path in sorted(folder.glob("*.tar"))]
    data = webdataset.WebDataset(urls, shardshuffle=False).decode("rgb").to_tuple("png", "json")
    pixels, labels = zip(*data, strict=True)
    inputs = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float()
    return inputs, torch.tensor([CLASSES.index(label["hair"]) for label in labels])


def train(folder: Path) -> tuple[list[float], torch.nn.Module]:
    """A small convolutional network, forty steps."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(8, len(CLASSES)),
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    inputs, labels = batch_of(folder)
    losses = []
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses, model
