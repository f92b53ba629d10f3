"""Writing a classifier for other programs: class features with a description, and an ONNX graph.

Letters: B images, N classes, H height, W width.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from yacs.config import CfgNode

from lamm.clip.catalogue import licence_of
from lamm.clip.text import PlainTextEncoder
from lamm.errors import ConfigError
from lamm.files import has_mark, require_place, temporary_beside, write_json
from lamm.inference.model import RunFolder, TrainedModel
from lamm.inference.onnx_file import (
    INPUT,
    INSTALL,
    OUTPUTS,
    ExportError,
    largest_difference,
    missing_for_onnx,
    write_onnx,
)
from lamm.run.record import versions
from lamm.scoring import Scoring


class ScoreGraph(nn.Module):
    """The scores of a classifier; prompts that don't depend on the image are a constant in it.

    Args:
        scoring: the classifier.
    """

    text: Tensor | None

    def __init__(self, scoring: Scoring) -> None:
        super().__init__()
        self._scoring = scoring
        # Registered, so that the exporter knows their tensors by name.
        self.clip, self.learner = scoring.clip, scoring.learner
        with torch.no_grad():
            fixed = None if scoring.learner.per_image else scoring.text_features()
        self.register_buffer("text", fixed)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities of images (B, 3, H, W). Shape: (B, N) each"""
        logits = self._scoring.scores(images, self.text)
        return logits, (logits / self._scoring.temperature).softmax(dim=-1)


class UnchunkedTextEncoder(PlainTextEncoder):
    """All prompts as a whole and at once: no decision depends on how many images there are."""

    def encode(
        self, prefix: Tensor, labels: Tensor, end: Tensor, deep: Sequence[Tensor] = (), packing: Any = None
    ) -> Tensor:
        """See `PlainTextEncoder.encode`. Shape: (G, N, E)"""
        return self._run(labels, end, prefix, deep)


@contextmanager
def exportable(scoring: Scoring) -> Iterator[ScoreGraph]:
    """The graph, while the learner's prompts are encoded in a way that an exporter can follow."""
    learner: Any = scoring.learner
    graph = ScoreGraph(scoring)
    if not learner.per_image:
        yield graph
        return
    encoder = learner.text_encoder
    learner.encode_with(UnchunkedTextEncoder(scoring.clip.text))
    try:
        yield graph
    finally:
        learner.encode_with(encoder)


@contextmanager
def files_written_together(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """A temporary folder to write files to; what the block leaves there moves to `folder` if it succeeds.

    Args:
        folder: made if missing.
        names: that may appear, the description of them all first; those in `folder` from before which the block did
            not make are removed, since they would belong to something else.

    Raises:
        ConfigError: `folder` is a file, or one of the names is there and not from an export.
        OSError: it can't be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: give a folder to write to")
    if not has_mark(folder / names[0], FORMAT):
        for file in filter(os.path.lexists, map(folder.joinpath, names)):
            require_place(file, FORMAT)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with temporary_beside(folder / "export", folder=True) as temporary:
            yield temporary
            for name in names:
                file = temporary / name
                if file.exists():
                    os.replace(file, folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)
    except OSError as error:
        error.filename = error.filename or str(folder)  # a full disk's error has none
        raise
    finally:
        with suppress(OSError):
            folder.rmdir()  # where nothing came of it, and nothing was there


def preprocessing_description(options: CfgNode) -> dict[str, Any]:
    """The steps from an image file to a tower's input.

    Args:
        options: the INPUT node.

    Raises:
        ConfigError: the config has steps that the description can't express.
    """
    if "instance_norm" in options.TRANSFORMS:
        raise ConfigError("INPUT.TRANSFORMS has instance_norm, which an exported classifier can't describe")
    height, width = options.SIZE
    normalises = "normalize" in options.TRANSFORMS
    return {
        "orientation": "as stored" if options.get("EXIF") == "ignore" else "turned as EXIF says",
        "depth": "8 bits; 16 bits from 0 to 65535, floats from 0 to 1, other 32-bit values from their min to their max",
        "transparency": "on white",
        "colour": "RGB",
        "resize": {
            "shorter_side": max(height, width),
            "interpolation": options.INTERPOLATION,
            "antialias": True,
            "longer_side": "in proportion, rounded down",
        },
        "centre_crop": {"height": height, "width": width},
        "scale": "pixels / 255",
        "mean": list(options.PIXEL_MEAN) if normalises else [0.0, 0.0, 0.0],
        "std": list(options.PIXEL_STD) if normalises else [1.0, 1.0, 1.0],
        "layout": "(batch, channel, height, width), float32",
    }


FORMAT = "lamm-classifier"
FORMAT_VERSION = 1
TENSORS, DESCRIPTION, GRAPH = "classifier.safetensors", "classifier.json", "classifier.onnx"
VISION_PROMPTS = (
    "the image tower runs with extra positions: vision_prompts.0 (positions, width) stands behind the patch tokens, "
    "without positional embedding, before the first layer norm (ln_pre); vision_prompts.i, i > 0, takes its place at "
    "the input of block i, counted from 0; later blocks keep what the block before put out; the positions are dropped "
    "after the last block"
)
NAMES = (DESCRIPTION, TENSORS, GRAPH, f"{GRAPH}.data")


def export(classifier: TrainedModel, run: RunFolder, folder: Path, onnx: bool = True) -> tuple[list[Path], list[str]]:
    """Write the files; earlier ones are replaced, or removed if this export has no such file.

    Args:
        classifier: on the CPU, in fp32.
        run: the run that it comes from.
        folder: where to; made if missing.
        onnx: whether an ONNX file is wanted; where its libraries are missing, a note says what to install.

    Returns:
        The files written, and notes for the user, one line each.

    Raises:
        ExportError: a classifier that only an ONNX file can hold, and none is wanted, or it can't be made.
        ConfigError: `folder` is a file, or the run's preprocessing can't be described.
    """
    lacking = missing_for_onnx() if onnx else None
    reason = why_only_a_graph(classifier.learner)
    if reason and (lacking or not onnx):
        raise ExportError(
            f"{run.cfg.TRAINER.NAME} {reason}: only an ONNX file can hold it, "
            f"{f'which needs {lacking}' if lacking else 'so leave --no-onnx out'}"
        )
    notes = [f"no {GRAPH}, which needs {lacking}"] if lacking else []
    description = _description(classifier, run)
    with files_written_together(folder, NAMES) as work:
        if not reason:
            (work / TENSORS).write_bytes(save(_tensors(classifier), {"format": FORMAT}))
        if onnx and not lacking:
            description["onnx"] = {"file": GRAPH, "inputs": [INPUT], "outputs": list(OUTPUTS)}
            size = classifier.clip.image_size
            with exportable(classifier) as graph:
                write_onnx(graph, size, work / GRAPH, {"description": json.dumps(description, ensure_ascii=False)})
            away = largest_difference(work / GRAPH, classifier.logits, size)
            if away is None:
                notes.append(f"{GRAPH} was not checked, since onnxruntime is missing: {INSTALL}")
            else:
                notes.append(f"{GRAPH} run by onnxruntime: logits at most {away:.1e} from ours")
        write_json(work / DESCRIPTION, description)
        files = [folder / name for name in NAMES if (work / name).exists()]
    return files, notes


def why_only_a_graph(learner: Any) -> str:
    """Why class features beside CLIP's image tower do not make a learner's scores; empty: they do."""
    if learner.per_image:
        return "makes its prompts for each image, so that it has no class features to write"
    if learner.changes_images and learner.vision_prompts() is None:
        return "has weights of its own in the image tower"
    return ""


@torch.no_grad()
def _tensors(classifier: TrainedModel) -> dict[str, Tensor]:
    """The class features, the logit scale, and what a head or the prompts of the image tower add, if any."""
    tensors = {
        "class_features": classifier.text_features()[0],
        "logit_scale": classifier.clip.logit_scale.reshape(()),
        **classifier.learner.exported()[0],
    }
    prompts = classifier.learner.vision_prompts()
    if prompts is not None:
        tensors |= {f"vision_prompts.{block}": value for block, value in enumerate([prompts.first, *prompts.deep])}
    return {name: value.detach().float().cpu().contiguous() for name, value in tensors.items()}


def _description(classifier: TrainedModel, run: RunFolder) -> dict[str, Any]:
    """What `classifier.json` says; the shapes are those of `classifier.safetensors`."""
    clip, learner, results = classifier.clip, classifier.learner, run.results
    scaled = classifier.temperature != 1
    backbone = run.cfg.MODEL.BACKBONE
    described: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "class_names": classifier.class_names,
        "backbone": {
            "name": clip.name,
            "image_size": clip.image_size,
            "embedding_size": clip.embed_dim,
            "licence_of_weights": licence_of(backbone.NAME, backbone.PATH),
        },
        "preprocessing": preprocessing_description(run.cfg.INPUT),
    }
    if learner.per_image:
        described["scores"] = "the class features depend on the image: they are made in the ONNX graph"
    elif why_only_a_graph(learner):
        described["scores"] = "the image tower has weights of its own: scores are made in the ONNX graph"
    else:
        described["tensors"] = {
            "file": TENSORS,
            "class_features": f"{(len(classifier.class_names), clip.embed_dim)}, unit length, one row per class name",
            "logit_scale": "natural logarithm of the inverse temperature",
        }
        further, formula = learner.exported()
        described["tensors"] |= {name: str(tuple(value.shape)) for name, value in further.items()}
        described["scores"] = {
            "image_features": "output of the backbone's image tower, divided by its Euclidean length",
            "logits": formula,
            "probabilities": f"softmax(logits / {classifier.temperature:g})" if scaled else "softmax(logits)",
        }
    if learner.vision_prompts() is not None and not learner.per_image:
        described["vision_prompts"] = VISION_PROMPTS
    described["run"] = {
        "trainer": run.cfg.TRAINER.NAME,
        "dataset": results.dataset if results else run.cfg.DATASET.NAME,
        "shots": run.cfg.DATASET.NUM_SHOTS,
        "seed": run.cfg.SEED,
        "metrics": dict(results.metrics) if results else {},
    }
    return {**described, "versions": versions()}
