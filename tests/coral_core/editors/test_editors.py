"""Properties of all editors, and the table of methods."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load, save

from coral_core.bundle.models import Models
from coral_core.editors import EDITORS, FitScope, spec
from coral_core.editors.base import Editor
from coral_core.fit import FitConfig
from coral_core.inversion import take
from coral_core.types import Edit, Inversion, Prompt
from tests.coral_core.editors.small_editors import RED, build, resolved

every_method = pytest.mark.parametrize("method", EDITORS)


def of_scope(*scopes: FitScope) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("method", [name for name, row in EDITORS.items() if row.scope in scopes])


def fitted(method: str, models: Models, inversion: Inversion) -> Editor:
    """An editor after a short fit, with noise on all parameters, so that each of them has an effect."""
    editor = build(method, models)
    if spec(method).is_fitted:
        editor.fit(inversion, spec(method).fit_config(resolved(method)))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(2)
        for parameter in editor.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return editor


def red(editor: Editor, inversion: Inversion, **options: float) -> Edit:
    return editor.edit(inversion, [RED] * len(inversion.keys), **options)  # type: ignore[arg-type]


@every_method
def test_zero_strength_returns_the_inversion(method: str, models: Models, inversion: Inversion) -> None:
    edit = red(fitted(method, models, inversion), inversion, strength=0.0)
    torch.testing.assert_close(edit.image_BCHW, inversion.recon_BCHW, atol=1e-5, rtol=0)


@every_method
@pytest.mark.parametrize("image_size", [16, 64])
def test_an_edit_has_its_shapes_and_ranges(
    method: str, image_size: int, make_models: Callable[..., Models], make_inversion: Callable[..., Inversion]
) -> None:
    models = make_models(image_size=image_size, w_dim=7, width=6)
    inversion = make_inversion(models, 3)
    edit = red(fitted(method, models, inversion), inversion)
    assert edit.image_BCHW.shape == (3, 3, image_size, image_size)
    assert edit.mask_B1HW.shape == (3, 1, image_size, image_size)
    assert edit.layer_areas_BL.shape == (3, len(models.generator.conv_sizes))
    assert not (edit.image_BCHW - inversion.recon_BCHW).abs().max() < 1e-3
    for part, low in ((edit.image_BCHW, -1), (edit.mask_B1HW, 0), (edit.layer_areas_BL, 0)):
        assert not part.requires_grad
        assert part.dtype == torch.float32
        assert low <= part.min()
        assert part.max() <= 1


@every_method
def test_the_same_edit_gives_the_same_bytes(method: str, models: Models, inversion: Inversion) -> None:
    editor = fitted(method, models, inversion)
    assert torch.equal(red(editor, inversion).image_BCHW, red(editor, inversion).image_BCHW)


@every_method
def test_batching_and_order_change_no_pixel(
    method: str, make_models: Callable[..., Models], make_inversion: Callable[..., Inversion]
) -> None:
    models = make_models(w_dim=16, width=16)  # widths that vector units fill, as real ones do
    inversion = make_inversion(models, 4)
    editor = fitted(method, models, inversion)
    together = red(editor, inversion)
    alone = [red(editor, take(inversion, slice(i, i + 1))) for i in range(4)]
    turned = red(editor, take(inversion, torch.tensor([3, 1, 2, 0])))
    for part in ("image_BCHW", "mask_B1HW", "layer_areas_BL"):
        whole = getattr(together, part)
        torch.testing.assert_close(torch.cat([getattr(edit, part) for edit in alone]), whole, atol=1e-4, rtol=0)
        torch.testing.assert_close(getattr(turned, part)[[3, 1, 2, 0]], whole, atol=1e-4, rtol=0)


@every_method
def test_every_trainable_parameter_receives_a_gradient(method: str, models: Models, inversion: Inversion) -> None:
    editor = fitted(method, models, inversion)
    if not list(editor.parameters()) or spec(method).sourceless:
        with pytest.raises(NotImplementedError, match="not fitted by gradients"):
            editor.stages()
        return
    stages = editor.stages()
    trained = {id(p) for stage in stages for group in stage.groups for p in group.parameters}
    assert trained == {id(p) for p in editor.parameters()}
    for stage in stages:
        editor.zero_grad()
        torch.stack(list(editor.losses(inversion, stage).values())).sum().backward()
        for group in stage.groups:
            assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in group.parameters)


@every_method
def test_state_dict_holds_only_what_was_fitted(method: str, models: Models, inversion: Inversion) -> None:
    before = {key: value.clone() for key, value in build(method, models).state_dict().items()}
    after = fitted(method, models, inversion).state_dict()
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[key], after[key]) for key in before if key != "open_layers")  # none need be shut
    assert not {key.split(".")[0] for key in after} & set(vars(models))


@every_method
def test_a_stored_artifact_gives_the_same_edit(method: str, models: Models, inversion: Inversion) -> None:
    editor = fitted(method, models, inversion)
    again = build(method, models)
    again.load_state_dict(load(save(editor.state_dict())), strict=True)
    for part in ("image_BCHW", "mask_B1HW", "layer_areas_BL"):
        assert torch.equal(getattr(red(editor, inversion), part), getattr(red(again, inversion), part))


FITTED = [
    name for name, row in EDITORS.items() if row.is_fitted and not row.sourceless and not row.base_of(row.resolve({}))
]
"""Methods that are fitted on given samples by gradients of CLIP, or measured with CLIP on them.

Without those that build upon transport: the tiny bundle has no groups of samples, so the edit that they keep is small.
"""


@pytest.mark.parametrize(
    ("method", "precision"),
    [*((name, "bfloat16") for name in FITTED), ("coral-direction-attention", "float32")],
)
def test_a_fit_lowers_the_clip_loss(
    method: str, precision: str, models: Models, make_inversion: Callable[..., Inversion]
) -> None:
    source = make_inversion(models, 12)
    fit = {"steps": 40, "batch_size": 4, "precision": precision}
    editor = build(method, models, source, **fit)
    toward_red = models.clip.text(["red"])
    before = (models.clip.image(source.recon_BCHW) * toward_red).sum(1)
    report = editor.fit(source, spec(method).fit_config(resolved(method, **fit)))
    after = (models.clip.image(red(editor, source).image_BCHW) * toward_red).sum(1)
    assert (after - before).mean() > 0.1
    assert report.losses.get("clip", -1) < 1 - before.mean()
    assert all(value.dtype in (torch.float32, torch.uint8) for value in editor.state_dict().values())


@every_method
def test_initial_parameters_depend_on_the_seed_of_the_fit_only(method: str, models: Models) -> None:
    torch.manual_seed(1)
    first = build(method, models).state_dict()
    state = torch.random.get_rng_state()
    torch.manual_seed(99)
    second = build(method, models).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    torch.manual_seed(1)
    assert torch.equal(state, torch.random.get_rng_state())


@every_method
def test_resolved_options_are_complete_json_and_stable(method: str) -> None:
    complete = spec(method).resolve({})
    assert json.loads(json.dumps(complete)) == complete
    assert spec(method).resolve(complete) == complete
    assert spec(method).fit_config(complete) == spec(method).fit
    number = next(name for name, value in complete.items() if isinstance(value, float))
    whole, decimal = (spec(method).resolve({number: value}) for value in (1, 1.0))
    assert json.dumps(whole) == json.dumps(decimal)


@every_method
def test_options_that_only_edits_read_need_no_other_fit(method: str) -> None:
    complete = spec(method).resolve({})
    read = spec(method).fit_options(complete)
    assert set(spec(method).edit_options) == set(complete) - set(read)
    assert spec(method).resolve(read) == complete


@of_scope(FitScope.IMAGE)
def test_a_method_that_is_not_fitted_refuses_options_of_a_fit(
    method: str, models: Models, inversion: Inversion
) -> None:
    with pytest.raises(ValueError, match=f"{method}: fit is .*leave it out"):
        spec(method).resolve({"fit": {"steps": 3}})
    with pytest.raises(NotImplementedError, match="not fitted by gradients"):
        build(method, models).fit(inversion, FitConfig())


@of_scope(FitScope.IMAGE, FitScope.DOMAIN)
def test_one_editor_serves_every_prompt(method: str, models: Models, inversion: Inversion) -> None:
    editor, prompts = fitted(method, models, inversion), [RED, Prompt("blue"), RED, Prompt("blue", "red")]
    together = editor.edit(inversion, prompts).image_BCHW
    for position, prompt in enumerate(prompts):
        alone = editor.edit(take(inversion, slice(position, position + 1)), [prompt]).image_BCHW[0]
        torch.testing.assert_close(alone, together[position], atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="2 prompts for 4 samples"):
        editor.edit(inversion, [RED, RED])
    with pytest.raises(ValueError, match="nothing to edit"):
        editor.edit(inversion, [RED, RED, RED, Prompt("red", "red")])


@of_scope(FitScope.PROMPT)
def test_a_method_that_is_fitted_per_prompt_needs_a_prompt(method: str, models: Models) -> None:
    with pytest.raises(ValueError, match=f"{method} is fitted per prompt"):
        spec(method).build(spec(method).resolve({}), None, models)


def test_names_in_the_table_are_the_names_in_the_rows() -> None:
    assert all(name == row.name for name, row in EDITORS.items())
    parts = {"generator", "encoder", "clip", "identity", "segmenter", "perceptual"}
    assert all({*row.fit_reads, *row.edit_reads} <= parts for row in EDITORS.values())
    assert all(isinstance(row.fit, FitConfig) for row in EDITORS.values())


def test_an_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown method 'coral'; known: coral-direction-attention, "):
        spec("coral")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aera": 0.1}, "unknown option 'aera'; did you mean 'area'?"),
        ({"qqq": 0.1}, "unknown option 'qqq'; known: clip, "),
        ({"ft": {}}, "did you mean 'fit'?"),
        ({"steps": 10}, "unknown option 'steps'"),
        ({"fit": {"step": 10}}, "fit: unknown option 'step'; did you mean 'steps'?"),
        ({"fit": {"steps": 0}}, "steps is 0; give 1 or more"),
        ({"fit": {"steps": 2.5}}, "steps is 2.5; give a whole number such as 100"),
        ({"fit": {"steps": True}}, "steps is True"),
        ({"fit": 300}, "fit is 300; give a mapping"),
        ({"area": "high"}, "area is 'high'; give a number"),
        ({"area": None}, "area is None; give a number"),
        ({"area": float("nan")}, "area is nan; give a number"),
        ({"area": float("inf")}, "area is inf; give a number from -1e+30 to 1e+30"),
        ({"area": 10**400}, "; give a number from -1e+30 to 1e+30"),
        ({"area": True}, "area is True; give a number"),
        ({"fit": {"seed": 10**23}}, "seed is 100000000000000000000000; give a whole number of less than 64 bits"),
        ({"fit": {"steps": True}}, "steps is True; give a whole number"),
        ({"area": -0.5}, "area = -0.5"),
        ({"levels": "coarse"}, "levels is 'coarse'; give a list of names"),
        ({"levels": ["corse"]}, "give one or more of coarse, medium, fine"),
    ],
)
def test_option_errors_say_what_was_given_and_what_is_allowed(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as error:
        spec("coral-direction-attention").resolve(options)
    assert message in str(error.value)
    assert "coral-direction-attention" in str(error.value)


def test_a_method_without_regions_has_no_region_options() -> None:
    with pytest.raises(ValueError, match="unknown option 'area'"):
        spec("styleclip-mapper").resolve({"area": 0.1})
