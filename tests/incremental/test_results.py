"""Class-incremental results: which folders form a run, its numbers, what is missing, and the table."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lamm.errors import ResultsError
from lamm.incremental.results import IncrementalResult, incremental_findings
from lamm.incremental.table import as_json, draw_incremental, render_matrices, render_overview
from lamm.results import load, mean_and_spread
from lamm.results.table import TABULATE_FORMATS
from tests.incremental.incremental_runs import write_steps

OWN = {1: [[90.0], [80.0, 70.0], [75.0, 72.0, 60.0]], 2: [[92.0], [86.0, 71.0], [83.0, 66.0, 64.0]]}
SEEN = {1: [[90.0], [60.0, 50.0], [40.0, 45.0, 35.0]], 2: [[92.0], [62.0, 52.0], [42.0, 43.0, 37.0]]}


def results_in(folder: Path) -> list[IncrementalResult]:
    return incremental_findings(load(folder)).results


@pytest.fixture
def result(tmp_path: Path) -> IncrementalResult:
    for seed in (1, 2):
        write_steps(tmp_path, OWN[seed], SEEN[seed], seed)
    (found,) = results_in(tmp_path)
    return found


def test_a_result_says_what_it_is_and_where_it_comes_from(result: IncrementalResult, tmp_path: Path) -> None:
    assert (result.dataset, result.shots, result.trainer) == ("digits", 16, "LAMM")
    assert (result.cfg, result.steps, result.seeds) == ("tiny_ep50+STEPS=3", 3, [1, 2])
    assert not result.seen_as_negatives
    above = tmp_path / "output/incremental/digits/shots_16/LAMM/tiny_ep50+STEPS=3"
    places = [f"seed{seed}/step{step}/results.json" for seed in (1, 2) for step in (1, 2, 3)]
    assert result.files == [above / place for place in places]


def test_the_matrices_hold_every_set_after_every_step_for_every_seed(result: IncrementalResult) -> None:
    for matrix, written in ((result.own, OWN), (result.seen, SEEN)):
        assert [[value.values for value in row] for row in matrix] == [
            [tuple(written[seed][step][place] for seed in (1, 2)) for place in range(step + 1)] for step in range(3)
        ]


def test_the_fall_is_from_the_step_that_learned_the_set_to_the_last(result: IncrementalResult) -> None:
    assert [value.values for value in result.fall] == [(90 - 75, 92 - 83), (70 - 72, 71 - 66), (0, 0)]
    assert result.average_fall.values == pytest.approx([(15 - 2) / 2, (9 + 5) / 2])


def test_averages_are_over_the_sets_of_a_step_seed_by_seed(result: IncrementalResult) -> None:
    for averages, written in ((result.own_average, OWN), (result.seen_average, SEEN)):
        for step, average in enumerate(averages):
            assert average.values == pytest.approx([np.mean(written[seed][step]) for seed in (1, 2)])


def test_average_and_last_accuracy_are_over_the_images_of_all_seen_classes(tmp_path: Path) -> None:
    write_steps(tmp_path, OWN[1], SEEN[1], images=[30, 20, 10])
    (result,) = results_in(tmp_path)
    stages = [90.0, (60 * 30 + 50 * 20) / 50, (40 * 30 + 45 * 20 + 35 * 10) / 60]
    assert [value.mean for value in result.stage] == pytest.approx(stages)
    average, last = result.average_accuracy, result.last_accuracy
    assert average is not None
    assert last is not None
    assert (average.mean, last.mean) == pytest.approx((sum(stages) / 3, stages[-1]))


def test_a_recorded_accuracy_over_all_images_needs_no_predictions(tmp_path: Path) -> None:
    above = write_steps(tmp_path, TWO_STEPS, LOWER)
    for step, value in ((1, 50.0), (2, 38.0)):
        file = above / f"seed1/step{step}/results.json"
        content = json.loads(file.read_text())
        content["metrics"]["stage_accuracy"] = value
        file.write_text(json.dumps(content))
    (result,) = results_in(tmp_path)
    assert [value.values for value in result.stage] == [(50.0,), (38.0,)]
    text = render_matrices([result])
    assert [line.split()[-1] for line in text.splitlines() if "all seen" in line] == ["50.00", "38.00", "44.00"]
    assert render_overview([result]).split()[-2:] == ["44.00", "38.00"]
    numbers = [(x["after"], float(x["mean"])) for x in csv.DictReader(io.StringIO(render_matrices([result], "csv")))
               if x["set"] == "all images"]  # fmt: skip
    assert numbers == [("step 1", 50.0), ("step 2", 38.0), ("mean over steps", 44.0)]
    assert as_json(result)["average_accuracy"]["values"] == [44.0]


def test_runs_that_do_not_tell_the_number_of_images_have_neither(result: IncrementalResult) -> None:
    assert (result.stage, result.average_accuracy, result.last_accuracy) == ([], None, None)
    assert "all images" not in render_matrices([result])
    assert render_overview([result]).split()[-2:] == ["-", "-"]
    assert as_json(result)["last_accuracy"] is None


def test_one_step_has_nothing_to_fall_from(tmp_path: Path) -> None:
    write_steps(tmp_path, [[50.0]], [[50.0]])
    (result,) = results_in(tmp_path)
    assert (result.steps, result.fall[0].mean, result.average_fall.mean) == (1, 0.0, 0.0)


def test_a_seed_that_is_not_through_is_left_out_and_named(tmp_path: Path) -> None:
    write_steps(tmp_path, OWN[1], SEEN[1], seed=1)
    above = write_steps(tmp_path, OWN[2], SEEN[2], seed=2, finished=2)
    write_steps(tmp_path, OWN[2], SEEN[2], seed=3)
    (above / "seed3" / "step2" / "results.json").unlink()
    (result,) = results_in(tmp_path)
    assert (result.seeds, result.unfinished) == ([1], [2, 3])


def test_a_method_without_a_whole_seed_is_no_result(tmp_path: Path) -> None:
    write_steps(tmp_path, OWN[1], SEEN[1], finished=2)
    assert results_in(tmp_path) == []


def test_methods_and_options_are_results_of_their_own(tmp_path: Path) -> None:
    write_steps(tmp_path, OWN[1], SEEN[1], trainer="LAMM")
    write_steps(tmp_path, OWN[1][:2], SEEN[1][:2], trainer="LAMM")
    write_steps(tmp_path, OWN[1], SEEN[1], trainer="LAMM", negatives=True)
    write_steps(tmp_path, OWN[1], SEEN[1], trainer="CoOp")
    found = [(one.trainer, one.steps, one.seen_as_negatives) for one in results_in(tmp_path)]
    assert found == [("CoOp", 3, False), ("LAMM", 2, False), ("LAMM", 3, False), ("LAMM", 3, True)]


def test_a_step_that_does_not_say_how_many_there_are_is_an_error(tmp_path: Path) -> None:
    above = write_steps(tmp_path, OWN[1], SEEN[1])
    (above / "seed1" / "step2" / "config.yaml").write_text("OPTIM: {}\n")
    with pytest.raises(ResultsError, match=r"step2/config\.yaml does not say how many steps"):
        results_in(tmp_path)


def test_the_table_of_runs_has_a_row_for_each_step(tmp_path: Path) -> None:
    write_steps(tmp_path, OWN[1], SEEN[1])
    table = mean_and_spread(load(tmp_path))
    assert list(table.cfg) == [f"tiny_ep50+STEPS=3/step{step}" for step in (1, 2, 3)]
    assert [value.mean for value in table.accuracy] == [90.0, 70.0, 60.0]


@pytest.mark.parametrize("layout", ["plain", "latex"])
def test_a_table_has_a_line_for_each_step_and_way_of_scoring(result: IncrementalResult, layout: str) -> None:
    text = render_matrices([result], layout)
    lines = [line for line in text.splitlines() if "own" in line or "all seen" in line]
    assert [sum(word in line for line in lines) for word in ("step", "fall", "own", "all seen")] == [6, 1, 4, 3]
    pm = r"$\pm$" if layout == "latex" else "±"
    fall = next(line for line in lines if "fall" in line)
    for number in (f"12.00 {pm} 3.00", f"1.50 {pm} 3.50", f"0.00 {pm} 0.00", f"6.75 {pm} 0.25"):
        assert number in fall


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    write_steps(tmp_path, OWN[1], SEEN[1])
    text = render_matrices(results_in(tmp_path))
    assert text.startswith("digits, 16 shots, LAMM, tiny_ep50+STEPS=3, seed 1\n")
    assert "±" not in text


def test_csv_has_every_number_unrounded(result: IncrementalResult) -> None:
    lines = list(csv.DictReader(io.StringIO(render_matrices([result], "csv"))))
    (cell,) = [x for x in lines if (x["classes"], x["after"], x["set"]) == ("all seen", "step 3", "2")]
    assert (float(cell["mean"]), float(cell["std"])) == (44.0, 1.0)
    assert len(lines) == 2 * (6 + 3) + 4


def test_json_holds_the_values_of_every_seed(result: IncrementalResult) -> None:
    (content,) = json.loads(render_matrices([result], "json"))
    assert content == json.loads(json.dumps(as_json(result)))
    assert content["own"][2][1] == {"mean": 69.0, "std": 3.0, "values": [72.0, 66.0]}
    assert content["average_fall"]["mean"] == pytest.approx(6.75)


@pytest.mark.parametrize("layout", TABULATE_FORMATS)
def test_the_overview_has_a_line_per_method(result: IncrementalResult, tmp_path: Path, layout: str) -> None:
    write_steps(tmp_path, OWN[1], SEEN[1], trainer="CoOp")
    text = render_overview(results_in(tmp_path), layout)
    (coop,) = [line for line in text.splitlines() if "CoOp" in line]
    assert "69.00" in coop  # (75 + 72 + 60) / 3
    assert "6.50" in coop
    assert "40.00" in coop  # (40 + 45 + 35) / 3


def test_a_picture_comes_out(result: IncrementalResult, tmp_path: Path) -> None:
    file = tmp_path / "matrix.png"
    draw_incremental(result, file)
    assert len(np.unique(np.asarray(Image.open(file)).reshape(-1, 4), axis=0)) > 50


def test_many_steps_and_equal_numbers_can_be_drawn(tmp_path: Path) -> None:
    full = [[100.0] * step for step in range(1, 16)]
    write_steps(tmp_path, full, full)
    (result,) = results_in(tmp_path)
    draw_incremental(result, tmp_path / "many.png")
    assert (tmp_path / "many.png").is_file()


TWO_STEPS = [[90.0], [80.0, 70.0]]
LOWER = [[50.0], [40.0, 30.0]]


def test_a_method_of_which_no_seed_is_whole_is_named_beside_the_others(tmp_path: Path) -> None:
    write_steps(tmp_path, TWO_STEPS, TWO_STEPS)
    above = write_steps(tmp_path, TWO_STEPS, TWO_STEPS, trainer="CoOp", finished=1)
    found = incremental_findings(load(tmp_path))
    assert [result.trainer for result in found.results] == ["LAMM"]
    assert found.problems == [f"left out: seed 1 in {above} is not through its 2 steps"]


def test_a_seed_that_only_other_settings_have_is_missing(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_steps(tmp_path, TWO_STEPS, TWO_STEPS, seed)
    write_steps(tmp_path, TWO_STEPS, TWO_STEPS, negatives=True)
    found = incremental_findings(load(tmp_path))
    assert [result.seeds for result in found.results] == [[1, 2], [1]]
    (problem,) = found.problems
    assert problem.startswith("missing: seed 2 of digits, 16 shots, LAMM, tiny_ep50+STEPS=2+SEEN_AS_NEGATIVES=True")


def test_seeds_of_another_trainer_or_number_of_steps_are_not_expected(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_steps(tmp_path, TWO_STEPS, TWO_STEPS, seed)
    write_steps(tmp_path, TWO_STEPS, TWO_STEPS, trainer="CoOp")
    write_steps(tmp_path, TWO_STEPS[:1], TWO_STEPS[:1])
    assert incremental_findings(load(tmp_path)).problems == []


def test_of_two_folders_of_a_seed_the_first_counts_and_the_other_is_named(tmp_path: Path) -> None:
    write_steps(tmp_path / "other", LOWER, LOWER)
    above = write_steps(tmp_path, TWO_STEPS, TWO_STEPS)
    shutil.move(tmp_path / "other/output/incremental/digits/shots_16/LAMM" / above.name / "seed1", above / "seed1_old")
    shutil.rmtree(tmp_path / "other")
    found = incremental_findings(load(tmp_path))
    (result,) = found.results
    assert (result.own[0][0].values, result.own[1][0].values) == ((90.0,), (80.0,))
    (problem,) = found.problems
    assert problem.startswith("there twice, the first counts: seed 1 of digits, 16 shots, LAMM")
    assert problem.endswith(f"in {above / 'seed1'} and {above / 'seed1_old'}")


def test_a_whole_folder_of_a_seed_comes_before_a_broken_one_and_they_are_not_mixed(tmp_path: Path) -> None:
    above = write_steps(tmp_path, TWO_STEPS, TWO_STEPS)
    shutil.copytree(above / "seed1", above / "seed1_again")
    (above / "seed1/step2/results.json").unlink()
    found = incremental_findings(load(tmp_path))
    (result,) = found.results
    assert {file.parents[1].name for file in result.files} == {"seed1_again"}
    assert len(found.problems) == 1


def test_only_the_trainers_asked_for_are_looked_at(tmp_path: Path) -> None:
    write_steps(tmp_path, TWO_STEPS, TWO_STEPS)
    write_steps(tmp_path, TWO_STEPS, TWO_STEPS, trainer="CoOp", finished=1)
    found = incremental_findings(load(tmp_path, trainers=["LAMM"]))
    assert ([result.trainer for result in found.results], found.problems) == (["LAMM"], [])


def test_a_copied_step_is_named_and_not_taken(tmp_path: Path) -> None:
    above = write_steps(tmp_path, TWO_STEPS, TWO_STEPS)
    shutil.copytree(above / "seed1/step1", above / "seed1/step1_old")
    results = above / "seed1/step1_old/results.json"
    results.write_text(results.read_text().replace("90.0", "10.0"))
    found = incremental_findings(load(tmp_path))
    assert found.results[0].own[0][0].values == (90.0,)
    (problem,) = found.problems
    assert problem.startswith("there twice, the first counts: step 1 of seed 1 of digits")


def test_killed_steps_that_left_a_log_alone_are_named(tmp_path: Path) -> None:
    write_steps(tmp_path, TWO_STEPS, TWO_STEPS)
    killed = tmp_path / "output/incremental/digits/shots_16/CoOp/tiny_ep50+STEPS=2/seed1/step1"
    killed.mkdir(parents=True)
    (killed / "log.txt").write_text("epoch [1/50] batch [5/5]\n")
    (problem,) = incremental_findings(load(tmp_path)).problems
    assert problem.startswith(f"unfinished: {killed} (")
