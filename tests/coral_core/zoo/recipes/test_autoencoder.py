import numpy as np
import torch

from coral_core.nets.encoder import Encoder, EncoderConfig
from coral_core.nets.stylegan2 import Generator, GeneratorConfig
from coral_core.zoo.portraits.corpus import CorpusBatch, scene_arrays, to_images
from coral_core.zoo.portraits.domain import SEGMENTS, sample
from coral_core.zoo.recipes.autoencoder import psnr, rarity_weights, recentre, segment_geometry, update_ema

SCENES = [sample(seed) for seed in range(8)]


def labels() -> torch.Tensor:
    return torch.from_numpy(np.stack([scene.labels() for scene in SCENES])).long()


def test_rare_segments_have_larger_weights_and_the_mean_is_one() -> None:
    weight = rarity_weights(labels())
    torch.testing.assert_close(weight.mean(), torch.tensor(1.0))
    mouth, background = (weight[:, 0][labels() == SEGMENTS.index(name)] for name in ("mouth", "background"))
    assert mouth.min() > 3 * background.max()


def test_centres_and_areas_are_those_of_the_segments() -> None:
    blank = torch.zeros(1, 64, 64, dtype=torch.long)
    blank[0, 16:32, 48:64] = SEGMENTS.index("hat")
    x, y, side = segment_geometry(blank).view(3, len(SEGMENTS))[:, SEGMENTS.index("hat")]
    axis = torch.linspace(-1, 1, 64)
    torch.testing.assert_close(
        torch.stack([x, y, side]), torch.stack([axis[48:].mean(), axis[16:32].mean(), torch.tensor(0.25)])
    )
    assert segment_geometry(blank).view(3, -1)[:, SEGMENTS.index("mouth")].abs().sum() == 0


def test_recentring_moves_the_mean_into_w_avg_and_changes_no_latent() -> None:
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(w_dim=12, widths=(4, 8, 8, 8), head_width=8)).eval()
    generator = Generator(GeneratorConfig(z_dim=4, w_dim=12, mapping_layers=1, channels=(4,) * 5))
    images, segments, values, visible = scene_arrays(SCENES, 64)
    batch = CorpusBatch(
        to_images(images), torch.from_numpy(segments), torch.from_numpy(values), torch.from_numpy(visible)
    )
    before, _ = encoder(batch.image_BCHW)
    recentre(generator, encoder, batch)
    after, taps = encoder(batch.image_BCHW)
    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(encoder.heads(taps)[0].mean((0, 1)), torch.zeros(12), atol=1e-5, rtol=0)
    assert torch.equal(generator.w_avg, encoder.w_avg)


def test_the_average_follows_the_network() -> None:
    mean, network = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    wanted = 0.9 * mean.weight.detach() + 0.1 * network.weight.detach()
    update_ema(mean, network, 0.9)
    torch.testing.assert_close(mean.weight.detach(), wanted)


def test_psnr_by_hand() -> None:
    assert abs(psnr(torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.2)) - 20.0) < 1e-4
