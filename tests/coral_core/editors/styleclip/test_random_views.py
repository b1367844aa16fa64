from __future__ import annotations

import torch

from coral_core.editors.styleclip.random_views import Views, resampling
from coral_core.types import SampleRng

STILL = Views(shift=0.0, scale=0.0, noise=0.0)


def test_views_with_zero_ranges_are_the_image_itself() -> None:
    image_BCHW = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(STILL.draw(image_BCHW, SampleRng(("a", "b"))), image_BCHW)


def test_a_view_depends_on_its_sample_only() -> None:
    image_BCHW, views = torch.rand(3, 3, 16, 16), Views(shift=0.1, scale=0.1, noise=0.1)
    together = views.draw(image_BCHW, SampleRng(("a", "b", "c"), 5))
    alone = views.draw(image_BCHW[1:2], SampleRng(("b",), 5))
    torch.testing.assert_close(together[1:2], alone)
    assert not torch.equal(alone, views.draw(image_BCHW[1:2], SampleRng(("b",), 6)))


def test_a_shift_moves_pixels_and_repeats_the_border() -> None:
    row_N = torch.arange(8.0)
    moved_N = resampling(8, torch.ones(1), torch.tensor([2.0]))[0] @ row_N
    assert moved_N.tolist() == [2, 3, 4, 5, 6, 7, 7, 7]


def test_a_zoom_keeps_the_centre_and_the_brightness() -> None:
    matrix_NN = resampling(9, torch.tensor([0.5]), torch.zeros(1))[0]
    torch.testing.assert_close(matrix_NN.sum(1), torch.ones(9))
    assert (matrix_NN @ torch.arange(9.0)).tolist() == [2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6]


def test_gradients_reach_the_image() -> None:
    image_BCHW = torch.rand(1, 3, 16, 16, requires_grad=True)
    view = Views(shift=0.1, scale=0.1, noise=0.1).draw(image_BCHW, SampleRng(("a",)))
    (gradient,) = torch.autograd.grad(view.sum(), image_BCHW)
    assert gradient[:, :, 4:12, 4:12].all()
