"""Transport on the shipped bundle, and on a bundle whose latents are known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from coral_core.bundle.models import Models, load_models
from coral_core.editors import spec
from coral_core.editors.transport.transport import Transport
from coral_core.inversion import generator_samples, no_samples
from coral_core.types import Inversion, Prompt
from manifests.stores.open import open_store
from tasks.artifacts.fit_requests import fits_of
from tasks.artifacts.loaded import Editors
from tasks.worker.fit import fit_editor

RED = Prompt("a person with red hair", "a person")


@pytest.fixture(scope="module")
def networks() -> Models:
    return load_models("portraits")


@pytest.fixture(scope="module")
def shipped(networks: Models, tmp_path_factory: pytest.TempPathFactory) -> Transport:
    from coral_core.bundle.catalog import read_bundle

    method, store = spec("transport"), open_store(tmp_path_factory.mktemp("store"))
    (request,) = fits_of(method, method.resolve({}), RED, read_bundle("portraits"))
    assert request.shipped
    fit_editor(request, networks, store)
    editor = Editors(store, networks).base("coral-transport-difference", request.id)
    assert isinstance(editor, Transport)
    return editor


@pytest.fixture(scope="module")
def samples(networks: Models) -> Inversion:
    return generator_samples(networks, 24, seed=5)


def similarity(networks: Models, image_BCHW: torch.Tensor, text: str) -> torch.Tensor:
    image_BE = networks.clip.image(image_BCHW)
    found_B: torch.Tensor = image_BE @ networks.clip.text([text])[0]
    return found_B


@pytest.mark.parametrize(
    ("text", "common"), [("red hair", 0.1), ("sunglasses", 0.25), ("a mohawk", 0.09), ("no earrings", 0.5)]
)
def test_the_bank_knows_how_frequent_a_property_is(shipped: Transport, text: str, common: float) -> None:
    assert shipped.text_map(f"a person with {text}").share == pytest.approx(common, rel=0.2)


@pytest.mark.parametrize("text", ["red hair", "sunglasses", "a beanie"])
def test_an_edit_has_what_the_text_names(networks: Models, shipped: Transport, samples: Inversion, text: str) -> None:
    prompt = Prompt(f"a person with {text}", "a person")
    edit = shipped.edit(samples, [prompt] * len(samples.keys))
    assert (similarity(networks, edit.image_BCHW, prompt.target) > 0.15).float().mean() > 0.85


def test_the_wishes_of_a_sentence_are_all_met(networks: Models, shipped: Transport, samples: Inversion) -> None:
    prompt = Prompt("a smiling person with red hair and sunglasses", "a person")
    edit = shipped.edit(samples, [prompt] * len(samples.keys))
    for wish in ("a person who is smiling", "a person with red hair", "a person with sunglasses"):
        assert (similarity(networks, edit.image_BCHW, wish) > 0.15).float().mean() > 0.75, wish


def test_the_displacement_is_zero_at_strength_zero_and_does_not_depend_on_the_batch(
    shipped: Transport, samples: Inversion, networks: Models
) -> None:
    prompts = [RED, Prompt("a person with sunglasses", "a person")] * 12
    mixed_BD = shipped.displacement(samples, prompts)
    alone_BD = shipped.displacement(samples, [RED] * 24)
    assert torch.allclose(mixed_BD[::2], alone_BD[::2], atol=1e-5)
    plain = shipped.edit(samples, prompts, strength=0.0).image_BCHW
    assert torch.allclose(plain, samples.recon_BCHW, atol=1e-5)


def test_the_order_of_wishes_in_the_sentence_does_not_matter(shipped: Transport, samples: Inversion) -> None:
    one, other = (Prompt(f"a person with {text}", "a person") for text in ("a cap and a beard", "a beard and a cap"))
    assert torch.equal(shipped.displacement(samples, [one] * 24), shipped.displacement(samples, [other] * 24))


def test_a_fit_stores_its_samples_and_learns_to_decode(models: Models) -> None:
    method = spec("transport")
    options = method.resolve({"bank": 64, "fit": {"steps": 60, "batch_size": 32, "source_samples": 96}})
    editor, seen = method.build(options, None, models), list[tuple[int, int]]()
    report = editor.fit(no_samples(models), method.fit_config(options), lambda done, all, _: seen.append((done, all)))
    assert isinstance(editor, Transport)
    latents_ND = editor.latents()
    assert len(latents_ND) == 64 and latents_ND.std() > 0
    assert report.losses["total"] < 0.9  # 1 is the error of the mean
    assert seen[-1] == (120, 120) and [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_fit_of_one_sample_is_refused(models: Models) -> None:
    method = spec("transport")
    options = method.resolve({"fit": {"source_samples": 1}})
    with pytest.raises(ValueError, match="spread"):
        method.build(options, None, models).fit(no_samples(models), method.fit_config(options))


@pytest.mark.parametrize("options", [{"bank": 0}, {"directions": 0}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="give 1 or more"):
        spec("transport").resolve(options)


def test_difference_keeps_the_source_and_shows_where_it_edits(shipped: Transport, samples: Inversion) -> None:
    method = spec("coral-transport-difference")
    editor = method.build(method.resolve({}), None, shipped.models, shipped)
    prompts: Sequence[Prompt] = [Prompt("a person with sunglasses", "a person")] * 24
    edit, whole = editor.edit(samples, prompts), shipped.edit(samples, prompts)
    off = (edit.mask_B1HW == 0).expand_as(edit.image_BCHW)
    assert torch.equal(edit.image_BCHW[off], samples.recon_BCHW[off])
    core = (edit.mask_B1HW == 1).expand_as(edit.image_BCHW)
    assert torch.equal(edit.image_BCHW[core], whole.image_BCHW[core])
    assert 0.02 < edit.mask_B1HW.mean() < 0.3


def test_the_layers_of_a_difference_region_have_its_masks(shipped: Transport, samples: Inversion) -> None:
    method = spec("coral-transport-difference")
    edit = method.build(method.resolve({}), None, shipped.models, shipped).edit(samples, [RED] * 24)
    assert [mask.shape[-1] for mask in edit.masks] == list(shipped.models.generator.conv_sizes)
    area_B1 = edit.mask_B1HW.mean((1, 2, 3))[:, None]
    assert torch.allclose(edit.layer_areas_BL, area_B1.expand_as(edit.layer_areas_BL), atol=1e-4)
