"""When two runs are the same run, and where a run lies: different overrides never share a folder."""

import hashlib
import json
from pathlib import Path

import lamm_trainers
import pytest

from lamm.engine import TRAINER_REGISTRY, get_cfg_default
from lamm.errors import ConfigError
from lamm.run.fingerprint import (
    ADDED,
    DASSL_NODES,
    IGNORED,
    config_hash,
    differing_keys,
    flat,
    is_hash_of,
    output_folder,
    override_suffix,
    store_config,
)


def config(*options):
    cfg = get_cfg_default()
    lamm_trainers.extend_cfg(cfg)
    cfg.merge_from_list(list(options))
    return cfg


@pytest.mark.parametrize(
    "options",
    [("OPTIM.LR", 0.5), ("DATASET.ROOT", "/x"), ("SEED", 0), ("TRAINER.LAMM.LAMBDA_KD", 0.1), ("RESUME", "/x")],
)
def test_what_changes_the_run_changes_the_hash(options):
    assert config_hash(config(), "a") != config_hash(config(*options), "a")


def config_of(trainer, *others):
    """The config of a run, with a node for each of other trainers."""
    cfg = config("TRAINER.NAME", trainer)
    for node in others:
        cfg.TRAINER[node] = type(cfg)({"ALPHA": 0.5})
    return cfg


@pytest.mark.parametrize("trainer", ["LAMM", "CoOp_LAMM", "ZeroshotCLIP", "SomeoneElses"])
def test_installing_or_removing_dassl_makes_no_other_run(tmp_path, trainer):
    without, beside = (config_of(trainer, *nodes) for nodes in ((), DASSL_NODES))
    for one, other in ((without, beside), (beside, without)):
        store_config(one, tmp_path)
        assert differing_keys(other, tmp_path) == []
        assert is_hash_of(config_hash(one, "s"), other, "s", tmp_path)
        assert not is_hash_of(config_hash(one, "s"), other, "another split", tmp_path)


def test_a_trainer_of_ours_reads_its_own_nodes_and_no_others():
    assert config_hash(config_of("LAMM"), "") == config_hash(config_of("LAMM", "MINE"), "")
    for trainer, key, counts in [
        ("LAMM", "TRAINER.COOP.N_CTX", False),
        ("CoOp_LAMM", "TRAINER.COOP.N_CTX", True),
        ("CoOp_LAMM", "TRAINER.LAMM.PREC", True),
        ("CoOp", "TRAINER.LAMM.PREC", False),
        ("SomeoneElses", "TRAINER.COOP.N_CTX", True),
    ]:
        cfg = config_of(trainer)
        cfg.merge_from_list([key, 3 if key.endswith("N_CTX") else "fp16"])
        assert (config_hash(config_of(trainer), "") != config_hash(cfg, "")) == counts, (trainer, key)


def test_a_trainer_derived_from_ours_may_read_any_node(monkeypatch):
    class Derived(lamm_trainers.CoOp):
        pass

    monkeypatch.setattr(TRAINER_REGISTRY, "registered_names", lambda: ["Derived"])
    monkeypatch.setattr(TRAINER_REGISTRY, "get", lambda name: Derived)
    assert config_hash(config_of("Derived"), "") != config_hash(config_of("Derived", "MINE"), "")


def test_a_run_that_an_earlier_version_recorded_is_the_same_run(tmp_path):
    cfg = config_of("LAMM", "MCD")
    store_config(cfg, tmp_path)
    # Earlier versions hashed every key, those of other trainers too.
    level = {key: value for key, value in flat(cfg).items() if key not in IGNORED and key not in ADDED}
    recorded = hashlib.sha256(json.dumps([level, "split"], sort_keys=True).encode()).hexdigest()[:16]
    assert recorded != config_hash(cfg, "split")
    assert is_hash_of(recorded, config_of("LAMM"), "split", tmp_path)
    assert not is_hash_of(recorded, config_of("LAMM"), "other", tmp_path)


def test_another_split_changes_the_hash():
    assert config_hash(config(), "a") != config_hash(config(), "b")


@pytest.mark.parametrize("options", [("OUTPUT_DIR", "/x"), ("VERBOSE", False), ("DATALOADER.NUM_WORKERS", 0)])
def test_where_a_run_lies_and_what_it_prints_does_not_matter(tmp_path, options):
    assert config_hash(config(), "a") == config_hash(config(*options), "a")
    store_config(config(), tmp_path)
    assert differing_keys(config(*options), tmp_path) == []


def test_lists_and_tuples_are_the_same_value():
    one, other = config(), config()
    other.INPUT.PIXEL_MEAN = tuple(one.INPUT.PIXEL_MEAN)
    assert config_hash(one, "") == config_hash(other, "")


def test_the_keys_that_differ_are_named_with_both_values(tmp_path):
    store_config(config("OPTIM.LR", 0.5, "INPUT.SIZE", (32, 32)), tmp_path)
    assert differing_keys(config("OPTIM.LR", 0.25, "INPUT.SIZE", (32, 32)), tmp_path) == ["OPTIM.LR: 0.5 → 0.25"]


def test_a_key_that_only_one_of_them_has_differs(tmp_path):
    cfg = config()
    store_config(cfg, tmp_path)
    cfg.OPTIM.EXTRA = 1
    assert differing_keys(cfg, tmp_path) == ["OPTIM.EXTRA: (absent) → 1"]


def test_an_empty_folder_differs_in_nothing(tmp_path):
    assert differing_keys(config(), tmp_path) == []


@pytest.mark.parametrize("content", [b"- 1\n", b"a: [", b"\xff\xfe\x00", b"text"])
def test_a_damaged_config_is_an_error(tmp_path, content):
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.yaml can't be read"):
        differing_keys(config(), tmp_path)


@pytest.fixture(scope="module")
def cfg():
    made = get_cfg_default()
    lamm_trainers.extend_cfg(made)
    return made


def test_the_path_names_data_set_shots_trainer_config_and_seed():
    assert output_folder("dtd", 16, "LAMM", "vit+LR=0.1", 3) == Path("output/dtd/shots_16/LAMM/vit+LR=0.1/seed3")
    assert output_folder("dtd", -1, "LAMM", "vit", -1) == Path("output/dtd/shots_all/LAMM/vit/seed-1")
    assert output_folder("dtd", 4, "LAMM", "vit", 0, eval_only=True).parts[:3] == ("output", "evaluation", "dtd")


def test_an_override_is_part_of_the_name_with_the_last_part_of_its_key(cfg):
    assert override_suffix([("TRAINER.LAMM.LAMBDA_KD", "0.1")], cfg) == "+LAMBDA_KD=0.1"
    assert override_suffix([("OPTIM.LR", "1e-5"), ("OPTIM.MAX_EPOCH", "2")], cfg) == "+LR=1e-5+MAX_EPOCH=2"
    assert override_suffix([], cfg) == ""


def test_a_key_is_as_long_as_it_takes_to_mean_no_other(cfg):
    assert override_suffix([("DATALOADER.TEST.BATCH_SIZE", "4")], cfg) == "+TEST.BATCH_SIZE=4"
    assert override_suffix([("DATALOADER.TRAIN_X.BATCH_SIZE", "4")], cfg) == "+TRAIN_X.BATCH_SIZE=4"
    assert override_suffix([("TRAINER.LAMM.PREC", "fp32")], cfg) == "+LAMM.PREC=fp32"


def test_what_the_path_tells_elsewhere_is_not_repeated(cfg):
    told = [("SEED", 1), ("DATASET.NUM_SHOTS", 2), ("DATASET.ROOT", "/x"), ("OUTPUT_DIR", "/y"), ("TRAINER.NAME", "A")]
    assert override_suffix(told, cfg) == ""


def test_any_value_gives_one_plain_folder_name(cfg):
    for value in ("a/b", "a b", "[a, b]", "(224, 224)", "..", "a\nb", "ä", "", "1+LR=2", "x" * 999):
        name = "cfg" + override_suffix([("DATASET.TEMPLATE", value)], cfg)
        assert Path(name).name == name
        assert len(name) < 200
        assert name.isascii()
        assert not set(name) & set(' /\\[](){}"\n')


def test_different_overrides_never_share_a_folder(cfg):
    values = ["a/b", "a b", "a_b", "a__b", "a,b", "[a,b]", "1", "1+LR=2", "x" * 300, "x" * 301]
    names = [override_suffix([("DATASET.TEMPLATE", value)], cfg) for value in values]
    names.append(override_suffix([("DATASET.TEMPLATE", "1"), ("OPTIM.LR", "2")], cfg))
    assert len(set(names)) == len(names)
