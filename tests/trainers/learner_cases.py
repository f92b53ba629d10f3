"""The prompt learners that go through the contracts, small batches for them, and their training steps."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from lamm_trainers.base import PromptTrainer
from lamm_trainers.clip_lora import CLIPLoRALearner
from lamm_trainers.cocoop import CoCoOpLAMMLearner, CoCoOpLearner
from lamm_trainers.coop import CoOpLAMMLearner, CoOpLearner
from lamm_trainers.kgcoop import KgCoOpLAMMLearner, KgCoOpLearner
from lamm_trainers.lamm import AlignmentSettings, LabelAlignmentMixin, LAMMLearner
from lamm_trainers.lamm_gda import LAMMGDALearner, TopLAMMGDALearner
from lamm_trainers.maple import MaPLeLAMMLearner, MaPLeLearner
from lamm_trainers.prompt_learner import PromptLearner
from lamm_trainers.promptsrc import PromptSRC, PromptSRCLAMMLearner, PromptSRCLearner
from lamm_trainers.top_lamm import TopLAMMLearner, TopLearner
from torch import Tensor

from lamm.clip.model import ClipModel

# Underscores, a full stop swallowed by the name, a name of one sub-token, and one name twice.
INVERSE_TEMPERATURE = 20.0
NAMES = ["crane", "german_shepherd", "C++", "car (red)", "crane"]
WORDS = "a photo of a"
SHOTS = 4.0
LABELS = ("name", "single", "released")

Variants = dict[str, dict[str, Any]]

# Constructor arguments of each method's variants; the first is the one that the whole matrix goes through.
CONTEXTS: Variants = {
    "words": {"context_init": WORDS},
    "random": {"n_ctx": 3},
    "middle": {"n_ctx": 3, "position": "middle"},
    "front": {"n_ctx": 3, "position": "front"},
    "csc": {"n_ctx": 2, "class_specific": True},
    "csc_middle": {"n_ctx": 2, "class_specific": True, "position": "middle"},
}
IMAGE_CONTEXTS: Variants = {"words": {"context_init": WORDS}, "random": {"n_ctx": 3}}
DEEP_CONTEXTS: Variants = {
    "words": {"n_ctx": 2, "prompt_depth": 2},
    "words_input": {"n_ctx": 2, "prompt_depth": 1},
    "random": {"n_ctx": 3, "context_init": "", "prompt_depth": 2},
    "random_input": {"n_ctx": 3, "context_init": "", "prompt_depth": 1},
}

HELD_CONTEXTS: Variants = {"words": {"context_init": WORDS, "template": "a {} in a video game."}}

TEACHER_TEMPLATES = ["a photo of a {}.", "a {} in a video game."]
BOTH_CONTEXTS: Variants = {"words": {"n_ctx": 2, "prompt_depth": 2, "templates": TEACHER_TEMPLATES}}


class Method(NamedTuple):
    """A base learner, the same with label alignment, and the base's variants."""

    base: type[PromptLearner]
    aligned: type[Any]
    variants: Variants


METHODS = {
    "CoOp": Method(CoOpLearner, CoOpLAMMLearner, CONTEXTS),
    "CoCoOp": Method(CoCoOpLearner, CoCoOpLAMMLearner, IMAGE_CONTEXTS),
    "MaPLe": Method(MaPLeLearner, MaPLeLAMMLearner, DEEP_CONTEXTS),
    "KgCoOp": Method(KgCoOpLearner, KgCoOpLAMMLearner, HELD_CONTEXTS),
    "PromptSRC": Method(PromptSRCLearner, PromptSRCLAMMLearner, BOTH_CONTEXTS),
}
Build = Callable[..., Any]


def maker(learner_class: type[Any], variants: Variants, **fixed: Any) -> Build:
    """(clip, names, variant, **alignment settings) → learner, the same at each call."""

    def build(clip: ClipModel, names: list[str] = NAMES, variant: str = "words", **settings: Any) -> Any:
        torch.manual_seed(5)
        arguments = dict(variants[variant])
        if issubclass(learner_class, LabelAlignmentMixin):
            arguments["alignment"] = AlignmentSettings(**{**fixed, **settings})
        return learner_class(clip, names, **arguments)

    return build


fixed = maker(PromptLearner, {"words": {}})
lamm, lamm_gda = (maker(kind, {"words": {}}) for kind in (LAMMLearner, LAMMGDALearner))
coop, coop_lamm = maker(CoOpLearner, CONTEXTS), maker(CoOpLAMMLearner, CONTEXTS)
cocoop, cocoop_lamm = maker(CoCoOpLearner, IMAGE_CONTEXTS), maker(CoCoOpLAMMLearner, IMAGE_CONTEXTS)
TUNED: Variants = {tune: {"tune": tune} for tune in ("blocks", "lora", "layernorm")}
top_lamm, top_alone = (
    maker(kind, {"words": {}, "rank 3": {"tune": "lora", "rank": 3}, **TUNED}) for kind in (TopLAMMLearner, TopLearner)
)
top_lamm_gda = maker(TopLAMMGDALearner, {"words": {}})
clip_lora = maker(CLIPLoRALearner, {"words": {"dropout": 0.0}})  # with it no two steps are alike
maple, maple_lamm = maker(MaPLeLearner, DEEP_CONTEXTS), maker(MaPLeLAMMLearner, DEEP_CONTEXTS)
kgcoop, kgcoop_lamm = maker(KgCoOpLearner, HELD_CONTEXTS), maker(KgCoOpLAMMLearner, HELD_CONTEXTS)
promptsrc, promptsrc_lamm = maker(PromptSRCLearner, BOTH_CONTEXTS), maker(PromptSRCLAMMLearner, BOTH_CONTEXTS)


def _bind(build: Build, **options: Any) -> Build:
    return lambda clip, names=NAMES, **more: build(clip, names, **{**options, **more})


BASES: dict[str, Build] = {
    f"{name}-{variant}": _bind(maker(method.base, method.variants), variant=variant)
    for name, method in METHODS.items()
    for variant in method.variants
}
BASES["CLIPLoRA-words"] = clip_lora
ALIGNED: dict[str, Build] = {
    **{f"TopLAMM-{tune}": _bind(top_lamm, variant=tune) for tune in TUNED},
    **{"LAMM_GDA-name": lamm_gda, "TopLAMM_GDA-blocks": top_lamm_gda},  # as fresh, their heads are silent
    **{f"LAMM-{tokens}": _bind(lamm, label_tokens=tokens) for tokens in LABELS},
    **{
        f"{name}_LAMM-{variant}-{tokens}": _bind(
            maker(method.aligned, method.variants), variant=variant, label_tokens=tokens
        )
        for name, method in METHODS.items()
        for variant, options in method.variants.items()
        for tokens in LABELS
        if tokens != "released" or "position" not in options
    },
}
LEARNERS = {**BASES, **ALIGNED}
# Aligned learners whose labels start as the class names, each with its base learner.
FRESH: dict[str, tuple[Build, Build]] = {
    "LAMM-name": (lamm, fixed),
    "LAMM_GDA-name": (lamm_gda, fixed),
    "TopLAMM_GDA-blocks": (top_lamm_gda, top_alone),
    **{f"TopLAMM-{tune}": (ALIGNED[f"TopLAMM-{tune}"], _bind(top_alone, variant=tune)) for tune in TUNED},
    **{
        f"{name}_LAMM-{variant}-name": (ALIGNED[f"{name}_LAMM-{variant}-name"], BASES[f"{name}-{variant}"])
        for name, method in METHODS.items()
        for variant in method.variants
    },
}
# One learner of each method: these go through every image tower and precision.
FIRST = [
    *("LAMM-name", "LAMM_GDA-name", "TopLAMM-blocks", "TopLAMM_GDA-blocks", "CLIPLoRA-words"),
    *(f"{name}-words" for name in METHODS),
    *(f"{name}_LAMM-words-name" for name in METHODS),
]
# Their image side is a vision transformer's: of others it is refused.
OF_TRANSFORMERS = ("MaPLe", "TopLAMM", "CLIPLoRA")
# (learner, image tower, precision): every learner on the first place, one of each method on the others.
PROMPTS_IMAGES = ("MaPLe", "PromptSRC")  # refused with a ResNet
PLACES = [("vit", "fp32"), ("vit", "bf16"), ("resnet", "fp32"), ("resnet", "bf16")]
MATRIX = [
    (name, *place)
    for place in PLACES
    for name in (LEARNERS if place == PLACES[0] else FIRST)
    if not (name.startswith(OF_TRANSFORMERS) and place[0] == "resnet")
    if not (name.startswith(PROMPTS_IMAGES) and place[0] == "resnet")
]


def matrix_of(names: Iterable[str]) -> list[Any]:
    """The places of the matrix that these learners have, as parameters of a fixture."""
    chosen = set(names)
    return [pytest.param(place, id=" ".join(place)) for place in MATRIX if place[0] in chosen]


def on_first_place(names: Iterable[str] = FIRST) -> list[Any]:
    """One place each: the vision transformer in fp32."""
    return [parameter for parameter in matrix_of(names) if parameter.values[0][1:] == PLACES[0]]


def method_of(name: str) -> str:
    """The method's name in a learner's."""
    return name.split("-")[0]


def declared(name: str) -> set[str]:
    """Names of the parameters that a learner of `LEARNERS` trains."""
    method = method_of(name)
    names = {"label_embeddings"} if "LAMM" in method else set()
    if method in ("LAMM", "LAMM_GDA"):
        return names
    if method == "CLIPLoRA":  # 4 blocks of the image tower, 3 of the text tower
        towers = {"image_tower.low_rank": 4, "text_low_rank": 3}
        return {
            f"{tower}.{block}.{part}" for tower in towers for block in range(towers[tower]) for part in ("down", "up")
        }
    if method in ("TopLAMM", "TopLAMM_GDA"):  # a third of 4 blocks is 1
        parts = {"blocks": BLOCK, "lora": ("low_rank.0.down", "low_rank.0.up"), "layernorm": NORMS}
        return names | {f"top.{part}" for part in parts[name.split("-")[1]]}
    names.add("ctx")
    if method.startswith("CoCoOp"):
        names |= {f"meta_net.linear{number}.{part}" for number in (1, 2) for part in ("weight", "bias")}
    if method.startswith("MaPLe"):
        names |= {"proj.weight", "proj.bias"}
        if "input" not in name:
            names |= {f"compound_prompt_projections.0.{part}" for part in ("weight", "bias")}
            names |= {"compound_prompts_text.0"}
    if method.startswith("PromptSRC"):
        names |= {"text_prompts.0", "image_prompts.0", "image_prompts.1"}
    return names


PAIR = ("weight", "bias")
BLOCK = (
    *(
        f"blocks.0.{layer}.{part}"
        for layer in ("ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj", "attn.out_proj")
        for part in PAIR
    ),
    *("blocks.0.attn.in_proj_weight", "blocks.0.attn.in_proj_bias", "ln_post.weight", "ln_post.bias", "projection"),
)
NORMS = tuple(f"{layer}.{part}" for layer in ("norms.0.ln_1", "norms.0.ln_2", "ln_post") for part in PAIR)


class Case(NamedTuple):
    """One place of the matrix."""

    name: str
    clip: ClipModel

    def build(self, names: list[str] = NAMES, **settings: Any) -> Any:
        """A fresh learner."""
        return LEARNERS[self.name](self.clip, names, **settings)

    def build_base(self) -> Any:
        """A fresh learner of the method without alignment."""
        return FRESH[self.name][1](self.clip)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) and labels (B,)."""
        return pictures(self.clip), torch.tensor([0, 1, 2, 3, 1, 2])

    @property
    def exact(self) -> bool:
        """Whether the towers compute in fp32."""
        return self.clip.precision == "fp32"


def batch(clip: ClipModel, size: int = 6, classes: int = len(NAMES)) -> tuple[Tensor, Tensor]:
    """Unit image features (B, E) and labels (B,)."""
    features = torch.randn(size, clip.embed_dim, generator=torch.Generator().manual_seed(11))
    return F.normalize(features, dim=-1), torch.arange(size) % classes


def pictures(clip: ClipModel, size: int = 6) -> Tensor:
    """Images of noise, (B, 3, H, W)."""
    side = clip.image_size
    return torch.randn(size, 3, side, side, generator=torch.Generator().manual_seed(12))


class Step(PromptTrainer):
    """The training step of every trainer, without a run around it; images may be given as unit features (B, E)."""

    def __init__(self, learner: Any, shots: float = SHOTS) -> None:
        self.learner, self.clip, self.shots = learner, learner.clip, shots

    def image_features(self, images: Tensor) -> Tensor:
        return images if images.ndim == 2 else super().image_features(images)


class StepOfPromptSRC(Step, PromptSRC):
    """The same of PromptSRC, whose loss needs the images."""


def loss_parts(learner: Any, images: Tensor, labels: Tensor, shots: float = SHOTS) -> dict[str, Tensor]:
    """The parts of the loss as a trainer adds them up."""
    step = StepOfPromptSRC if isinstance(learner, PromptSRCLearner) else Step
    return step(learner, shots).loss_parts(images, labels)[0]


@torch.no_grad()
def features(learner: Any, images: Tensor | None = None) -> Tensor:
    """Text features (G, N, E); of images (B, 3, H, W) theirs and the prompts' they get, as rows (B + G · N, E)."""
    if images is None:
        return learner.text_features()
    image = Step(learner).image_features(images)
    text = learner.text_features(image).flatten(0, 1)
    return torch.cat([image.reshape(-1, text.shape[1]), text])  # a tuned tower has two features per image


def gradients(learner: Any, images: Tensor, labels: Tensor) -> Tensor:
    """The gradient of the whole loss by all that is learned, as one vector."""
    loss = torch.stack(list(loss_parts(learner, images, labels).values())).sum()
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(learner.parameters()))])


def train(learner: Any, images: Tensor, labels: Tensor, steps: int, rate: float) -> list[dict[str, float]]:
    """Plain SGD on one batch; the parts and the `loss` before each step."""
    optimizer = torch.optim.SGD(learner.parameters(), lr=rate)
    curve = []
    for _ in range(steps):
        parts = loss_parts(learner, images, labels)
        loss = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append({"loss": loss.item(), **{name: part.item() for name, part in parts.items()}})
    return curve


def disturb(learner: Any) -> Any:
    """Moves every learned tensor."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return learner


def assert_same_curve(got: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    """The same parts, step by step; and the run moved, so that the steps were compared and not only the start."""
    assert len(got) == len(expected)
    for step, reference in zip(got, expected, strict=True):
        assert step.keys() == reference.keys()
        for part, value in reference.items():
            assert step[part] == pytest.approx(value, rel=2e-4, abs=2e-6), part
    assert abs(expected[0]["loss"] - expected[-1]["loss"]) > 1e-3
