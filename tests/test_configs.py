"""configs/trainers/<Trainer>/<cfg>.yaml: every file is one that a run can take, and holds the papers' numbers."""

import re

import pytest
import yaml
from lamm_trainers import HEADS as HEAD_TRAINERS
from lamm_trainers import TRAINERS, extend_cfg
from lamm_trainers.traits import TRAITS
from yacs.config import CfgNode

from lamm.commands.series import METHODS
from lamm.datasets import DEMO
from lamm.engine import get_cfg_default
from lamm.engine.embedded.config_merge import merge_config
from lamm.run.plan import default_config
from tests.train_command import ROOT

FOLDER = ROOT / "configs" / "trainers"
FILES = {f"{file.parent.name}/{file.stem}": file for file in sorted(FOLDER.glob("*/*.yaml"))}
CLASSES = {trainer.__name__: trainer for trainer in TRAINERS}
HEADS = {trainer.__name__: trainer.config_node for trainer in HEAD_TRAINERS}
STEPWISE = ("NearestMean", "RanPAC")
"""Heads on images as the test transform gives them, which have no released form."""
LEARNING = [name for name, trainer in CLASSES.items() if trainer.learner_class is not None and name not in HEADS]
COMMAND = re.compile(r"^#   bash scripts/(\S+)/\w+\.sh (\S+) (\d+)(?: (\S+))?$", re.MULTILINE)

# The presets that repeat the LAMM authors' published code.
RELEASED = {
    f"{trainer}/{name}_released": f"{trainer}/{name}"
    for trainer, real in {
        "LAMM": "vit_b16_ep50_ctxv1",
        "CoOp_LAMM": "vit_b16_ep50_ctxv1",
        "MaPLe_LAMM": "vit_b16_c2_ep5_batch4_2ctx",
    }.items()
    for name in ("tiny_ep50", real)
}
AS_RELEASED = {
    "TRAINER.LAMM.LABEL_TOKENS": "released",
    "TRAINER.LAMM.LAMBDA_WC": 1.0,
    "TRAINER.LAMM.TEACHER": "prompt",
    "TRAINER.LAMM.UNSEEN_LABELS": "clip",
    "TRAINER.LAMM.COS_OVER": "batch",
}
PROMPTSRC = {
    "vit_b16_c4_ep50_batch4_released": {"GPA_MEAN": 45.0, "GPA_STD": 5.0},
    "vit_b16_c4_ep20_batch4": {"GPA_MEAN": 15.0, "GPA_STD": 1.0},
    "vit_b16_c4_ep20_batch4_depth3": {"GPA_MEAN": 6.0, "GPA_STD": 10.0, "PROMPT_DEPTH": 3},
}
ENSEMBLES = {"ZeroshotCLIP/tiny_ensemble": "ZeroshotCLIP/tiny", "ZeroshotCLIP/vit_b16_ensemble": "ZeroshotCLIP/vit_b16"}
SLOW_LABELS = {"OPTIM.LR": 0.01}  # label vectors on batches of 4
COMBINATIONS = {trainer: trainer.removesuffix("_LAMM") for trainer in CLASSES if trainer.endswith("_LAMM")}

# The papers' settings of each method: rate, epochs, batch, and what its own node holds.
LAMM_NODE = {"LAMM.CTX_INIT": "a photo of a"}
COOP_NODE = {
    "COOP.N_CTX": 4,
    "COOP.CTX_INIT": "a photo of a",
    "COOP.CSC": False,
    "COOP.CLASS_TOKEN_POSITION": "end",
}
COCOOP_NODE = {"COCOOP.N_CTX": 4, "COCOOP.CTX_INIT": "a photo of a"}
KGCOOP_NODE = {"KGCOOP.N_CTX": 4, "KGCOOP.CTX_INIT": "a photo of a", "KGCOOP.LAMBDA_KG": 8.0}
MAPLE_NODE = {"MAPLE.N_CTX": 2, "MAPLE.CTX_INIT": "a photo of a", "MAPLE.PROMPT_DEPTH": 9}
PROMPTSRC_NODE = {
    **{f"PROMPTSRC.{key}": value for key, value in {"N_CTX": 4, "CTX_INIT": "a photo of a", "PROMPT_DEPTH": 9}.items()},
    **{"PROMPTSRC.LAMBDA_TEXT": 25.0, "PROMPTSRC.LAMBDA_IMAGE": 10.0},
    **{"PROMPTSRC.GPA_MEAN": 30.0, "PROMPTSRC.GPA_STD": 30.0},
}
PAPERS = {
    "LAMM": (0.002, 50, 32, LAMM_NODE),
    "CoOp": (0.002, 50, 32, COOP_NODE),
    "CoOp_LAMM": (0.002, 50, 32, COOP_NODE),
    "CoCoOp": (0.002, 10, 1, COCOOP_NODE),
    "CoCoOp_LAMM": (0.002, 10, 1, COCOOP_NODE),
    "MaPLe": (0.0035, 5, 4, MAPLE_NODE),
    "MaPLe_LAMM": (0.0035, 5, 4, MAPLE_NODE),
    "LAMM_GDA": (0.002, 50, 32, LAMM_NODE),
    "TopLAMM_GDA": (0.002, 50, 32, {**LAMM_NODE, "TOPLAMM.BLOCKS_LR": 0.002}),
    "TopLAMM": (0.002, 50, 32, {**LAMM_NODE, "TOPLAMM.BLOCKS_LR": 0.002}),
    "CLIPLoRA": (2e-4, 0, 32, {"CLIPLORA.RANK": 2, "CLIPLORA.DROPOUT": 0.25, "CLIPLORA.STEPS_PER_SHOT": 500}),
    "KgCoOp": (0.002, 100, 128, KGCOOP_NODE),
    "KgCoOp_LAMM": (0.002, 100, 128, KGCOOP_NODE),
    "PromptSRC": (0.0025, 50, 4, PROMPTSRC_NODE),
    "PromptSRC_LAMM": (0.0025, 50, 4, PROMPTSRC_NODE),
}
SCHEDULE = {
    "NAME": "sgd",
    "MOMENTUM": 0.9,
    "WEIGHT_DECAY": 5e-4,
    "LR_SCHEDULER": "cosine",
    "WARMUP_EPOCH": 1,
    "WARMUP_TYPE": "constant",
    "WARMUP_CONS_LR": 1e-5,
}
ADAMW = {
    "NAME": "adamw",
    "ADAM_BETA1": 0.9,
    "ADAM_BETA2": 0.999,
    "WEIGHT_DECAY": 0.01,
    "LR_SCHEDULER": "cosine",
    "WARMUP_EPOCH": -1,
}
SCHEDULES = {"CLIPLoRA": ADAMW}
CLIP_INPUT = {
    "SIZE": (224, 224),
    "INTERPOLATION": "bicubic",
    "TRANSFORMS": ("random_resized_crop", "random_flip", "normalize"),
    "RRCROP_SCALE": (0.08, 1.0),
    "PIXEL_MEAN": [0.48145466, 0.4578275, 0.40821073],
    "PIXEL_STD": [0.26862954, 0.26130258, 0.27577711],
}


def flat(node, start=""):
    """Full key → value."""
    keys = {}
    for name, value in node.items():
        keys.update(flat(value, f"{start}{name}.") if isinstance(value, CfgNode) else {f"{start}{name}": value})
    return keys


def merged(name):
    """Defaults, with the config file merged into them."""
    cfg = get_cfg_default()
    extend_cfg(cfg)
    merge_config(cfg, [FILES[name]], [])
    return cfg


def difference(name, plain):
    """The keys in which a config differs from another one, with its values."""
    other = flat(merged(plain))
    return {key: value for key, value in flat(merged(name)).items() if value != other[key]}


@pytest.mark.parametrize("name", TRAITS)
def test_a_trainer_is_where_the_table_says_and_has_its_traits(name: str) -> None:
    trainer = CLASSES[name]
    assert trainer.__module__ == f"lamm_trainers.{TRAITS[name].module}"
    assert vars(trainer).items() >= TRAITS[name].attributes().items()
    assert (trainer.learner_class is None) <= trainer.closed_form  # what learns nothing takes no steps


def test_every_trainer_has_a_folder_of_configs_and_nothing_else_lies_there():
    assert {name.split("/")[0] for name in FILES} == set(CLASSES)
    assert {file for file in FOLDER.rglob("*") if file.is_file()} == set(FILES.values())


@pytest.mark.parametrize("name", FILES)
def test_a_config_merges_touches_no_other_method_and_its_header_holds_its_command(name):
    trainer, config = name.split("/")
    nodes = set(CLASSES[trainer].config_nodes)
    merged(name)
    text = FILES[name].read_text(encoding="utf-8")
    written = yaml.safe_load(text)
    assert set(written.get("TRAINER", {})) <= nodes
    assert "NAME" not in written.get("DATASET", {})
    ((method, dataset, _, word),) = COMMAND.findall(text[: text.index("\nDATALOADER")])
    assert METHODS[method] == trainer
    assert (ROOT / "configs" / "datasets" / f"{dataset}.yaml").is_file()
    default = default_config(trainer, CLASSES[trainer], dataset in DEMO).stem
    assert word == ("" if config == default else config)


@pytest.mark.parametrize("trainer", LEARNING)
def test_a_real_clip_config_holds_the_papers_settings(trainer):
    rate, epochs, batch, node = PAPERS[trainer]
    cfg = merged(f"{trainer}/{CLASSES[trainer].default_config}")
    expected = {"OPTIM.LR": rate, "OPTIM.MAX_EPOCH": epochs, "DATALOADER.TRAIN_X.BATCH_SIZE": batch}
    assert {key: flat(cfg)[key] for key in expected} == expected
    schedule = SCHEDULES.get(trainer, SCHEDULE)
    assert {key: cfg.OPTIM[key] for key in schedule} == schedule
    settings = flat(cfg.TRAINER)
    assert {key: settings[key] for key in node} == node
    # Anything else in a method's own node is at its default, precision and label alignment too.
    defaults = get_cfg_default()
    extend_cfg(defaults)
    untouched = {key: value for key, value in flat(defaults.TRAINER).items() if key not in node}
    assert {key: settings[key] for key in untouched} == untouched


@pytest.mark.parametrize("trainer", CLASSES)
def test_a_trainers_defaults_are_the_embedded_model_and_real_clip_with_images_as_in_the_papers(trainer):
    assert merged(f"{trainer}/{CLASSES[trainer].tiny_config}").MODEL.BACKBONE.NAME == "tiny"
    cfg = merged(f"{trainer}/{CLASSES[trainer].default_config}")
    assert cfg.MODEL.BACKBONE.NAME == "ViT-B/16"
    scale = {"RRCROP_SCALE": (0.5, 1.0)} if trainer in ("GDA", "TipAdapter", "TipAdapterF") else {}
    assert {key: cfg.INPUT[key] for key in CLIP_INPUT} == CLIP_INPUT | scale
    assert cfg.DATALOADER.TEST.BATCH_SIZE == 100


@pytest.mark.parametrize("name", ["tiny_ep20", "vit_b16_ep20"])
def test_tip_adapter_f_trains_as_published(name):
    cfg = merged(f"TipAdapterF/{name}")
    got = {key: cfg.OPTIM[key] for key in ("NAME", "LR", "WEIGHT_DECAY", "MAX_EPOCH", "LR_SCHEDULER", "WARMUP_EPOCH")}
    adamw = {"NAME": "adamw", "LR": 1e-3, "WEIGHT_DECAY": 0.01}
    assert got == {**adamw, "MAX_EPOCH": 20, "LR_SCHEDULER": "cosine", "WARMUP_EPOCH": -1}
    assert cfg.DATALOADER.TRAIN_X.BATCH_SIZE == 256


def test_the_released_presets_differ_from_their_plain_configs_as_the_authors_code_from_the_paper():
    heads = {
        name: name.removesuffix("_released") for name in FILES if name.split("/")[0] in HEADS and "released" in name
    }
    assert {name for name in FILES if "released" in name and "PromptSRC" not in name} == {*RELEASED, *heads}
    assert len(heads) == 2 * len(set(HEADS) - set(STEPWISE))
    for name, plain in heads.items():
        assert difference(name, plain) == {f"TRAINER.{HEADS[name.split('/')[0]]}.CHOICE": "val"}, name
    for name, plain in RELEASED.items():
        assert difference(name, plain) == AS_RELEASED, name


def test_promptsrc_has_a_config_for_each_schedule_of_its_authors():
    default = f"PromptSRC/{CLASSES['PromptSRC'].default_config}"
    for name, node in PROMPTSRC.items():
        epochs = {"OPTIM.MAX_EPOCH": 20} if "ep20" in name else {}
        expected = {**epochs, **{f"TRAINER.PROMPTSRC.{key}": value for key, value in node.items()}}
        assert difference(f"PromptSRC/{name}", default) == expected, name


def test_an_ensemble_differs_from_its_plain_config_in_that_alone():
    for name, plain in ENSEMBLES.items():
        assert difference(name, plain) == {"TRAINER.ZEROSHOTCLIP.ENSEMBLE": True}, name


def test_a_combination_runs_in_its_bases_setting():
    for trainer, base in COMBINATIONS.items():
        for config in (CLASSES[base].default_config, CLASSES[base].tiny_config):
            own = SLOW_LABELS if (trainer, config[:4]) == ("CoCoOp_LAMM", "tiny") else {}
            assert difference(f"{trainer}/{config}", f"{base}/{config}") == own, trainer


@pytest.mark.parametrize("name", [name for name in FILES if "/tiny" in name])
def test_all_methods_share_data_and_rate_with_the_embedded_model(name):
    trainer = name.split("/")[0]
    sections = ("INPUT.", "DATALOADER.", "OPTIM.") if trainer in LEARNING else ("INPUT.", "DATALOADER.")
    other = {key: value for key, value in difference(name, "LAMM/tiny_ep50").items() if key.startswith(sections)}
    # A prompt set for each image: few epochs of small batches, at the same rate.
    own = {"DATALOADER.TRAIN_X.BATCH_SIZE": 4, "OPTIM.MAX_EPOCH": 10} if "CoCoOp" in trainer else {}
    if trainer in HEADS:  # all images at once, of several views
        own = {"DATALOADER.TRAIN_X.BATCH_SIZE": 256 if trainer == "TipAdapterF" else 1}
        own |= {} if trainer in ("LinearProbe", *STEPWISE) else {"INPUT.CACHE_VIEWS": 8}
    if trainer in SCHEDULES:  # with the published optimizer and rate
        changed = ("NAME", "LR", "WEIGHT_DECAY", "WARMUP_EPOCH", "WARMUP_TYPE")
        own = {f"OPTIM.{key}": value for key, value in merged(name).OPTIM.items() if key in changed}
    own |= {"INPUT.CACHE_VIEWS": 8} if trainer in ("LAMM_GDA", "TopLAMM_GDA") else {}  # a head on several views
    own |= SLOW_LABELS if trainer == "CoCoOp_LAMM" else {}
    assert other == own
    # The same precision on every machine, in the node that the trainer reads.
    assert merged(name).TRAINER[CLASSES[trainer].config_node].PREC == "fp32"
