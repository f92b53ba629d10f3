"""Steps on disk put together: what is unfinished, missing or there twice is named, and nothing is mixed."""

import shutil
from pathlib import Path

from lamm.incremental.results import incremental_findings
from lamm.results import load
from tests.incremental.incremental_files import write_steps

OWN = [[90.0], [80.0, 70.0]]
LOWER = [[50.0], [40.0, 30.0]]


def test_a_method_of_which_no_seed_is_whole_is_named_beside_the_others(tmp_path: Path) -> None:
    write_steps(tmp_path, OWN, OWN)
    above = write_steps(tmp_path, OWN, OWN, trainer="CoOp", finished=1)
    found = incremental_findings(load(tmp_path))
    assert [result.trainer for result in found.results] == ["LAMM"]
    assert found.problems == [f"left out: seed 1 in {above} is not through its 2 steps"]


def test_a_seed_that_only_other_settings_have_is_missing(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_steps(tmp_path, OWN, OWN, seed)
    write_steps(tmp_path, OWN, OWN, negatives=True)
    found = incremental_findings(load(tmp_path))
    assert [result.seeds for result in found.results] == [[1, 2], [1]]
    (problem,) = found.problems
    assert problem.startswith("missing: seed 2 of digits, 16 shots, LAMM, tiny_ep50+STEPS=2+SEEN_AS_NEGATIVES=True")


def test_seeds_of_another_trainer_or_number_of_steps_are_not_expected(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_steps(tmp_path, OWN, OWN, seed)
    write_steps(tmp_path, OWN, OWN, trainer="CoOp")
    write_steps(tmp_path, OWN[:1], OWN[:1])
    assert incremental_findings(load(tmp_path)).problems == []


def test_of_two_folders_of_a_seed_the_first_counts_and_the_other_is_named(tmp_path: Path) -> None:
    write_steps(tmp_path / "other", LOWER, LOWER)
    above = write_steps(tmp_path, OWN, OWN)
    shutil.move(tmp_path / "other/output/incremental/digits/shots_16/LAMM" / above.name / "seed1", above / "seed1_old")
    shutil.rmtree(tmp_path / "other")
    found = incremental_findings(load(tmp_path))
    (result,) = found.results
    assert (result.own[0][0].values, result.own[1][0].values) == ((90.0,), (80.0,))
    (problem,) = found.problems
    assert problem.startswith("there twice, the first counts: seed 1 of digits, 16 shots, LAMM")
    assert problem.endswith(f"in {above / 'seed1'} and {above / 'seed1_old'}")


def test_a_whole_folder_of_a_seed_comes_before_a_broken_one_and_they_are_not_mixed(tmp_path: Path) -> None:
    above = write_steps(tmp_path, OWN, OWN)
    shutil.copytree(above / "seed1", above / "seed1_again")
    (above / "seed1/step2/results.json").unlink()
    found = incremental_findings(load(tmp_path))
    (result,) = found.results
    assert {file.parents[1].name for file in result.files} == {"seed1_again"}
    assert len(found.problems) == 1


def test_only_the_trainers_asked_for_are_looked_at(tmp_path: Path) -> None:
    write_steps(tmp_path, OWN, OWN)
    write_steps(tmp_path, OWN, OWN, trainer="CoOp", finished=1)
    found = incremental_findings(load(tmp_path, trainers=["LAMM"]))
    assert ([result.trainer for result in found.results], found.problems) == (["LAMM"], [])


def test_a_copied_step_is_named_and_not_taken(tmp_path: Path) -> None:
    above = write_steps(tmp_path, OWN, OWN)
    shutil.copytree(above / "seed1/step1", above / "seed1/step1_old")
    results = above / "seed1/step1_old/results.json"
    results.write_text(results.read_text().replace("90.0", "10.0"))
    found = incremental_findings(load(tmp_path))
    assert found.results[0].own[0][0].values == (90.0,)
    (problem,) = found.problems
    assert problem.startswith("there twice, the first counts: step 1 of seed 1 of digits")


def test_killed_steps_that_left_a_log_alone_are_named(tmp_path: Path) -> None:
    write_steps(tmp_path, OWN, OWN)
    killed = tmp_path / "output/incremental/digits/shots_16/CoOp/tiny_ep50+STEPS=2/seed1/step1"
    killed.mkdir(parents=True)
    (killed / "log.txt").write_text("epoch [1/50] batch [5/5]\n")
    (problem,) = incremental_findings(load(tmp_path)).problems
    assert problem.startswith(f"unfinished: {killed} (")
