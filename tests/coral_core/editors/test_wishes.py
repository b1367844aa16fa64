"""The wishes of a sentence, wishes that a prompt says itself, and editors that combine them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest
import torch

from coral_core.bundle.models import Models
from coral_core.editors import EDITORS, FitScope, spec
from coral_core.editors.base import check_prompts
from coral_core.editors.transport.transport import Transport, TransportConfig
from coral_core.editors.wishes import MOST_WISHES, check_wishes, join_wishes, split_wishes, wishes_of
from coral_core.fit import FitConfig
from coral_core.types import Inversion, Prompt
from tests.coral_core.editors.small_editors import build

SMILE, RED, HAT = "a person who is smiling", "a person with red hair", "a person with a hat"


@pytest.fixture
def transport(models: Models, inversion: Inversion) -> Transport:
    """Fitted on a few samples."""
    editor = Transport(models, TransportConfig(bank=256, directions=4))
    editor.fit(inversion, FitConfig(steps=5, batch_size=8, source_samples=256, precision="float32"))
    return editor


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("a smiling person with red hair and a hat", (SMILE, RED, HAT)),
        ("a photo of a smiling person with a hat", (SMILE, HAT)),
        ("the smiling person with a hat", (SMILE, HAT)),
        ("someone with red hair who is smiling", (RED, SMILE)),
        ("a person with red hair, a hat, and gold earrings", (RED, HAT, "a person with gold earrings")),
        ("a person with red hair, a hat and gold earrings", (RED, HAT, "a person with gold earrings")),
        ("a person with red hair, wearing a tie", (RED, "a person wearing a tie")),
        ("a person with red hair and wearing a tie", (RED, "a person wearing a tie")),
        ("a person wearing a cap with a visor who is smiling", ("a person wearing a cap with a visor", SMILE)),
        ("a person with a hat against a black and white wall", (HAT, "a person against a black and white wall")),
        ("a smiling person who is wearing a hat", (SMILE, "a person who is wearing a hat")),
        (
            "a person with red hair who is not wearing glasses and a hat",
            (RED, "a person who is not wearing glasses", "a person who is not wearing a hat"),
        ),
        ("an old smiling person", ("a person who is old", SMILE)),
        ("a smiling  person\nwith a hat", (SMILE, HAT)),
    ],
)
def test_a_sentence_with_several_wishes_becomes_one_sentence_each(target: str, expected: tuple[str, ...]) -> None:
    assert split_wishes(target, "a person") == expected
    assert split_wishes(target, "a person with a beard") == expected  # a clause of the source is not the subject
    assert wishes_of(Prompt(target, "a person")) == expected


@pytest.mark.parametrize(
    "target",
    [
        RED,
        "a smiling person",
        "a person wearing a cap with a visor",
        "someone with a hat",
        "a person who is not wearing glasses",
        "a person who is wearing a cap with a visor",
        "a person in front of a red and white wall",
        "red hair and a hat",
        "a smiling dog with a hat and a tie",
        "a person looks up with a hat and a tie",
        "a  person with  red hair",
        "",
    ],
)
def test_one_wish_or_another_form_stays_as_it_is(target: str) -> None:
    assert split_wishes(target, "a person") == (target,)


def test_a_list_within_one_wish_is_divided_unless_the_prompt_says_the_wish_itself() -> None:
    """The known limit of the rule, and what is done about it."""
    target = "a person with black and white hair"
    assert split_wishes(target, "a person") == ("a person with black", "a person with white hair")
    assert wishes_of(Prompt(target, "a person", wishes=(target,))) == (target,)
    assert wishes_of(Prompt("a portrait", "a person", wishes=(RED, SMILE))) == (RED, SMILE)


def test_prompts_with_other_wishes_are_other_prompts() -> None:
    prompts = {Prompt("x", "y"), Prompt("x", "y", wishes=(RED,)), Prompt("x", "y", wishes=(RED, HAT))}
    assert len(prompts) == 3 and len({str(prompt) for prompt in prompts}) == 3


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ([RED], RED),
        (["one  wish as it is"], "one  wish as it is"),
        ([SMILE, RED], "a person with red hair who is smiling"),
        ([SMILE, RED, HAT], "a person with a hat and red hair who is smiling"),
        ([RED, "a person wearing a cap with a visor"], "a person with red hair wearing a cap with a visor"),
        (["a smiling person", RED], "a person with red hair and a smiling person"),
        (["a man with a hat", RED, SMILE], "a man with a hat, a person who is smiling and a person with red hair"),
        (
            ["a person on a chair", "a person in front of a wall", "a person on a horse"],
            "a person in front of a wall on a chair on a horse",
        ),
    ],
)
def test_wishes_in_any_order_are_joined_to_the_same_sentence(wishes: list[str], expected: str) -> None:
    assert {join_wishes(order) for order in permutations(wishes)} == {expected}


@pytest.mark.parametrize("wishes", [(SMILE, RED), (SMILE, RED, HAT), (RED, "a person wearing a cap with a visor")])
def test_the_rule_divides_a_joined_sentence_into_the_same_wishes(wishes: tuple[str, ...]) -> None:
    assert set(split_wishes(join_wishes(wishes), "a person")) == set(wishes)


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        ([RED, ""], "the wish '' says nothing"),
        ([" \n"], "says nothing"),
        ([RED, "a  person with RED hair"], "'a person with red hair' and 'a  person with RED hair' say the same"),
        ([f"wish {index}" for index in range(MOST_WISHES + 1)], "9 wishes; give at most 8"),
        ([RED, "A person"], "the wish 'A person' and the source say the same"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(wishes: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_prompts([Prompt("x", "a person", wishes=tuple(wishes))], 1, combines_wishes=True)


def test_as_many_wishes_as_allowed_are_not_refused() -> None:
    check_wishes([f"wish {index}" for index in range(MOST_WISHES)])


def test_wishes_are_applied_one_after_the_other(transport: Transport, models: Models, inversion: Inversion) -> None:
    """The second starts from the latent and the embedding that the first gave; the sentence itself is not used."""
    count = len(inversion.keys)
    both = transport.displacement(inversion, [Prompt("a photo", wishes=("blue", "red"))] * count)
    w_BD, e_BE = inversion.ws_BLD.mean(1), models.clip.image(inversion.image_BCHW)
    blue_BD, blue_BE = transport._moved(w_BD, e_BE, ["blue"])
    after_BD, _ = transport._moved(blue_BD, blue_BE, ["red"])
    torch.testing.assert_close(both, transport.config.extent * (after_BD - w_BD), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(blue_BE, transport.text_map("blue").embedding(e_BE))
    assert (after_BD - blue_BD).abs().max() > 1e-2 and (blue_BD - w_BD).abs().max() > 1e-2
    assert torch.equal(both, transport.displacement(inversion, [Prompt("x", wishes=("red", "blue"))] * count))


def test_the_parts_of_an_edit_by_each_wish_add_up_to_it(transport: Transport, inversion: Inversion) -> None:
    prompts = [Prompt("a photo", wishes=("red", "blue")), Prompt("red"), Prompt("blue"), Prompt("red")]
    change_BKD = transport.changes(inversion, prompts)
    assert change_BKD.shape[1] == 2 and not change_BKD[1:, 1].any() and change_BKD[:, 0].any(1).all()
    torch.testing.assert_close(change_BKD.sum(1), transport.displacement(inversion, prompts), atol=1e-5, rtol=1e-5)
    blue_BKD = transport.changes(inversion, [Prompt("blue")] * 4)
    torch.testing.assert_close(change_BKD[0, 0], blue_BKD[0, 0], atol=1e-5, rtol=1e-5)  # blue comes first


def test_a_single_wish_is_the_edit_by_its_text(transport: Transport, inversion: Inversion) -> None:
    said, plain = ([prompt] * len(inversion.keys) for prompt in (Prompt("blue", wishes=("red",)), Prompt("red")))
    assert torch.equal(transport.edit(inversion, said).image_BCHW, transport.edit(inversion, plain).image_BCHW)


def test_every_wish_is_checked_before_an_edit_and_not_the_sentence(transport: Transport) -> None:
    transport.check([Prompt("no colour, which CLIP here cannot read", wishes=("red", "blue"))])
    assert set(transport._maps) == {"red", "blue"}
    with pytest.raises(ValueError, match="wishes 'red' and 'Red' say the same"):
        transport.check([Prompt("blue", wishes=("red", "Red"))])


@pytest.mark.parametrize("method", [name for name, row in EDITORS.items() if not (row.combines_wishes or row.base)])
def test_other_methods_refuse_wishes(method: str, make_models: Callable[..., Models], inversion: Inversion) -> None:
    row, wishing = spec(method), Prompt("red", wishes=("red", "blue"))
    prompt = Prompt("red") if row.scope is FitScope.PROMPT else None
    editor = row.build(row.resolve({}), prompt, make_models())
    with pytest.raises(ValueError, match="'red': this method edits towards one text and cannot combine wishes"):
        editor.edit(inversion, [wishing] * len(inversion.keys))
    with pytest.raises(ValueError, match="cannot combine wishes"):
        editor.check([wishing])


@pytest.mark.parametrize(
    "method", [name for name, row in EDITORS.items() if row.base and row.combines(row.resolve({}))]
)
def test_a_method_that_combines_wishes_edits_the_same_in_any_order(
    method: str, models: Models, inversion: Inversion
) -> None:
    prompts = [Prompt("red", wishes=wishes) for wishes in (("blue", "red"), ("red", "blue"))]
    one, other = (build(method, models, prompt=prompt) for prompt in prompts)
    one, other = (
        editor.edit(inversion, [prompt] * len(inversion.keys)).image_BCHW
        for editor, prompt in zip((one, other), prompts, strict=True)
    )
    assert torch.equal(one, other)


def test_clip_reads_every_wish() -> None:
    for row in EDITORS.values():
        if row.combines(row.resolve({})):
            assert {RED, SMILE} <= set(row.texts(row.resolve({}), Prompt("x", wishes=(RED, SMILE))))
