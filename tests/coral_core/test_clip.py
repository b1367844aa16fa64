from pathlib import Path

import pytest
import torch

import coral_core.clip
from coral_core.clip import ClipSpace, check_length
from coral_core.types import Prompt
from coral_core.zoo.random_bundle import CLIP_CONFIG


@pytest.fixture(scope="module")
def clip() -> ClipSpace:
    torch.manual_seed(0)
    return ClipSpace(CLIP_CONFIG).eval().requires_grad_(False)


def test_images_of_any_size_become_unit_vectors_with_gradients(clip: ClipSpace) -> None:
    for size in (16, 32, 80):
        image = torch.rand(2, 3, size, size, requires_grad=True)
        embedding = clip.image(image)
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))
        (gradient,) = torch.autograd.grad(embedding[:, 0].sum(), image)
        assert gradient.abs().sum() > 0


def test_texts_are_unit_vectors_and_do_not_depend_on_what_was_asked_before(clip: ClipSpace) -> None:
    together = clip.text(["a person", "red hair", "a person"])
    clip.forget_texts()
    torch.testing.assert_close(clip.text(["red hair"])[0], together[1])
    assert torch.equal(together[0], together[2])
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))


def test_a_direction_is_a_unit_vector_and_zero_between_equal_texts(clip: ClipSpace) -> None:
    there, back = clip.direction([Prompt("red hair", "a person"), Prompt("a person", "red hair")])
    torch.testing.assert_close(there, -back)
    torch.testing.assert_close(there.norm(), torch.tensor(1.0))
    assert clip.direction([Prompt("a person", "a person")]).abs().sum() == 0


def test_words_are_split_by_the_bundles_own_merges(clip: ClipSpace) -> None:
    assert clip.tokenizer.encode("the") != clip.tokenizer.encode("t h e")
    assert len(clip.tokenizer.encode("the")) == 1
    assert clip.tokenizer.decode(clip.tokenizer.encode("the cat")).strip() == "the cat"


@pytest.mark.parametrize("word", ["a", "the ", "thé ", "&amp;", "...", "x y"])
def test_a_text_is_refused_if_and_only_if_its_end_is_not_read(clip: ClipSpace, word: str) -> None:
    for count in range(40, 150):
        text = word * count
        read = clip.tokens([text])[0].tolist()
        whole = [clip.tokenizer.sot_token_id, *clip.tokenizer.encode(text), clip.tokenizer.eot_token_id]
        try:
            check_length([text], CLIP_CONFIG)
        except ValueError:
            assert read != whole
        else:
            assert read[: len(whole)] == whole


def test_where_a_text_is_cut_is_said() -> None:
    """Two texts that differ behind the cut are one text to CLIP."""
    with pytest.raises(ValueError, match=r"the text 'one two three .*\.\.\.' has \d+ tokens, .*'\.\.\..*the the'"):
        check_length(["red hair", "one two three " + "the " * 150 + "and a hat"], CLIP_CONFIG)


def test_no_tokenizer_is_built_for_short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coral_core.clip, "make_tokenizer", None)
    check_length(["red hair", "a person with a very long beard, curly hair, thin glasses"], CLIP_CONFIG)


def test_nothing_below_clip_imports_open_clip() -> None:
    root = Path(__file__).parents[2] / "coral_core"
    users = {
        p.relative_to(root).as_posix()
        for p in root.rglob("*.py")
        if "import open_clip" in p.read_text() or "from open_clip" in p.read_text()
    }
    assert users == {"clip.py"}
