"""Keys that are set and that nothing in this run reads: told, so that nobody takes them for the cause of a result.

Only for our own trainers on our own data sets: what other people's code reads is not known.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from yacs.config import CfgNode

from lamm.engine import DATASET_REGISTRY
from lamm.errors import ConfigError
from lamm.run.arguments import FLAGS

NO_HEAD = "prompt learners have no head"
ALL_LABELLED = "no data set here has unlabelled images"
NO_DOMAINS = "no data set here has domains"
UNREAD = {
    "MODEL.INIT_WEIGHTS": "--resume continues a training, --eval-only --model-dir tests one",
    "MODEL.BACKBONE.PRETRAINED": "CLIP is always pretrained; MODEL.BACKBONE.PATH names its weights",
    **{f"MODEL.HEAD.{name}": NO_HEAD for name in ("NAME", "HIDDEN_LAYERS", "ACTIVATION", "BN", "DROPOUT")},
    **{f"DATASET.{name}": NO_DOMAINS for name in ("SOURCE_DOMAINS", "TARGET_DOMAINS")},
    **{f"DATASET.{name}": ALL_LABELLED for name in ("NUM_LABELED", "ALL_AS_UNLABELED")},
    **{f"DATALOADER.TRAIN_U.{name}": ALL_LABELLED for name in ("SAME_AS_X", "SAMPLER", "BATCH_SIZE")},
    **{f"DATALOADER.TRAIN_U.{name}": ALL_LABELLED for name in ("N_DOMAIN", "N_INS")},
    "TRAIN.COUNT_ITER": ALL_LABELLED,
    "DATASET.VAL_PERCENT": "the split of the data set says which images are for validation",
    **{f"DATASET.{name}": "it is for data sets of Dassl" for name in ("STL10_FOLD", "CIFAR_C_TYPE", "CIFAR_C_LEVEL")},
    "DATALOADER.RETURN_IMG0": "prompt learners take one view of an image",
}
"""Keys that nothing of ours ever reads → why, or what to do instead."""

# Transform → the keys of INPUT that it reads.
OF_TRANSFORM = {
    "normalize": ("PIXEL_MEAN", "PIXEL_STD"),
    "random_crop": ("CROP_PADDING",),
    "random_resized_crop": ("RRCROP_SCALE",),
    "cutout": ("CUTOUT_N", "CUTOUT_LEN"),
    "gaussian_noise": ("GN_MEAN", "GN_STD"),
    "randaugment": ("RANDAUGMENT_M",),
    "colorjitter": ("COLORJITTER_B", "COLORJITTER_C", "COLORJITTER_S", "COLORJITTER_H"),
    "randomgrayscale": ("RGS_P",),
    "gaussian_blur": ("GB_P", "GB_K"),
}
ADAM = ("adam", "amsgrad", "radam", "adamw")
STEPS = ("single_step", "multi_step")
# Key of OPTIM → the key that decides whether it is read, and the values with which it is.
OF_CHOICE: dict[str, tuple[str, tuple[Any, ...]]] = {
    "MOMENTUM": ("NAME", ("sgd", "rmsprop")),
    **dict.fromkeys(("SGD_DAMPNING", "SGD_NESTEROV"), ("NAME", ("sgd",))),
    "RMSPROP_ALPHA": ("NAME", ("rmsprop",)),
    **dict.fromkeys(("ADAM_BETA1", "ADAM_BETA2"), ("NAME", ADAM)),
    **dict.fromkeys(("NEW_LAYERS", "BASE_LR_MULT"), ("STAGED_LR", (True,))),
    **dict.fromkeys(("STEPSIZE", "GAMMA"), ("LR_SCHEDULER", STEPS)),
    "WARMUP_CONS_LR": ("WARMUP_TYPE", ("constant",)),
    "WARMUP_MIN_LR": ("WARMUP_TYPE", ("linear",)),
}
ESSENTIAL = ("INPUT.PIXEL_MEAN", "INPUT.PIXEL_STD")
"""CLIP sees other images without them."""
HIERARCHICAL = ("LAMBDA_WC", "LAMBDA_COS", "LAMBDA_KD", "KD_TEMPERATURE", "KD_DIRECTION", "COS_OVER", "TEACHER")


def told_without_effect(
    cfg: CfgNode, changed: Iterable[str], on_command_line: Collection[str], trainer_class: Any
) -> str:
    """One line about the keys that are set and have no effect on this run; "" if there are none.

    Args:
        cfg: the config.
        changed: keys whose value is not the default.
        on_command_line: keys that were set there.
        trainer_class: what is registered for the run's trainer.

    Raises:
        ConfigError: one that nothing ever reads was set on the command line.
    """
    if "config_nodes" not in vars(trainer_class) or not _is_our_dataset(cfg.DATASET.NAME):
        return ""
    reasons = {**UNREAD, **dict(_unread_here(cfg, trainer_class))}
    for node in ("COOP", "COCOOP", "KGCOOP"):
        # Not in a config file, where those of the papers have both, in accord.
        if f"TRAINER.{node}.N_CTX" in on_command_line and node in cfg.TRAINER and cfg.TRAINER[node].CTX_INIT:
            reasons[f"TRAINER.{node}.N_CTX"] = f"the words of TRAINER.{node}.CTX_INIT count"
    keys = [key for key in changed if key in reasons or _is_of_others(key, trainer_class)]
    # Where the command line changes a section, the rest of it in a file is not what its user wonders about.
    sections = {key.rpartition(".")[0] for key in on_command_line}
    keys = [
        key
        for key in keys
        if key in on_command_line or key in UNREAD or key in ESSENTIAL or key.rpartition(".")[0] not in sections
    ]
    for key in keys:
        if key in UNREAD and key in on_command_line:
            flag = next((f"--{name.replace('_', '-')} ({key})" for name, of in FLAGS.items() if of == key), key)
            raise ConfigError(f"{flag} has no effect: {reasons[key]}; leave it out")
    lines = [f"{key} ({reasons.get(key, 'of other trainers')})" for key in keys]
    more = f" and {len(lines) - 4} more" if len(lines) > 4 else ""
    return f"set, but without effect here: {', '.join(lines[:4])}{more}" if lines else ""


def _is_our_dataset(name: str) -> bool:
    return name in DATASET_REGISTRY.registered_names() and DATASET_REGISTRY.get(name).__module__.startswith("lamm.")


def _is_of_others(key: str, trainer_class: Any) -> bool:
    section, node, *rest = f"{key}..".split(".")
    return section == "TRAINER" and bool(rest[0]) and node not in trainer_class.config_nodes


def _unread_here(cfg: CfgNode, trainer_class: Any) -> Iterator[tuple[str, str]]:
    """Keys that other settings, or another trainer, would read, and why this run does not."""
    for transform, names in OF_TRANSFORM.items():
        if transform not in cfg.INPUT.TRANSFORMS:
            yield from ((f"INPUT.{name}", f"INPUT.TRANSFORMS has no {transform}") for name in names)
    if not any(name.startswith("randaugment") for name in cfg.INPUT.TRANSFORMS):
        yield "INPUT.RANDAUGMENT_N", "INPUT.TRANSFORMS has no randaugment"
    for name in cfg.OPTIM:
        choice, values = OF_CHOICE.get(name, ("NAME", (cfg.OPTIM.NAME,)))
        if trainer_class.closed_form:
            yield f"OPTIM.{name}", f"{trainer_class.__name__} takes no gradient steps"
        elif name.startswith("WARMUP") and name != "WARMUP_EPOCH" and cfg.OPTIM.WARMUP_EPOCH <= 0:
            yield f"OPTIM.{name}", f"OPTIM.WARMUP_EPOCH is {cfg.OPTIM.WARMUP_EPOCH}"
        elif cfg.OPTIM[choice] not in values:
            yield f"OPTIM.{name}", f"OPTIM.{choice} is {cfg.OPTIM[choice]}"
    sampler = cfg.DATALOADER.TRAIN_X.SAMPLER
    for name, kind in (("N_DOMAIN", "Domain"), ("N_INS", "Class")):
        if kind not in sampler:
            yield f"DATALOADER.TRAIN_X.{name}", f"DATALOADER.TRAIN_X.SAMPLER is {sampler}"
    if not trainer_class.has_templates:
        yield "DATASET.TEMPLATE", f"{trainer_class.__name__} has no template"
    if trainer_class.closed_form:
        yield "INCREMENTAL.SEEN_AS_NEGATIVES", f"{trainer_class.__name__} takes no gradient steps"
    if cfg.DATASET.NUM_SHOTS < 1:
        yield "DATASET.ORIGINAL_PICKS", "all images are taken, no shots are picked"
    if "CLIPLORA" in trainer_class.config_nodes and cfg.OPTIM.MAX_EPOCH:
        yield "TRAINER.CLIPLORA.STEPS_PER_SHOT", f"OPTIM.MAX_EPOCH is {cfg.OPTIM.MAX_EPOCH}, not 0"
    if "TOPLAMM" in trainer_class.config_nodes:
        node = cfg.TRAINER.TOPLAMM
        if not node.BLOCKS:
            yield from ((f"TRAINER.TOPLAMM.{name}", "TRAINER.TOPLAMM.BLOCKS is 0") for name in node if name != "BLOCKS")
        elif node.TUNE != "lora":
            reason = f"TRAINER.TOPLAMM.TUNE is {node.TUNE}"
            yield from ((f"TRAINER.TOPLAMM.{name}", reason) for name in ("RANK", "DROPOUT"))
    if "LAMM" in trainer_class.config_nodes:
        base = trainer_class.config_node
        if base != "LAMM":
            yield from ((f"TRAINER.LAMM.{name}", f"TRAINER.{base}.{name} counts") for name in ("CTX_INIT", "PREC"))
        if not cfg.TRAINER.LAMM.HIERARCHICAL_LOSS:
            yield from ((f"TRAINER.LAMM.{name}", "TRAINER.LAMM.HIERARCHICAL_LOSS is False") for name in HIERARCHICAL)
        if not cfg.TRAINER.LAMM.ENABLED:
            names = ("LABEL_TOKENS", "LABEL_INIT", "UNSEEN_LABELS", "HIERARCHICAL_LOSS", *HIERARCHICAL)
            yield from ((f"TRAINER.LAMM.{name}", "TRAINER.LAMM.ENABLED is False") for name in names)
