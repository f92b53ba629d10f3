"""A classifier as files for other programs: class features with their description, and an ONNX graph.

Letters: N classes, E embedding size, C vision prompts, W width of the image tower.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from lamm.files import write_json
from lamm.inference.export_folder import files_made_together
from lamm.inference.onnx_file import (
    INPUT,
    INSTALL,
    OUTPUTS,
    ExportError,
    largest_difference,
    missing_for_onnx,
    write_onnx,
)
from lamm.inference.preprocessing import described_preprocessing
from lamm.inference.run_folder import RunFolder
from lamm.run.record import versions

from .classifier import Classifier
from .score_graph import exportable

FORMAT = "lamm-classifier"
FORMAT_VERSION = 1
TENSORS, DESCRIPTION, GRAPH = "classifier.safetensors", "classifier.json", "classifier.onnx"
VISION_PROMPTS = (
    "the image tower runs with extra positions: vision_prompts.0 (positions, width) stands behind the patch tokens, "
    "without positional embedding, before the first layer norm (ln_pre); vision_prompts.i, i > 0, takes its place at "
    "the input of block i, counted from 0; later blocks keep what the block before put out; the positions are dropped "
    "after the last block"
)
NAMES = (TENSORS, DESCRIPTION, GRAPH, f"{GRAPH}.data")


@dataclass(frozen=True)
class Exported:
    """The files written, and what a user should know about them, a line each."""

    files: list[Path]
    notes: list[str]


def export(classifier: Classifier, run: RunFolder, folder: Path, onnx: bool = True) -> Exported:
    """Write the files; those that are there already are replaced, or removed where this export has none of the kind.

    Args:
        classifier: on the CPU, in fp32.
        run: the run that it comes from.
        folder: where to; made if missing.
        onnx: whether an ONNX file is wanted; where its libraries are missing, a note says what to install.

    Raises:
        ExportError: prompts that depend on the image and no ONNX file, or a graph that can't be made.
        ConfigError: `folder` is a file, or the run's preprocessing can't be described.
    """
    lacking = missing_for_onnx() if onnx else None
    if classifier.learner.per_image and (lacking or not onnx):
        raise ExportError(
            f"{run.cfg.TRAINER.NAME} makes its prompts for each image, so that it has no class features to write: only "
            f"an ONNX file can hold it, {f'which needs {lacking}' if lacking else 'so leave --no-onnx out'}"
        )
    notes = [f"no {GRAPH}, which needs {lacking}"] if lacking else []
    description = _description(classifier, run)
    with files_made_together(folder, NAMES) as made:
        if not classifier.learner.per_image:
            save_file(_tensors(classifier), made / TENSORS, {"format": FORMAT})
        if onnx and not lacking:
            description["onnx"] = {"file": GRAPH, "inputs": [INPUT], "outputs": list(OUTPUTS)}
            notes.append(_write_graph(classifier, made / GRAPH, description))
        write_json(made / DESCRIPTION, description)
        files = [folder / name for name in NAMES if (made / name).exists()]
    return Exported(files, notes)


def _write_graph(classifier: Classifier, path: Path, description: dict[str, Any]) -> str:
    """Write and check the graph; what the check said."""
    size = classifier.clip.image_size
    with exportable(classifier) as graph:
        write_onnx(graph, size, path, {"description": json.dumps(description, ensure_ascii=False)})
    away = largest_difference(path, classifier.logits, size)
    if away is None:
        return f"{GRAPH} was not checked, since onnxruntime is missing: {INSTALL}"
    return f"{GRAPH} run by onnxruntime: logits at most {away:.1e} from ours"


@torch.no_grad()
def _tensors(classifier: Classifier) -> dict[str, Tensor]:
    """The class features, the logit scale, and the prompts of the image tower, if any."""
    tensors = {
        "class_features": classifier.text_features()[0],
        "logit_scale": classifier.clip.logit_scale.reshape(()),
    }
    prompts = classifier.learner.vision_prompts()
    if prompts is not None:
        tensors |= {f"vision_prompts.{block}": value for block, value in enumerate([prompts.first, *prompts.deep])}
    return {name: value.detach().float().cpu().contiguous() for name, value in tensors.items()}


def _description(classifier: Classifier, run: RunFolder) -> dict[str, Any]:
    """What `classifier.json` says; the shapes are those of `classifier.safetensors`."""
    clip, learner, results = classifier.clip, classifier.learner, run.results
    described: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "class_names": classifier.class_names,
        "backbone": {"name": clip.name, "image_size": clip.image_size, "embedding_size": clip.embed_dim},
        "preprocessing": described_preprocessing(run.cfg.INPUT),
    }
    if learner.per_image:
        described["scores"] = "the class features depend on the image: they are made in the ONNX graph"
    else:
        described["tensors"] = {
            "file": TENSORS,
            "class_features": f"{(len(classifier.class_names), clip.embed_dim)}, unit length, a row a class name",
            "logit_scale": "natural logarithm of the inverse temperature",
        }
        described["scores"] = {
            "image_features": "output of the backbone's image tower, divided by its Euclidean length",
            "logits": "exp(logit_scale) * image_features @ class_features.T",
            "probabilities": "softmax(logits)",
        }
    if classifier.prompts_vision and not learner.per_image:
        described["vision_prompts"] = VISION_PROMPTS
    described["run"] = {
        "trainer": run.cfg.TRAINER.NAME,
        "dataset": results.dataset if results else run.cfg.DATASET.NAME,
        "shots": run.cfg.DATASET.NUM_SHOTS,
        "seed": run.cfg.SEED,
        "metrics": dict(results.metrics) if results else {},
    }
    return {**described, "versions": versions()}
