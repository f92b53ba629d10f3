"""The config tree, key for key that of Dassl; merging files and options, with one line for every mistake."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from yacs.config import CfgNode

from lamm.engine.embedded.config import cfg_default, clean_cfg, get_cfg_default, merge_config
from lamm.errors import ConfigError

LOADER = {"SAMPLER": "RandomSampler", "BATCH_SIZE": 32, "N_DOMAIN": 0, "N_INS": 16}

DASSL_DEFAULTS: dict[str, Any] = {
    "VERSION": 1,
    "OUTPUT_DIR": "./output",
    "RESUME": "",
    "SEED": -1,
    "USE_CUDA": True,
    "VERBOSE": True,
    "INPUT": {
        "SIZE": (224, 224),
        "INTERPOLATION": "bilinear",
        "TRANSFORMS": (),
        "NO_TRANSFORM": False,
        "PIXEL_MEAN": [0.485, 0.456, 0.406],
        "PIXEL_STD": [0.229, 0.224, 0.225],
        "CROP_PADDING": 4,
        "RRCROP_SCALE": (0.08, 1.0),
        "CUTOUT_N": 1,
        "CUTOUT_LEN": 16,
        "GN_MEAN": 0.0,
        "GN_STD": 0.15,
        "RANDAUGMENT_N": 2,
        "RANDAUGMENT_M": 10,
        "COLORJITTER_B": 0.4,
        "COLORJITTER_C": 0.4,
        "COLORJITTER_S": 0.4,
        "COLORJITTER_H": 0.1,
        "RGS_P": 0.2,
        "GB_P": 0.5,
        "GB_K": 21,
    },
    "DATASET": {
        "ROOT": "",
        "NAME": "",
        "SOURCE_DOMAINS": (),
        "TARGET_DOMAINS": (),
        "NUM_LABELED": -1,
        "NUM_SHOTS": -1,
        "VAL_PERCENT": 0.1,
        "STL10_FOLD": -1,
        "CIFAR_C_TYPE": "",
        "CIFAR_C_LEVEL": 1,
        "ALL_AS_UNLABELED": False,
    },
    "DATALOADER": {
        "NUM_WORKERS": 4,
        "K_TRANSFORMS": 1,
        "RETURN_IMG0": False,
        "TRAIN_X": LOADER,
        "TRAIN_U": {**LOADER, "SAME_AS_X": True},
        "TEST": {"SAMPLER": "SequentialSampler", "BATCH_SIZE": 32},
    },
    "MODEL": {
        "INIT_WEIGHTS": "",
        "BACKBONE": {"NAME": "", "PRETRAINED": True},
        "HEAD": {"NAME": "", "HIDDEN_LAYERS": (), "ACTIVATION": "relu", "BN": True, "DROPOUT": 0.0},
    },
    "OPTIM": {
        "NAME": "adam",
        "LR": 0.0003,
        "WEIGHT_DECAY": 5e-4,
        "MOMENTUM": 0.9,
        "SGD_DAMPNING": 0,
        "SGD_NESTEROV": False,
        "RMSPROP_ALPHA": 0.99,
        "ADAM_BETA1": 0.9,
        "ADAM_BETA2": 0.999,
        "STAGED_LR": False,
        "NEW_LAYERS": (),
        "BASE_LR_MULT": 0.1,
        "LR_SCHEDULER": "single_step",
        "STEPSIZE": (-1,),
        "GAMMA": 0.1,
        "MAX_EPOCH": 10,
        "WARMUP_EPOCH": -1,
        "WARMUP_TYPE": "linear",
        "WARMUP_CONS_LR": 1e-5,
        "WARMUP_MIN_LR": 1e-5,
        "WARMUP_RECOUNT": True,
    },
    "TRAIN": {"CHECKPOINT_FREQ": 0, "PRINT_FREQ": 10, "COUNT_ITER": "train_x"},
    "TEST": {
        "EVALUATOR": "Classification",
        "PER_CLASS_RESULT": False,
        "COMPUTE_CMAT": False,
        "NO_TEST": False,
        "SPLIT": "test",
        "FINAL_MODEL": "last_step",
    },
    "TRAINER": {"NAME": ""},
}


def leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        full_key = f"{prefix}{key}"
        found.update(leaves(value, full_key + ".") if isinstance(value, dict) else {full_key: value})
    return found


def test_keys_values_and_types_are_dassls():
    ours, theirs = leaves(get_cfg_default()), leaves(DASSL_DEFAULTS)
    assert ours == theirs
    assert {key: type(value) for key, value in ours.items()} == {key: type(value) for key, value in theirs.items()}


def test_each_call_gives_a_plain_yacs_node_of_its_own():
    assert type(get_cfg_default()) is type(get_cfg_default().INPUT) is CfgNode
    get_cfg_default().OPTIM.LR = 5.0
    assert get_cfg_default().OPTIM.LR == cfg_default.OPTIM.LR == 0.0003


def test_plain_yacs_errors_stay_as_they_are():
    with pytest.raises(AssertionError, match=r"^Non-existent key: OPTIM.LRR$"):
        get_cfg_default().merge_from_list(["OPTIM.LRR", "0.1"])


def test_clean_cfg_keeps_the_name_and_the_trainers_own_node():
    cfg = get_cfg_default()
    cfg.TRAINER.COOP = CfgNode({"N_CTX": 16})
    cfg.TRAINER.MAPLE = CfgNode({"N_CTX": 2})
    clean_cfg(cfg, "CoOp")
    assert set(cfg.TRAINER) == {"NAME", "COOP"}


@pytest.fixture
def cfg():
    return get_cfg_default()


@pytest.fixture
def yaml_file(tmp_path):
    def write(text: str, name: str = "run.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def message(cfg, files=(), options=()) -> str:
    with pytest.raises(ConfigError) as error:
        merge_config(cfg, files, options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_text_that_is_a_literal_is_evaluated(cfg, yaml_file):
    text = 'INPUT:\n  SIZE: "(32, 48)"\n  TRANSFORMS: [random_flip]\nOPTIM:\n  WARMUP_CONS_LR: 1e-3\n  NAME: sgd\n'
    merge_config(cfg, [yaml_file(text)], [])
    assert cfg.INPUT.SIZE == (32, 48)
    assert cfg.INPUT.TRANSFORMS == ("random_flip",)
    assert cfg.OPTIM.WARMUP_CONS_LR == 0.001
    assert cfg.OPTIM.NAME == "sgd"


def test_a_list_stays_a_list_where_the_default_is_one(cfg):
    merge_config(cfg, [], ["INPUT.PIXEL_MEAN", "(0.1, 0.2, 0.3)"])
    assert cfg.INPUT.PIXEL_MEAN == [0.1, 0.2, 0.3]


def test_later_files_and_then_options_win(cfg, yaml_file):
    first = yaml_file("SEED: 1\nOPTIM: {MAX_EPOCH: 2}", "a.yaml")
    second = yaml_file("SEED: 2", "b.yml")
    merge_config(cfg, [first, second], ["OPTIM.LR", "0.5"])
    assert (cfg.SEED, cfg.OPTIM.MAX_EPOCH, cfg.OPTIM.LR) == (2, 2, 0.5)
    merge_config(cfg, [first], ["SEED", "7"])
    assert cfg.SEED == 7


def test_none_is_accepted_for_every_value(cfg):
    merge_config(cfg, [], ["OPTIM.LR", "None"])
    assert cfg.OPTIM.LR is None


def test_file_of_comments_only_changes_nothing(cfg, yaml_file):
    merge_config(cfg, [yaml_file("# nothing\n")], [])
    assert cfg == get_cfg_default()


def test_keys_that_yacs_lets_be_added_are_added(cfg, yaml_file):
    cfg.TRAINER.set_new_allowed(True)
    merge_config(cfg, [yaml_file("TRAINER:\n  MINE: {N: 3}\n")], [])
    assert cfg.TRAINER.MINE.N == 3


def test_deprecated_key_is_ignored_and_renamed_key_names_the_new_one(cfg, yaml_file):
    cfg.register_deprecated_key("OPTIM.OLD")
    cfg.register_renamed_key("OPTIM.RATE", "OPTIM.LR")
    merge_config(cfg, [yaml_file("OPTIM: {OLD: 1}")], ["OPTIM.OLD", "1"])
    assert "OPTIM.LR" in message(cfg, options=["OPTIM.RATE", "0.1"])
    assert "OPTIM.LR" in message(cfg, [yaml_file("OPTIM: {RATE: 0.1}")])


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("OPTIM.LRR", "OPTIM.LR"),
        ("LR", "OPTIM.LR"),
        ("DATALODER.NUM_WORKERS", "DATALOADER.NUM_WORKERS"),
        ("TRAIN.BATCH_SIZE", "DATALOADER.TRAIN_X.BATCH_SIZE"),
        ("OPTIM.LR.X", "OPTIM.LR"),
    ],
)
def test_unknown_option_suggests_the_nearest_full_key(cfg, key, nearest):
    assert message(cfg, options=[key, "1"]) == (
        f'unknown config key "{key}" on the command line; did you mean "{nearest}"?'
    )


def test_unknown_key_of_a_file_names_file_and_full_key(cfg, yaml_file):
    path = yaml_file("DATALODER:\n  TRAIN_X:\n    BATCH_SIZE: 4\n")
    assert message(cfg, [path]) == (
        f'unknown config key "DATALODER.TRAIN_X.BATCH_SIZE" in {path}; did you mean "DATALOADER.TRAIN_X.BATCH_SIZE"?'
    )


def test_dotted_key_in_a_file_says_to_indent(cfg, yaml_file):
    assert "indent the key under its section" in message(cfg, [yaml_file("OPTIM.LR: 0.1")])


@pytest.mark.parametrize(
    ("key", "value", "rest"),
    [
        ("OPTIM.LR", "1", "takes float (now 0.0003), got int 1; write 1.0"),
        ("OPTIM.MAX_EPOCH", "4.0", "takes int (now 10), got float 4.0; write 4"),
        ("USE_CUDA", "0", "takes bool (now True), got int 0; write True or False"),
        ("OUTPUT_DIR", "2024", """takes str (now './output'), got int 2024; write "'2024'" to make it a text"""),
        ("INPUT.SIZE", "224", "takes tuple (now (224, 224)), got int 224"),
        ("OPTIM.MAX_EPOCH", "many", "takes int (now 10), got str 'many'"),
    ],
)
def test_value_of_another_type_is_refused(cfg, key, value, rest):
    assert message(cfg, options=[key, value]) == f'config key "{key}" on the command line {rest}'


@pytest.mark.parametrize("text", ["OPTIM: 3", "OPTIM:"])
def test_value_for_a_section_is_refused(cfg, yaml_file, text):
    assert '"OPTIM"' in message(cfg, [yaml_file(text)])
    assert "is a section, not a value" in message(cfg, [yaml_file(text)])


def test_section_for_a_value_is_refused(cfg, yaml_file):
    assert "takes int (now -1)" in message(cfg, [yaml_file("SEED: {A: 1}")])


def test_values_that_no_key_can_hold_are_refused(cfg, yaml_file):
    assert "takes str (now './output'), got date" in message(cfg, [yaml_file("OUTPUT_DIR: 2024-01-01")])
    assert "OPTIM.LR" in message(cfg, options=["OPTIM.LR", "{[]: 1}"])


def test_key_without_value_is_refused(cfg):
    expected = 'option "SEED" on the command line has no value; options are pairs KEY VALUE'
    assert message(cfg, options=["OPTIM.LR", "0.1", "SEED"]) == expected


def test_equals_sign_is_refused_with_the_right_form(cfg):
    assert "a space" in message(cfg, options=["OPTIM.LR=0.1"])


def test_missing_file_is_refused(cfg, tmp_path):
    assert message(cfg, [tmp_path / "no.yaml"]) == f"config file {tmp_path / 'no.yaml'} does not exist; check the path"


def test_folder_is_refused(cfg, tmp_path):
    assert "can't be read" in message(cfg, [tmp_path])


def test_python_file_is_refused_and_not_run(cfg, yaml_file, tmp_path):
    path = yaml_file(f"open({str(tmp_path / 'ran')!r}, 'w')\ncfg = {{}}\n", "run.py")
    assert "is not YAML" in message(cfg, [path])
    assert not (tmp_path / "ran").exists()


def test_broken_yaml_names_the_line(cfg, yaml_file):
    assert "is not valid YAML: line 2" in message(cfg, [yaml_file("SEED: 1\na: b: c\n")])


def test_yaml_that_builds_python_objects_is_refused(cfg, yaml_file):
    assert "is not valid YAML" in message(cfg, [yaml_file("SEED: !!python/object/apply:os.getpid []")])


@pytest.mark.parametrize(("text", "kind"), [("- a\n- b", "list"), ("hello", "str")])
def test_yaml_that_is_no_mapping_is_refused(cfg, yaml_file, text, kind):
    assert f"holds a {kind}, not a mapping" in message(cfg, [yaml_file(text)])


def test_text_of_another_encoding_is_refused(cfg, tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("OUTPUT_DIR: caf\xe9".encode("latin-1"))
    assert "save it as UTF-8" in message(cfg, [path])


def test_ctx_init_changes_between_words_and_the_switch_of_other_repositories(cfg, yaml_file):
    cfg.TRAINER.COOP = CfgNode({"CTX_INIT": "", "CSC": False})
    merge_config(cfg, [yaml_file("TRAINER: {COOP: {CTX_INIT: true}}")], [])
    assert cfg.TRAINER.COOP.CTX_INIT is True
    merge_config(cfg, [], ["TRAINER.COOP.CTX_INIT", "a photo of a"])
    assert cfg.TRAINER.COOP.CTX_INIT == "a photo of a"
    merge_config(cfg, [], ["TRAINER.COOP.CTX_INIT", "False"])
    assert cfg.TRAINER.COOP.CTX_INIT is False
    assert "CTX_INIT" in message(cfg, options=["TRAINER.COOP.CTX_INIT", "3"])
    assert "takes bool" in message(cfg, options=["TRAINER.COOP.CSC", "words"])


NAMES = "abcdefghijk"
BOMB = "a: &a [1, 2, 3]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in itertools.pairwise(NAMES)
)


@pytest.mark.parametrize(
    "text",
    [
        "INPUT: {TRANSFORMS: &x [*x]}",
        BOMB,
        "INPUT: " + "[" * 100_000,
        "INPUT: " + "{a: " * 100_000,
        "SEED: " + "9" * 5000,
        "SEED: " + "1:" * 100_000 + "1",
        'SEED: !!int ""',
        "SEED: !!bool maybe",
        'SEED: !!timestamp "x"',
        "SEED: !!float ''",
        "a: &a 1\nb: [" + "*a, " * 1000 + "1]",
        "# " + "x" * 2**20,
    ],
)
def test_yaml_that_is_more_than_its_size_is_refused_at_once(cfg, yaml_file, text):
    assert len(message(cfg, [yaml_file(text)])) < 400


def test_a_plain_alias_is_read(cfg, yaml_file):
    merge_config(cfg, [yaml_file("OPTIM: {LR: &rate 0.5, WARMUP_MIN_LR: *rate}")], [])
    assert cfg.OPTIM.WARMUP_MIN_LR == 0.5


@pytest.mark.parametrize("value", ["[" * 100_000, "-" * 20_000 + "1", "9" * 5000, "0x" + "f" * 5000, "1" + "-1" * 9999])
def test_a_huge_value_or_key_is_one_short_line(cfg, value):
    assert len(message(cfg, options=["OPTIM.LR", value])) < 300
    assert len(message(cfg, options=[value, "1"])) < 300


def test_a_section_takes_no_value_not_even_none(cfg):
    assert "is a section, not a value" in message(cfg, options=["OPTIM", "None"])
