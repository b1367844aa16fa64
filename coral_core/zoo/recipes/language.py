"""The recipe of CLIP: it is known whether each caption is true of each image of the batch.

The usual loss has the caption of an image as its only positive, although "a person with red hair" is true of an eighth
of the batch. Here every true pair is a positive and only false pairs are negatives:
    loss = mean over true pairs of log(1 + sum over false pairs exp(s_false - s_true)),
over images for a caption and over captions for an image (a multi-positive InfoNCE, cf. Khosla et al. 2020). A batch
has captions of its images and one sentence for every value of every attribute; each image is also classified among the
values of each attribute (cross-entropy). Three linear classifiers (readers) are trained as well and not exported: the
one on the last feature map of the vision tower makes it encode small features earlier than pooled captions would; those
on the two embeddings make both towers distinguish all values. Without them mouths and brows stay at chance level: while
the texts do not distinguish them the images need not, and vice versa (a saddle point of both towers).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.bundle.weights import read_header
from coral_core.clip import ClipSpace
from coral_core.zoo.portraits.attributes import WIDTHS, AttributeHead, attribute_loss
from coral_core.zoo.portraits.corpus import ATTRIBUTES, VALUES, CorpusBatch
from coral_core.zoo.portraits.domain import LEXICON, SPLITS, make_sentence, sample
from coral_core.zoo.portraits.vocabulary import learn_merges
from coral_core.zoo.recipes.augment import degrade
from coral_core.zoo.recipes.base import Recipe
from coral_core.zoo.recipes.classifiers import summarise

MAX_LOG_SCALE = math.log(
    40.0
)  # of the log of the logit scale; larger scales overfit and make the gradients of edits small
FACT_COUNTS = (0, 1, 2, 3, 4, 6, len(ATTRIBUTES))  # numbers of facts in a training caption
FACT_WEIGHTS = (0.06, 0.14, 0.25, 0.2, 0.15, 0.1, 0.1)  # their probabilities
READER_SCALE = 16.0  # factor of the unit vectors that the readers get
IMAGES_PER_CAPTION = 2  # one image of this many gets a caption


class ClipRecipe(Recipe):
    """open_clip's own classes: a modified ResNet for 128 px and a small causal text transformer."""

    default_steps = 1500
    default_batch_size = 96
    learning_rate = 1.5e-3
    weight_decay = 0.05

    def build(self) -> None:
        self.config: dict[str, Any] = {
            "embed_dim": 128,
            "vision_cfg": {"image_size": 128, "layers": (2, 2, 2, 2), "width": 16, "head_width": 64},
            "text_cfg": {"context_length": 80, "width": 128, "heads": 4, "layers": 3},
            "merges": self._merges(),
        }
        self.network = ClipSpace(self.config)
        open_residual_branches(self.network.network.visual)
        vision = self.config["vision_cfg"]
        self.map_reader = AttributeHead(32 * vision["width"], vision["image_size"] // 32)
        self.image_reader = nn.Linear(self.config["embed_dim"], sum(WIDTHS))
        self.text_reader = nn.Linear(self.config["embed_dim"], sum(WIDTHS))

    def _merges(self) -> Sequence[str]:
        """The shipped vocabulary, which the shipped weights need, or a new one."""
        shipped = self.context.weights / "clip.safetensors"
        return read_header(shipped).config["merges"] if shipped.exists() else learn_merges(vocabulary_sentences())

    def losses(self, rng: np.random.Generator) -> dict[str, Tensor]:
        batch = self.train_corpus.draw(rng, self.context.batch_size).to(self.context.device)
        values, value_facts_KA = value_sentences(rng)
        captions, caption_facts_KA = draw_captions(batch, rng, self.context.batch_size // IMAGES_PER_CAPTION)
        map_BCHW, image_BE = self.map_and_embedding(degrade(batch.image_BCHW, rng))
        text_KE = torch.cat([self.encode(values), self.encode(captions)])
        every_value = torch.arange(len(values), device=text_KE.device)
        facts_KA = torch.cat([value_facts_KA, caption_facts_KA]).to(self.context.device)
        scale = self.network.network.logit_scale.clamp(max=MAX_LOG_SCALE).exp()
        scores_BK, truth_BK = scale * image_BE @ text_KE.T, truth_matrix(batch, facts_KA)
        return {
            "map_reader": 0.5 * attribute_loss(self.map_reader(map_BCHW), batch),
            "image_reader": attribute_loss(self.image_reader(READER_SCALE * image_BE), batch),
            "text_reader": 0.5 * F.cross_entropy(self.text_reader(READER_SCALE * text_KE[: len(values)]), every_value),
            "values": 2.0 * attribute_loss(scores_BK[:, : len(values)], batch),
            "images": 0.5 * multi_positive(scores_BK, truth_BK),
            "texts": 0.5 * multi_positive(scores_BK.T, truth_BK.T),
        }

    def map_and_embedding(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """The last feature map of the vision tower, and the embedding [B,E] pooled from it."""
        maps: list[Tensor] = []
        tower: Any = self.network.network.visual
        hook = tower.layer4.register_forward_hook(lambda module, inputs, output: maps.append(output))
        embedding_BE = self.network.image(image_BCHW)
        hook.remove()
        return maps[0], embedding_BE

    def encode(self, sentences: Sequence[str]) -> Tensor:
        """Unit vectors [K,E] with gradients, computed for the length of the longest sentence, not the whole context."""
        tokens = self.network.tokens(sentences)
        longest = int((tokens != 0).sum(1).max())
        return F.normalize(encode_text(self.network.network, tokens[:, :longest]).float(), dim=1)

    def exports(self) -> Mapping[str, tuple[nn.Module, Any]]:
        return {"clip": (self.network, self.config)}

    def metrics(self) -> dict[str, float]:
        self.network.forget_texts()
        batch = self.dev_corpus.take(slice(None)).to(self.context.device)
        image_BE = torch.cat([self.network.image(part) for part in batch.image_BCHW.split(128)])
        accuracy = zero_shot(self.network, image_BE, batch)
        return {"retrieval_256": retrieval(self.network, image_BE, batch), **summarise(accuracy)}


def open_residual_branches(tower: Any) -> None:
    """Set the last batch-norm weight of every residual block to 1.

    open_clip starts them at zero, for long trainings of deep towers. In a thousand steps such a tower hardly learns
    more than its skip connections compute, which are colours but no shapes.
    """
    for stage in (tower.layer1, tower.layer2, tower.layer3, tower.layer4):
        for block in stage:
            nn.init.ones_(block.bn3.weight)


def encode_text(network: Any, tokens_KT: Tensor) -> Tensor:
    """open_clip's encode_text for sentences cut to the longest of the batch: the rest is padding after the end token,
    which a causal transformer does not use."""
    length = tokens_KT.shape[1]
    x = network.token_embedding(tokens_KT) + network.positional_embedding[:length]
    x = network.ln_final(network.transformer(x, attn_mask=network.attn_mask[:length, :length]))
    pooled: Tensor = x[torch.arange(len(x)), tokens_KT.argmax(1)] @ network.text_projection
    return pooled


def multi_positive(scores_MN: Tensor, truth_MN: Tensor) -> Tensor:
    """Mean over rows of the mean over their true columns of softplus(logsumexp(false scores) - true score)."""
    false_M1 = scores_MN.masked_fill(truth_MN, -torch.inf).logsumexp(1, keepdim=True)
    pairs_MN = F.softplus(false_M1.clamp(min=-1e4) - scores_MN) * truth_MN
    counts_M = truth_MN.sum(1)
    return (pairs_MN.sum(1) / counts_M.clamp(min=1))[counts_M > 0].mean()


def truth_matrix(batch: CorpusBatch, facts_KA: Tensor) -> Tensor:
    """bool [B,K]: whether every fact of caption k (-1: not mentioned) is visible and true in image b."""
    agrees_BKA = (batch.values_BA[:, None] == facts_KA) & batch.visible_BA[:, None]
    return (agrees_BKA | (facts_KA < 0)).all(2)


def value_sentences(rng: np.random.Generator) -> tuple[list[str], Tensor]:
    """A sentence for every value of every attribute, in order, and its fact as value indices [K,A]."""
    words = random.Random(int(rng.integers(2**31)))
    pairs = [(a, v) for a, values in enumerate(VALUES) for v in range(len(values))]
    facts_KA = torch.full((len(pairs), len(ATTRIBUTES)), -1)
    for row, (a, v) in enumerate(pairs):
        facts_KA[row, a] = v
    return [make_sentence({ATTRIBUTES[a]: VALUES[a][v]}, words) for a, v in pairs], facts_KA


def draw_captions(batch: CorpusBatch, rng: np.random.Generator, count: int) -> tuple[list[str], Tensor]:
    """Captions of the first images, each of a random subset of the visible attributes, and their facts as value
    indices [count,A]."""
    words = random.Random(int(rng.integers(2**31)))
    sizes = rng.choice(FACT_COUNTS, size=count, p=FACT_WEIGHTS)
    values_BA, visible_BA = batch.values_BA[:count].tolist(), batch.visible_BA[:count].tolist()
    facts_KA = torch.full((count, len(ATTRIBUTES)), -1)
    texts = []
    for k, (values, visible) in enumerate(zip(values_BA, visible_BA, strict=True)):
        shown = [a for a, is_shown in enumerate(visible) if is_shown]
        chosen = words.sample(shown, min(int(sizes[k]), len(shown)))
        facts_KA[k, chosen] = torch.tensor([values[a] for a in chosen], dtype=torch.long)
        texts.append(make_sentence({ATTRIBUTES[a]: VALUES[a][values[a]] for a in chosen}, words))
    return texts, facts_KA


def vocabulary_sentences(count: int = 4000) -> list[str]:
    """Enough captions to contain every wording."""
    words = random.Random(0)
    facts = [{a: v} for a, values in LEXICON.items() for v in values if a != "hat_color"]
    facts += [{"hat": "beanie", "hat_color": v} for v in LEXICON["hat_color"]]
    single = [make_sentence(words.choice(facts), words) for _ in range(count)]
    return single + [sample(seed).caption(words).text for seed in SPLITS["train"][: count // 10]]


def zero_shot(clip: ClipSpace, image_BE: Tensor, batch: CorpusBatch) -> dict[str, float]:
    """Per attribute: how often the nearest text, of all wordings of all values, has the right value. 0 to 1."""
    accuracy = {}
    for a, attribute in enumerate(ATTRIBUTES):
        sentences, value_indices = wordings(attribute)
        nearest = (image_BE @ clip.text(sentences).T).argmax(1)
        found = torch.tensor(value_indices, device=nearest.device)[nearest]
        shown = batch.visible_BA[:, a]
        accuracy[attribute] = (found == batch.values_BA[:, a])[shown].float().mean().item()
    return accuracy


def wordings(attribute: str) -> tuple[list[str], list[int]]:
    """A sentence for every wording of an attribute, and the index of the value of each."""
    pairs = [
        (phrase(attribute, wording), index)
        for index, value in enumerate(LEXICON[attribute])
        for wording in LEXICON[attribute][value]
    ]
    return [text for text, _ in pairs], [index for _, index in pairs]


def phrase(attribute: str, wording: str) -> str:
    """A simple sentence with a wording."""
    if attribute == "hat_color":
        return f"a person with a {wording} hat"
    if attribute == "background":
        return f"a person in front of {wording}"
    return f"a person who {wording}" if wording.startswith("is ") else f"a person with {wording}"


def retrieval(clip: ClipSpace, image_BE: Tensor, batch: CorpusBatch, count: int = 256) -> float:
    """Recall at 1 of image-to-caption retrieval among `count` captions that mention all visible attributes."""
    words = random.Random(0)
    captions: Sequence[str] = [
        make_sentence({ATTRIBUTES[a]: VALUES[a][v] for a, v in enumerate(row) if shown[a]}, words)
        for row, shown in zip(batch.values_BA[:count].tolist(), batch.visible_BA[:count].tolist(), strict=True)
    ]
    nearest = (image_BE[:count] @ clip.text(captions).T).argmax(1).cpu()
    return (nearest == torch.arange(len(captions))).float().mean().item()
