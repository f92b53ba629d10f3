"""configs/trainers/<Trainer>/<cfg>.yaml: every file is one that a run can take, and holds the papers' numbers."""

import re

import pytest
import yaml
from lamm_trainers import TRAINERS, extend_cfg
from yacs.config import CfgNode

from lamm.commands.series import METHODS
from lamm.engine import get_cfg_default
from lamm.engine.embedded.config_merge import merge_config
from lamm.run.plan import default_config
from tests.train_command import ROOT

FOLDER = ROOT / "configs" / "trainers"
FILES = {f"{file.parent.name}/{file.stem}": file for file in sorted(FOLDER.glob("*/*.yaml"))}
CLASSES = {trainer.__name__: trainer for trainer in TRAINERS}
LEARNING = [name for name, trainer in CLASSES.items() if trainer.learner_class is not None]
COMMAND = re.compile(r"^#   bash scripts/(\S+)/main\.sh (\S+) (\d+)(?: (\S+))?$", re.MULTILINE)

# The three presets that repeat the authors' published code.
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
ENSEMBLES = {"ZeroshotCLIP/tiny_ensemble": "ZeroshotCLIP/tiny", "ZeroshotCLIP/vit_b16_ensemble": "ZeroshotCLIP/vit_b16"}
SLOW_LABELS = {"OPTIM.LR": 0.01}  # label vectors on batches of 4
COMBINATIONS = {"CoOp_LAMM": "CoOp", "CoCoOp_LAMM": "CoCoOp", "MaPLe_LAMM": "MaPLe"}

# The papers' settings of each method: rate, epochs, batch, and what its own node holds.
LAMM_NODE = {"LAMM.CTX_INIT": "a photo of a"}
COOP_NODE = {
    "COOP.N_CTX": 4,
    "COOP.CTX_INIT": "a photo of a",
    "COOP.CSC": False,
    "COOP.CLASS_TOKEN_POSITION": "end",
}
COCOOP_NODE = {"COCOOP.N_CTX": 4, "COCOOP.CTX_INIT": "a photo of a"}
MAPLE_NODE = {"MAPLE.N_CTX": 2, "MAPLE.CTX_INIT": "a photo of a", "MAPLE.PROMPT_DEPTH": 9}
PAPERS = {
    "LAMM": (0.002, 50, 32, LAMM_NODE),
    "CoOp": (0.002, 50, 32, COOP_NODE),
    "CoOp_LAMM": (0.002, 50, 32, COOP_NODE),
    "CoCoOp": (0.002, 10, 1, COCOOP_NODE),
    "CoCoOp_LAMM": (0.002, 10, 1, COCOOP_NODE),
    "MaPLe": (0.0035, 5, 4, MAPLE_NODE),
    "MaPLe_LAMM": (0.0035, 5, 4, MAPLE_NODE),
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


def test_every_trainer_has_a_folder_of_configs_and_nothing_else_lies_there():
    assert {name.split("/")[0] for name in FILES} == set(CLASSES)
    assert {file for file in FOLDER.rglob("*") if file.is_file()} == set(FILES.values())


@pytest.mark.parametrize("name", FILES)
def test_a_config_merges_touches_no_other_method_and_its_header_holds_its_command(name):
    trainer, config = name.split("/")
    nodes = {CLASSES[trainer].config_node, *(["LAMM"] if trainer.endswith("LAMM") else [])}
    merged(name)
    text = FILES[name].read_text(encoding="utf-8")
    written = yaml.safe_load(text)
    assert set(written.get("TRAINER", {})) <= nodes
    assert "NAME" not in written.get("DATASET", {})
    ((method, dataset, _, word),) = COMMAND.findall(text[: text.index("\nDATALOADER")])
    assert METHODS[method] == trainer
    assert (ROOT / "configs" / "datasets" / f"{dataset}.yaml").is_file()
    default = default_config(trainer, CLASSES[trainer], dataset).stem
    assert word == ("" if config == default else config)


@pytest.mark.parametrize("trainer", LEARNING)
def test_a_real_clip_config_holds_the_papers_settings(trainer):
    rate, epochs, batch, node = PAPERS[trainer]
    cfg = merged(f"{trainer}/{CLASSES[trainer].default_config}")
    expected = {"OPTIM.LR": rate, "OPTIM.MAX_EPOCH": epochs, "DATALOADER.TRAIN_X.BATCH_SIZE": batch}
    assert {key: flat(cfg)[key] for key in expected} == expected
    assert {key: cfg.OPTIM[key] for key in SCHEDULE} == SCHEDULE
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
    assert {key: cfg.INPUT[key] for key in CLIP_INPUT} == CLIP_INPUT
    assert cfg.DATALOADER.TEST.BATCH_SIZE == 100


def test_the_released_presets_differ_from_their_plain_configs_as_the_authors_code_from_the_paper():
    assert {name for name in FILES if "released" in name} == set(RELEASED)
    for name, plain in RELEASED.items():
        assert difference(name, plain) == AS_RELEASED, name


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
    own |= SLOW_LABELS if trainer == "CoCoOp_LAMM" else {}
    assert other == own
    # The same precision on every machine, in the node that the trainer reads.
    assert merged(name).TRAINER[CLASSES[trainer].config_node].PREC == "fp32"
