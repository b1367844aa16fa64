from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from coral_core.bundle.models import Models
from coral_core.editors.styleclip.optimization import BATCH_SIZE, LatentOptimization, OptimizationConfig
from coral_core.inversion import take
from coral_core.types import Inversion, Prompt
from tests.coral_core.editors.small_editors import build

RED, BLUE = Prompt("red"), Prompt("blue")


def made(models: Models, **options: Any) -> LatentOptimization:
    """Starts by regression unless told otherwise, with the published terms."""
    usual = {"start": "regression", "clip": 0.5, "directional": 2.0, "embedding": 0.0, "l2": 0.1}
    return LatentOptimization(models, OptimizationConfig(**{**usual, "steps": 12, "guess_samples": 64, **options}))


def redness(models: Models, image_BCHW: torch.Tensor) -> torch.Tensor:
    return models.clip.image(image_BCHW) @ models.clip.text(["red"])[0]


@pytest.mark.parametrize("start", ["regression", "none"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_image_that_is_not_red_becomes_redder(
    start: str, precision: Any, models: Models, inversion: Inversion
) -> None:
    editor = made(models, steps=40, start=start, precision=precision)
    before_B = redness(models, inversion.recon_BCHW)
    after_B = redness(models, editor.edit(inversion, [RED] * 4).image_BCHW)
    assert (after_B - before_B)[before_B < 0.8].min() > 0.2


def test_more_steps_improve_on_the_start(models: Models, inversion: Inversion) -> None:
    start, end = (made(models, steps=steps, settled=0.0).edit(inversion, [RED] * 4) for steps in (0, 40))
    assert redness(models, end.image_BCHW).mean() > redness(models, start.image_BCHW).mean() + 0.01


def test_other_samples_of_a_batch_change_no_bit(models: Models, make_inversion: Callable[..., Inversion]) -> None:
    inversion, editor = make_inversion(models, 6), made(models)
    found = [editor.search(take(inversion, torch.tensor(order)), [RED] * 3)[1] for order in ([0, 1, 2], [5, 1, 4])]
    assert torch.equal(*found)
    other = editor.search(take(inversion, slice(0, 3)), [BLUE, RED, BLUE])[1]
    assert torch.equal(found[0], other)


def test_another_batching_finds_the_same_bits(
    make_models: Callable[..., Models], make_inversion: Callable[..., Inversion]
) -> None:
    models, count = make_models(w_dim=16, width=16), BATCH_SIZE + 3  # widths that vector units fill, as real ones do
    inversion, editor = make_inversion(models, count), made(models)
    prompts = ([RED, BLUE] * count)[:count]
    whole = editor.search(inversion, prompts)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    turned = editor.search(take(inversion, order), [prompts[position] for position in order.tolist()])
    assert torch.equal(turned, whole[order])
    for part in (slice(0, 1), slice(3, 6), slice(2, 2 + BATCH_SIZE), slice(count - 1, count)):
        assert torch.equal(editor.search(take(inversion, part), prompts[part]), whole[part])


def test_every_step_of_the_optimiser_is_told(models: Models, make_inversion: Callable[..., Inversion]) -> None:
    count, told = BATCH_SIZE + 2, list[float]()
    made(models, steps=5, settled=0.0).edit(make_inversion(models, count), [RED] * count, progress=told.append)
    assert len(told) == 2 * 5 and told == sorted(set(told)) and told[-1] == pytest.approx(1.0)


def test_a_settled_image_does_not_depend_on_its_batch(
    make_models: Callable[..., Models], make_inversion: Callable[..., Inversion]
) -> None:
    models = make_models(w_dim=16, width=16)  # as above
    inversion = make_inversion(models, 4)
    patient, hasty = (made(models, steps=40, settled=settled) for settled in (0.0, 0.08))
    whole = hasty.search(inversion, [RED] * 4)
    for position in range(4):
        alone = hasty.search(take(inversion, slice(position, position + 1)), [RED])
        assert torch.equal(alone[0], whole[position])
    stopped_B = (whole != patient.search(inversion, [RED] * 4)).flatten(1).any(1)
    assert stopped_B.any()


def test_strength_scales_what_was_found(models: Models, inversion: Inversion) -> None:
    editor = made(models)
    images = [editor.edit(inversion, [RED] * 4, strength=strength).image_BCHW for strength in (0.0, 0.5, 1.0)]
    torch.testing.assert_close(images[0], inversion.recon_BCHW, atol=1e-5, rtol=0)
    changes = [(image - inversion.recon_BCHW).abs().mean() for image in images]
    assert changes[0] < changes[1] < changes[2]


def test_random_numbers_depend_on_the_seed_and_the_keys_only(models: Models, inversion: Inversion) -> None:
    editor, prompts = made(models), [RED] * 4
    torch.manual_seed(1)
    first, state = editor.search(inversion, prompts), torch.random.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(state, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, editor.search(inversion, prompts))
    assert not torch.equal(first, editor.search(inversion, prompts, seed=1))


def test_rows_of_a_level_that_is_off_stay(models: Models, inversion: Inversion) -> None:
    delta_BLD = made(models, levels=("medium",)).search(inversion, [RED] * 4)
    moved_L = delta_BLD.abs().amax((0, 2)) > 0
    assert moved_L.tolist() == [4 <= row < 8 for row in range(models.generator.num_ws)]


def at_transport(models: Models, steps: int, **options: Any) -> LatentOptimization:
    base = build("styleclip-optimization", models)._base[0]  # type: ignore[index]
    config = OptimizationConfig(**{"guess_samples": 64, "steps": steps, "settled": 0.0, **options})
    return LatentOptimization(models, config, base)


def test_a_search_starts_at_the_edit_of_transport_and_nears_its_embedding(models: Models, inversion: Inversion) -> None:
    start, end = (at_transport(models, steps) for steps in (0, 20))
    (transport,) = start._base
    assert transport is not None
    image_BCHW = start.edit(inversion, [RED] * 4).image_BCHW
    expected = transport.edit(inversion, [RED] * 4).image_BCHW
    torch.testing.assert_close(image_BCHW, expected, atol=1e-5, rtol=0)
    target_BE = transport.target_embedding(inversion, [RED] * 4)
    found_BE = models.clip.image(end.edit(inversion, [RED] * 4).image_BCHW)
    before, after = (
        torch.cosine_similarity(each, target_BE).mean() for each in (models.clip.image(image_BCHW), found_BE)
    )
    assert after > before


def test_a_search_that_starts_at_transport_does_not_depend_on_other_samples(
    models: Models, inversion: Inversion
) -> None:
    editor = at_transport(models, 2)
    alone = editor.search(take(inversion, slice(0, 1)), [RED])
    mixed = editor.search(inversion, [RED, BLUE, RED, BLUE])
    assert torch.equal(alone[0], mixed[0])


def test_the_start_at_transport_leaves_rows_of_a_level_that_is_off(models: Models, inversion: Inversion) -> None:
    found_BLD = at_transport(models, 1, levels=("medium",)).search(inversion, [RED] * 4)
    assert (found_BLD.abs().amax((0, 2)) > 0).tolist() == [4 <= row < 8 for row in range(models.generator.num_ws)]


def test_it_has_no_state(models: Models, inversion: Inversion) -> None:
    editor = made(models)
    editor.edit(inversion, [RED] * 4)
    assert not editor.state_dict()
    assert not list(editor.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": -1}, "steps = -1 cannot be negative"),
        ({"noise": -0.1}, "noise = -0.1"),
        ({"precision": "float16"}, "float16.*float32, bfloat16"),
        ({"l2": -1.0}, "l2 = -1.0"),
        ({"levels": ("corse",)}, "coarse, medium, fine"),
    ],
)
def test_impossible_configs_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OptimizationConfig(**change)
