from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from coral_core.bundle.catalog import PARTS, read_bundle
from coral_core.bundle.models import load_models, load_network
from coral_core.bundle.weights import read_header
from coral_core.zoo.random_bundle import write_random_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_bundle(tmp_path_factory.mktemp("bundle"), image_size=32)


def test_a_bundle_loads_frozen_and_in_evaluation_mode(bundle: Path) -> None:
    models = load_models(str(bundle))
    for part in PARTS:
        network = getattr(models, part)
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
    assert models.image_size == read_bundle(str(bundle)).image_size == 32
    assert models.generator.num_ws == read_bundle(str(bundle)).num_ws == models.encoder.config.num_ws


def test_equal_bytes_give_equal_digests_and_other_bytes_do_not(bundle: Path, tmp_path: Path) -> None:
    again = write_random_bundle(tmp_path / "same", image_size=32)
    other = write_random_bundle(tmp_path / "other", image_size=32, seed=1)
    assert read_bundle(str(again)).digests == read_bundle(str(bundle)).digests
    assert read_bundle(str(other)).digest != read_bundle(str(bundle)).digest
    assert load_models(str(bundle)).digest == read_bundle(str(bundle)).digest


def test_an_unknown_bundle_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no bundle 'portrait'.*\['portraits'\]"):
        read_bundle("portrait")
    with pytest.raises(ValueError, match=r"lacks generator\.safetensors"):
        read_bundle(str(tmp_path))


def test_weights_of_another_size_name_the_first_keys_and_both_shapes(tmp_path: Path) -> None:
    bundle = write_random_bundle(tmp_path, image_size=32)
    path = bundle / "identity.safetensors"
    header, state = read_header(path), load_file(path)
    state["head.weight"] = torch.zeros(3, 3)
    del state["head.bias"]
    save_file(state, path, metadata={"part": "identity", "config": '{"widths": [8, 8, 16], "embedding": 16}'})
    assert header.part == "identity"
    with pytest.raises(ValueError, match=r"head.bias missing; head.weight is \(3, 3\), wanted \(16, 32\)"):
        load_models(str(bundle))


def test_a_file_under_another_parts_name_is_refused(tmp_path: Path) -> None:
    bundle = write_random_bundle(tmp_path, image_size=32)
    (bundle / "identity.safetensors").replace(bundle / "perceptual.safetensors")
    with pytest.raises(ValueError, match="holds a identity, not a perceptual"):
        load_network(bundle / "perceptual.safetensors", "perceptual")
