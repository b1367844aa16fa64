"""`coral bench models`: the quality of every network of a bundle, on scenes that no network was trained with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from coral_core.bundle.catalog import Bundle, read_bundle
from coral_core.bundle.models import Models, load_models
from coral_core.inversion import invert
from coral_core.types import Inversion, SampleRng, concat_inversions
from coral_core.zoo.measure.coverage import precision_recall
from coral_core.zoo.measure.ground_truth import succeeded
from coral_core.zoo.measure.legibility import load_legible
from coral_core.zoo.portraits.attributes import AttributeReader
from coral_core.zoo.portraits.corpus import ATTRIBUTES, VALUES, Corpus, CorpusBatch, load_corpus
from coral_core.zoo.portraits.domain import SEGMENTS
from coral_core.zoo.recipes.autoencoder import psnr
from coral_core.zoo.recipes.classifiers import mean_iou
from coral_core.zoo.recipes.identity import load_views, verification_auc
from coral_core.zoo.recipes.language import retrieval, zero_shot
from pipelines.bench.cases import SceneSelection, cases_of, select_scenes
from pipelines.bench.judges import Judges, load_judges
from pipelines.bench.latent_search import guided, latent_std, refined
from pipelines.bench.prompts import read_prompts
from pipelines.bench.visible_spread import frequencies, ratios, visible_values
from tasks.images.tensors import tensor_of

Figures = dict[str, float | None]
BATCH = 64
"""Images per batch."""


@dataclass(frozen=True, kw_only=True)
class ModelsConfig:
    """The bundle, and sizes of the measurement; smaller sizes than the defaults are for tests."""

    bundle: str = "portraits"
    device: str = "cpu"
    folder: Path = Path("runs/bench")  # rendered scenes
    scenes: int = 1024  # held-out renders
    samples: int = 4096  # of the generator, and of rendered scenes to compare with
    persons: int = 256  # of identity verification
    refined: int = 64  # scenes inverted with optimisation
    refine_steps: int = 50
    guided: int = 32  # candidates for CLIP guidance
    guided_cases: int = 8  # of them, scored per prompt
    guide_steps: int = 100


@dataclass(frozen=True)
class Subject:
    """A loaded bundle, its judges, and held-out scenes."""

    config: ModelsConfig
    bundle: Bundle
    models: Models
    judges: Judges
    corpus: Corpus
    load_seconds: float

    def scenes(self, count: int | None = None) -> CorpusBatch:
        """The first held-out scenes."""
        return self.corpus.take(slice(0, count or self.config.scenes)).to(self.models.device)

    def inverted(self, image_NCHW: Tensor) -> Inversion:
        """The inversions of images, one pass of the encoder."""
        parts = [invert(self.models, [""] * len(part), part) for part in image_NCHW.split(BATCH)]
        return concat_inversions(parts)


def measure_models(
    config: ModelsConfig, on_done: Callable[[str, float], None] = lambda name, seconds: None
) -> dict[str, Figures]:
    """Network -> figure -> value; None for a network that the bundle lacks."""
    subject = open_subject(config)
    found: dict[str, Figures] = {}
    for name, measure in NETWORKS.items():
        started = time.monotonic()
        found[name] = measure(subject)
        on_done(name, time.monotonic() - started)
    return found


def open_subject(config: ModelsConfig) -> Subject:
    """Load the bundle, measure the time of that, and render the scenes."""
    bundle = read_bundle(config.bundle)
    started = time.perf_counter()
    models = load_models(config.bundle, config.device)
    seconds = time.perf_counter() - started
    judges = load_judges(bundle.path, models.device)
    count = max(config.scenes, config.samples)
    corpus = load_corpus("dev", count, config.folder / "corpus", models.image_size)
    return Subject(config, bundle, models, judges, corpus, seconds)


def of_bundle(subject: Subject) -> Figures:
    """Size of all weight files in 10^6 bytes, and seconds to load them."""
    size = sum(path.stat().st_size for path in subject.bundle.path.glob("*.safetensors"))
    return {"megabytes": size / 1e6, "load_seconds": subject.load_seconds}


def of_judge(subject: Subject) -> Figures:
    """Accuracy over the scenes in which an attribute has at least 6 visible pixels."""
    return _legible_accuracy(subject, subject.judges.first)


def of_second_judge(subject: Subject) -> Figures:
    """Accuracy as for the first judge; None without a second judge."""
    if subject.judges.second is None:
        return {"accuracy_mean": None, "accuracy_worst": None}
    return _legible_accuracy(subject, subject.judges.second)


def _legible_accuracy(subject: Subject, judge: AttributeReader) -> Figures:
    batch = subject.scenes()
    legible_NA = load_legible("dev", len(batch.image_BCHW), subject.config.folder / "corpus")
    return summary("accuracy", accuracy(judge.read(batch.image_BCHW), batch.values_BA, legible_NA))


@torch.no_grad()
def of_clip_words(subject: Subject) -> Figures:
    """Zero-shot accuracy with all wordings mixed, and retrieval of full captions."""
    clip, batch = subject.models.clip, subject.scenes()
    image_NE = torch.cat([clip.image(part) for part in batch.image_BCHW.split(BATCH)])
    by_attribute = summary("zero_shot", zero_shot(clip, image_NE, batch))
    return {**by_attribute, "retrieval_256": retrieval(clip, image_NE, batch)}


def of_clip(subject: Subject) -> Figures:
    """The figures of of_clip_words, and the success of CLIP guidance alone on dev scenes."""
    return {**of_clip_words(subject), **_guidance(subject)}


def _guidance(subject: Subject) -> Figures:
    """Judged success of guidance per dev prompt, and the mean over the prompts that apply to at least one scene."""
    scenes, inversion = select_scenes(subject.models, SceneSelection(scenes=subject.config.guided))
    std_D = latent_std(inversion)
    found: dict[str, float] = {}
    for prompt in read_prompts("dev"):
        cases = cases_of(scenes, inversion, prompt.wants, most=subject.config.guided_cases)
        if cases is not None:
            image_NCHW = guided(subject.models, cases.inversion, prompt.prompt, std_D, subject.config.guide_steps)
            reads = subject.judges.first.read(image_NCHW)
            found[prompt.id] = sum(succeeded(read, prompt.wants) for read in reads) / len(reads)
    return summary("guidance", found)


@torch.no_grad()
def of_generator(subject: Subject) -> Figures:
    """Ratios of judged attribute frequencies, and precision and recall in judge features.

    The frequencies of rendered scenes are judged too, because a judge can only guess hair under a hat.
    """
    judge, count = subject.judges.first, subject.config.samples
    made_NCHW = generated(subject.models, count)
    real_NCHW = subject.scenes(count).image_BCHW
    made, domain = (frequencies(visible_values(judge.read(images))) for images in (made_NCHW, real_NCHW))
    found = ratios(made, domain)
    precision, recall = precision_recall(judge.features(made_NCHW), judge.features(real_NCHW))
    worst = {f"frequency_ratio:{name}": value for name, value in found.items()}
    return {"frequency_ratio_worst": max(found.values()), "precision": precision, "recall": recall, **worst}


@torch.no_grad()
def generated(models: Models, count: int) -> Tensor:
    """Seeded samples of the generator, [count,3,H,W]."""
    rng = SampleRng(tuple(f"sample-{index}" for index in range(count)))
    z_NZ = rng.randn(models.generator.z_dim).to(models.device)
    styles = (models.generator.styles(models.generator.map(part)) for part in z_NZ.split(BATCH))
    return torch.cat([models.generator.render(part).clamp(-1, 1) for part in styles])


def of_encoder(subject: Subject) -> Figures:
    """PSNR [dB] of inversions, before and after optimisation, and the share of visible attributes that are kept."""
    batch = subject.scenes()
    found = subject.inverted(batch.image_BCHW)
    few = subject.inverted(batch.image_BCHW[: subject.config.refined])
    best_NCHW = refined(subject.models, few, latent_std(found), subject.config.refine_steps)
    reads = subject.judges.first.read(found.recon_BCHW)
    kept = summary("kept", accuracy(reads, batch.values_BA, batch.visible_BA.cpu().numpy()))
    return {
        "psnr": psnr(found.recon_BCHW, batch.image_BCHW),
        "psnr_refined": psnr(best_NCHW, few.image_BCHW),
        **kept,
    }


@torch.no_grad()
def of_segmenter(subject: Subject) -> Figures:
    """Intersection over union per segment; None for a network with other segments."""
    if tuple(subject.models.segmenter.segments) != SEGMENTS:
        return {"mean_iou": None}
    batch = subject.scenes()
    found_NHW = torch.cat([subject.models.segmenter(part).argmax(1) for part in batch.image_BCHW.split(BATCH)])
    scores = mean_iou(found_NHW, batch.labels_BHW)
    return {name if name == "mean_iou" else f"iou:{name}": value for name, value in scores.items()}


@torch.no_grad()
def of_identity(subject: Subject) -> Figures:
    """Area under the ROC curve, for pairs of views of the same person and of different persons."""
    views_PVHWC = load_views("dev", subject.config.persons, subject.config.folder / "corpus")
    first, second = (tensor_of(list(np.array(views_PVHWC[:, view]))).to(subject.models.device) for view in range(2))
    cosine_PP = subject.models.identity(first) @ subject.models.identity(second).T
    return {"verification_auc": verification_auc(cosine_PP)}


def accuracy(reads: list[dict[str, str]], values_NA: Tensor, counted_NA: np.ndarray) -> dict[str, float]:
    """Share of correct values per attribute, over the samples in counted_NA; attributes without any are left out."""
    truth = values_NA.tolist()
    found = {}
    for a, name in enumerate(ATTRIBUTES):
        right = [read[name] == VALUES[a][truth[n][a]] for n, read in enumerate(reads) if counted_NA[n, a]]
        if right:
            found[name] = sum(right) / len(right)
    return found


def summary(figure: str, parts: Mapping[str, float]) -> Figures:
    """Mean, minimum and all parts of a figure."""
    if not parts:
        return {f"{figure}_mean": None, f"{figure}_worst": None}
    mean = sum(parts.values()) / len(parts)
    each = {f"{figure}:{name}": value for name, value in parts.items()}
    return {f"{figure}_mean": mean, f"{figure}_worst": min(parts.values()), **each}


NETWORKS: Mapping[str, Callable[[Subject], Figures]] = {
    "bundle": of_bundle,
    "judge": of_judge,
    "judge2": of_second_judge,
    "clip": of_clip,
    "generator": of_generator,
    "encoder": of_encoder,
    "segmenter": of_segmenter,
    "identity": of_identity,
}
"""Network -> its measurement."""


def lines(found: Mapping[str, Figures]) -> Iterator[tuple[str, str, float | None]]:
    """(network, figure, value) of all figures, without their parts."""
    for network, figures in found.items():
        for figure, value in figures.items():
            if ":" not in figure:
                yield network, figure, value
