import pytest
import torch

from coral_core.nets.stylegan2 import Generator, GeneratorConfig

SIZES = {16: (12, 8, 4), 64: (12, 12, 8, 8, 4)}


def make(image_size: int = 16) -> Generator:
    torch.manual_seed(0)
    config = GeneratorConfig(image_size=image_size, z_dim=6, w_dim=10, mapping_layers=2, channels=SIZES[image_size])
    generator = Generator(config).eval()
    for conv in generator.convs:
        torch.nn.init.constant_(conv.noise_strength, 0.3)
    return generator


def two_styles(generator: Generator) -> tuple:
    ws = torch.randn(2, 3, generator.num_ws, generator.w_dim)
    return generator.styles(ws[0]), generator.styles(ws[1])


def masks_of(generator: Generator, value: float) -> tuple:
    return tuple(torch.full((3, 1, size, size), value) for size in generator.conv_sizes)


@pytest.mark.parametrize("image_size", SIZES)
def test_layout_of_w_and_s_space(image_size: int) -> None:
    generator = make(image_size)
    doublings = image_size.bit_length() - 1
    styles = generator.styles(generator.map(torch.randn(3, 6)))
    assert generator.num_ws == 2 * doublings - 2
    assert len(styles) == 3 * doublings - 4
    assert len(generator.conv_sizes) == len(generator.conv_channels) == 2 * doublings - 3
    assert generator.render(styles).shape == (3, 3, image_size, image_size)
    assert styles[0].shape == styles[1].shape == (3, SIZES[image_size][0])


def test_a_torgb_shares_its_w_with_the_next_blocks_first_convolution() -> None:
    generator = make()
    ws = torch.randn(1, generator.num_ws, generator.w_dim)
    changed = ws.clone()
    changed[:, 1] += 1
    pairs = zip(generator.styles(ws), generator.styles(changed), strict=True)
    assert [index for index, (a, b) in enumerate(pairs) if not torch.equal(a, b)] == [1, 2]


def test_masks_of_ones_equal_the_plain_edit_and_zeros_return_the_original_bit_for_bit() -> None:
    generator = make()
    styles, edited = two_styles(generator)
    assert torch.equal(generator.render(styles, edited, masks_of(generator, 1.0)), generator.render(edited))
    assert torch.equal(generator.render(styles, edited), generator.render(edited))
    assert torch.equal(generator.render(styles, edited, masks_of(generator, 0.0)), generator.render(styles))


def test_a_mask_of_the_left_half_changes_pixels_only_there() -> None:
    generator = make()
    styles, edited = two_styles(generator)
    masks = list(masks_of(generator, 0.0))
    masks[-1][:, :, :, :8] = 1.0  # the last convolution alone: nothing spreads after it but a 1x1 toRGB
    changed = (generator.render(styles, edited, tuple(masks)) - generator.render(styles)).abs().sum(1)
    assert (changed[:, :, 8:] == 0).all()
    assert (changed[:, :, :8] > 0).all()


def test_features_are_those_of_the_convolutions_and_do_not_change_the_image() -> None:
    generator = make()
    styles, _ = two_styles(generator)
    features: list[torch.Tensor] = []
    image = generator.render(styles, features=features)
    shapes = [tuple(feature.shape[1:]) for feature in features]
    assert shapes == [(c, s, s) for c, s in zip(generator.conv_channels, generator.conv_sizes, strict=True)]
    assert torch.equal(image, generator.render(styles))


def test_modulating_activations_equals_modulating_weights() -> None:
    conv = make().convs[1].conv
    x, style = torch.randn(2, 12, 4, 4), torch.randn(2, 12)
    weight = conv.weight * conv.scale * style[:, None, :, None, None]
    weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    one_by_one = [
        torch.nn.functional.conv_transpose2d(x[i : i + 1], weight[i].transpose(0, 1), stride=2) for i in range(2)
    ]
    from coral_core.ops.upfirdn2d import blur_after_transpose

    torch.testing.assert_close(conv(x, style), blur_after_transpose(torch.cat(one_by_one)), atol=1e-5, rtol=1e-4)


def test_truncation_interpolates_towards_the_average_latent() -> None:
    generator = make()
    generator.w_avg.normal_()
    z = torch.randn(3, 6)
    assert torch.equal(generator.map(z, 0.0), generator.w_avg.expand(3, generator.num_ws, -1))
    half = (generator.map(z, 1.0) + generator.w_avg) / 2
    torch.testing.assert_close(generator.map(z, 0.5), half)


def test_the_same_latent_gives_the_same_bytes_in_any_batch() -> None:
    generator = make(64)
    ws = torch.randn(5, generator.num_ws, generator.w_dim)
    together = generator.render(generator.styles(ws))
    assert torch.equal(together, generator.render(generator.styles(ws)))
    alone = torch.cat([generator.render(generator.styles(ws[i : i + 1])) for i in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda g, s: g.styles(torch.zeros(1, 3, 10)), r"wants \[B, 6, 10\]"),
        (lambda g, s: g.render(s, None, masks_of(g, 1.0)), "masks need edited styles"),
        (lambda g, s: g.render(s, s, masks_of(g, 1.0)[1:]), "one mask per convolution"),
    ],
)
def test_wrong_arguments_are_refused_with_the_expected_shape(edit: object, message: str) -> None:
    generator = make()
    with pytest.raises(ValueError, match=message):
        edit(generator, two_styles(generator)[0])  # type: ignore[operator]


def test_sizes_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="describe 16 px, image_size is 64"):
        GeneratorConfig(image_size=64, channels=(8, 8, 8))
