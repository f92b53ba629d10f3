"""Means over data sets: a method is a trainer with one config."""

from pathlib import Path

import pytest

from lamm.results.collect import GroupKey, Run, RunGroups
from lamm.results.curves import average_curves, curves, without_average


def run(
    accuracy: float, dataset: str = "digits", cfg: str = "tiny_ep50", protocol: str = "few-shot", seed: int = 1
) -> Run:
    key = GroupKey(dataset, 16, "LAMM", cfg, protocol, "test")
    return Run(Path(dataset, cfg, protocol, f"seed{seed}"), key, seed, metrics={"accuracy": accuracy})


def means_of(*runs: Run) -> tuple[dict[str, tuple[float, ...]], list[str]]:
    """By name the means at 16 shots over digits and shapes, and the names of those without one."""
    by_dataset, both = curves(RunGroups(runs).finished), ["digits", "shapes"]
    made = {curve.label: curve.points[16].values for curve in average_curves(by_dataset, both)}
    return made, without_average(by_dataset, both)


def test_runs_of_one_config_are_averaged_seed_by_seed() -> None:
    runs = [run(40.0), run(50.0, seed=2), run(60.0, "shapes"), run(90.0, "shapes", seed=2)]
    assert means_of(*runs) == ({"LAMM": (50.0, 70.0)}, [])


def test_other_configs_on_other_data_sets_are_apart_though_both_are_called_by_the_trainer() -> None:
    released = run(60.0, "shapes", "tiny_ep50_released")
    assert means_of(run(40.0), released) == ({}, ["LAMM (tiny_ep50)", "LAMM (tiny_ep50_released)"])


@pytest.mark.parametrize("cfg", ["tiny_ep50_released", "tiny_ep50+LAMBDA_KD=0.0"])
def test_a_config_finds_its_runs_whatever_stands_beside_them(cfg: str) -> None:
    made, without = means_of(run(40.0), run(60.0, "shapes"), run(90.0, "shapes", cfg))
    assert list(made.values()) == [(50.0,)]
    assert len(without) == 1


def test_logs_in_folders_of_their_own_are_one_method() -> None:
    assert means_of(run(40.0, protocol="first"), run(60.0, "shapes", protocol="second"))[0] == {"LAMM": (50.0,)}


def test_protocols_beside_each_other_are_apart() -> None:
    runs = [
        run(accuracy, dataset, protocol=kind)
        for dataset in ("digits", "shapes")
        for kind, accuracy in (("a", 40.0), ("b", 60.0))
    ]
    assert means_of(*runs) == ({"LAMM (a)": (40.0,), "LAMM (b)": (60.0,)}, [])
