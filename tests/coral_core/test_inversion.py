from pathlib import Path

import pytest
import torch

from coral_core import inversion
from coral_core.bundle.models import Models, load_models
from coral_core.inversion import generator_samples, invert, restore, take
from coral_core.zoo.random_bundle import write_random_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Models:
    path: Path = write_random_bundle(tmp_path_factory.mktemp("bundle"), image_size=32)
    return load_models(str(path))


def test_a_stored_latent_restores_the_inversion(bundle: Models) -> None:
    image = torch.rand(3, 3, 32, 32) * 2 - 1
    found = invert(bundle, ("a", "b", "c"), image)
    again = restore(bundle, ("a", "b", "c"), image, found.ws_BLD)
    assert torch.equal(found.recon_BCHW, again.recon_BCHW)
    assert torch.equal(found.labels_BHW, again.labels_BHW)
    assert len(found.taps) == 3 and again.taps == ()


def test_generator_samples_do_not_depend_on_how_many_are_made_at_a_time(
    bundle: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = generator_samples(bundle, 5, seed=1)
    monkeypatch.setattr(inversion, "SAMPLE_BATCH", 2)
    again = generator_samples(bundle, 5, seed=1)
    torch.testing.assert_close(first.ws_BLD, again.ws_BLD, atol=1e-4, rtol=1e-4)
    assert first.keys == again.keys
    assert not torch.allclose(first.ws_BLD, generator_samples(bundle, 5, seed=2).ws_BLD)


def test_take_keeps_samples_together(bundle: Models) -> None:
    samples = generator_samples(bundle, 4, seed=0)
    some = take(samples, torch.tensor([3, 0]))
    assert some.keys == (samples.keys[3], samples.keys[0])
    assert torch.equal(some.ws_BLD, samples.ws_BLD[[3, 0]])
    assert take(samples, slice(1, 3)).keys == samples.keys[1:3]


def test_images_of_the_wrong_size_are_refused(bundle: Models) -> None:
    with pytest.raises(ValueError, match=r"wants \[B, 3, 32, 32\]"):
        restore(bundle, ("a",), torch.zeros(1, 3, 16, 16), torch.zeros(1, 8, 24))
