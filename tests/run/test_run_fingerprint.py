"""When two runs are the same run."""

import lamm_trainers
import pytest

from lamm.engine import get_cfg_default
from lamm.errors import ConfigError
from lamm.run.fingerprint import config_hash, differing_keys, store_config


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
