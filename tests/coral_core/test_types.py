import torch

from coral_core.types import SampleRng


def test_a_samples_stream_does_not_depend_on_its_batch() -> None:
    together = SampleRng(("a", "b", "c"), seed=3)
    alone = SampleRng(("b",), seed=3)
    assert torch.equal(together.randn(4, 2)[1], alone.randn(4, 2)[0])
    assert torch.equal(together.rand(5)[1], alone.rand(5)[0])
    assert torch.equal(together.randint(100, 5)[1], alone.randint(100, 5)[0])


def test_each_draw_continues_the_random_sequence() -> None:
    rng = SampleRng(("a", "b"))
    assert not torch.equal(rng.randn(8), rng.randn(8))


def test_keys_and_seeds_make_different_streams() -> None:
    draws = [SampleRng((key,), seed).randn(8) for key in ("a", "b") for seed in (0, 1)]
    assert all(not torch.equal(x, y) for i, x in enumerate(draws) for y in draws[:i])
