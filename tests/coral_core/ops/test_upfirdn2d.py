import numpy as np
import pytest
import torch

from coral_core.ops.upfirdn2d import blur_after_transpose, blur_before_stride, upfirdn2d, upsample2x

TAPS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def reference(x: np.ndarray, up: int, down: int, pad: tuple[int, int], gain: float) -> np.ndarray:
    """The definition, computed per pixel: zero-stuff, pad, correlate with the symmetric filter, decimate."""
    batch, channels, height, width = x.shape
    stuffed = np.zeros((batch, channels, height * up, width * up))
    stuffed[:, :, ::up, ::up] = x
    padded = np.pad(stuffed, ((0, 0), (0, 0), pad, pad))
    rows, columns = padded.shape[2] - 3, padded.shape[3] - 3
    out = np.zeros((batch, channels, rows, columns))
    for i in range(rows):
        for j in range(columns):
            out[:, :, i, j] = (padded[:, :, i : i + 4, j : j + 4] * TAPS * gain).sum((2, 3))
    return out[:, :, ::down, ::down]


@pytest.mark.parametrize(
    ("up", "down", "pad", "gain"), [(1, 1, (1, 1), 4.0), (2, 1, (2, 1), 4.0), (1, 2, (2, 2), 1.0), (2, 2, (3, 0), 1.0)]
)
def test_agrees_with_the_definition(up: int, down: int, pad: tuple[int, int], gain: float) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 5))
    got = upfirdn2d(torch.from_numpy(x).float(), up, down, pad, gain).numpy()
    np.testing.assert_allclose(got, reference(x, up, down, pad, gain), atol=1e-5)


def test_upsampling_keeps_a_constant_image_constant_away_from_the_border() -> None:
    up = upsample2x(torch.ones(1, 2, 8, 8))
    assert up.shape == (1, 2, 16, 16)
    torch.testing.assert_close(up[:, :, 2:-2, 2:-2], torch.ones(1, 2, 12, 12))


@pytest.mark.parametrize("size", [4, 16])
def test_resampling_around_convolutions_gives_exact_sizes(size: int) -> None:
    wide = torch.nn.functional.conv_transpose2d(torch.rand(1, 2, size, size), torch.rand(2, 3, 3, 3), stride=2)
    assert blur_after_transpose(wide).shape == (1, 3, 2 * size, 2 * size)
    for kernel in (1, 3):
        blurred = blur_before_stride(torch.rand(1, 2, size, size), kernel)
        narrow = torch.nn.functional.conv2d(blurred, torch.rand(2, 2, kernel, kernel), stride=2)
        assert narrow.shape == (1, 2, size // 2, size // 2)


def test_gradients_are_those_of_the_definition() -> None:
    x = torch.rand(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda image: upfirdn2d(image, 2, 1, (2, 1), 4.0), x)
