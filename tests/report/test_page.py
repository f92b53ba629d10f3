"""The page as text: its numbers are those of the runs, and it holds up whatever the folder lacks."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamm.commands.parser import run
from lamm.errors import ResultsError
from lamm.report.page import write_report
from lamm.report.panels import dataset_panels
from lamm.results.schema import RunResults
from tests.report.report_runs import LABELS, LEARNED, ZERO_SHOT, RunTree
from tests.train_command import command_module

command = command_module("report")
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """A page's elements: ids, links, tags, attributes; the texts of links that lead to runs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.traces: list[tuple[str, list[str]]] = []
        self._sources: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"]] if tag == "a" else []
        self.loaded += [named[name] for name in ("src", "href") if tag not in ("a", "use") and name in named]
        if tag == "a" and "trace" in named.get("class", ""):
            self._sources = named.get("data-sources", named["href"][1:]).split()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        if self._sources is not None:
            self.traces.append((data.strip(), self._sources))
            self._sources = None

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"


def check(text: str) -> Page:
    """The page, whose elements are closed, ids unique, and links inside it lead somewhere; it loads nothing."""
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert all(source.startswith("data:") for source in page.loaded)
    return page


def test_the_demo_page_is_sound_and_small(demo: RunTree) -> None:
    text = demo.page()
    check(text)
    assert len(text.encode()) < 1_000_000


def test_every_linked_number_comes_from_the_results_it_leads_to(demo: RunTree) -> None:
    material = demo.material()
    page = check(demo.page())
    runs = {anchor: list(some) for anchor, some in material.runs.groupby("anchor").folder}
    checked = 0
    for text, sources in page.traces:
        found = re.fullmatch(r"(−?[\d.]+)(?: ± ([\d.]+))?", text)
        if found is None or "." not in found[1]:
            continue
        read = [RunResults.read(folder / "results.json") for anchor in sources for folder in runs[anchor]]
        by_seed = [
            np.mean([one.metrics["accuracy"] for one in read if one.seed == seed]) for seed in {r.seed for r in read}
        ]
        seconds = {one.seconds_train for one in read}
        digits = len(found[1].partition(".")[2])
        mean = float(found[1])
        if mean in seconds:
            continue
        assert mean == pytest.approx(np.mean(by_seed), abs=0.51 * 10**-digits)
        if found[2]:
            assert float(found[2]) == pytest.approx(np.std(by_seed), abs=0.51 * 10**-digits)
        checked += 1
    assert checked > 40


def test_a_single_run_makes_a_page(tree: RunTree) -> None:
    tree.run(61.25)
    text = tree.page()
    check(text)
    assert "61.2" in text
    assert "Needs predictions.csv" in text
    assert "No run here has class_features.safetensors" in text


def test_runs_without_training_make_a_page(tree: RunTree) -> None:
    tree.run(40.0, trainer="ZeroshotCLIP", cfg="tiny")
    text = tree.page()
    check(text)
    assert "no finished few-shot run of a method that learns" in text


def test_evaluations_alone_make_a_page(tree: RunTree) -> None:
    tree.run(protocol="evaluation", config={"EVALUATION": {"MODEL_DIR": "", "LOAD_EPOCH": -1}})
    text = tree.page()
    check(text)
    assert "There is no finished few-shot run" in text


def test_logs_of_the_original_code_make_a_page(tree: RunTree) -> None:
    folder = tree.output / "caltech101/CoOp/rn50_16shots/nctx16_cscFalse_ctpend/seed1"
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("Finish training\n=> result\n* accuracy: 91.5%\n* macro_f1: 88.0%\n")
    text = tree.page()
    check(text)
    assert "91.5" in text
    assert "the runs don&#39;t say their backbone" in text


def test_unfinished_runs_are_listed(demo: RunTree) -> None:
    folder = demo.run(seed=3, status="running")
    text = demo.page()
    check(text)
    assert "runs are unfinished, missing, there twice or of several engines" in text
    assert f"unfinished: {folder.relative_to(demo.output)}" in text
    assert "its results.json says running" in text


ODD = ['<blink>&"</blink>', "</script><script>alert(1)</script>", "a$b$ \\frac{1}{2} {{ 1 + 1 }}"]


def test_odd_names_are_text(tree: RunTree) -> None:
    tree.full_run(LABELS, ZERO_SHOT, ODD, trainer="ZeroshotCLIP", cfg="tiny", dataset="<i>&data")
    tree.full_run(LABELS, LEARNED[1], ODD, trainer="<u>Mine", dataset="<i>&data")
    text = tree.page(title='<h1>"title"</h1>')
    check(text)
    assert "<blink" not in text
    assert "<i>" not in text.replace('<i class="', "")
    assert "<u>Mine" not in text
    assert "alert(1)</script>" not in text
    assert "{{ 1 + 1 }}" in text
    assert "&lt;blink&gt;&amp;" in text


def test_damaged_files_beside_a_run_leave_the_rest(demo: RunTree) -> None:
    folder = demo.output / "digits/shots_16/LAMM/tiny_ep50/seed1"
    for name in ("predictions.csv", "class_features.safetensors", "classes.json", "config.yaml"):
        (folder / name).write_bytes(b"\xff{")
    text = demo.page()
    check(text)
    assert "predictions.csv is damaged" in text


def test_panels_beyond_the_budget_are_left_out_fewest_shots_first(demo: RunTree) -> None:
    sections = dataset_panels(demo.material(), "", lambda panel: "x" * 100, budget=400)
    assert [[(method, shots) for _, method, shots, _ in one.rendered] for one in sections] == [
        [("LAMM", "16"), ("CoOp", "16")],
        [("LAMM", "16"), ("CoOp", "16")],
    ]
    assert [one.left_out for one in sections] == [2, 2]


def test_the_page_names_each_results_file_relative_to_itself(demo: RunTree) -> None:
    page = check(demo.page())
    files = {link for link in page.links if not link.startswith("#")}
    found = {path.relative_to(demo.output.parent).as_posix() for path in demo.output.rglob("results.json")}
    assert files == found


def test_data_that_have_moved_are_found_by_root(demo: RunTree) -> None:
    moved = demo.data.rename(demo.data.with_name("moved"))
    assert "--root says where the data are now" in demo.page()
    assert "--root" not in demo.page(root=str(moved))


@pytest.mark.parametrize(("module", "name"), [("jinja2", "Jinja2"), ("matplotlib", "matplotlib"), ("PIL", "pillow")])
def test_a_missing_library_is_one_line_with_the_command(
    demo: RunTree, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    real: Callable[..., Any] = __import__("importlib").import_module

    def without(asked: str, *arguments: Any) -> Any:
        if asked == module:
            raise ImportError(asked)
        return real(asked, *arguments)

    monkeypatch.setattr("lamm.report.page.import_module", without)
    with pytest.raises(ResultsError, match=rf'needs {name}; install it with: pip install -e "\.\[report\]"'):
        demo.page()


def test_a_page_that_fails_leaves_the_old_one(demo: RunTree, monkeypatch: pytest.MonkeyPatch) -> None:
    file = demo.output.parent / "report.html"
    old = demo.page()
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        write_report(demo.material(), file)
    monkeypatch.undo()
    assert file.read_text() == old
    assert sorted(path.name for path in file.parent.iterdir()) == ["data", "output", "report.html"]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("output", "is a folder; give the name of the file"),
        ("file", "exists and is not a file of this command"),
        ("file/report.html", "is a file, not a folder"),
        ("file/below/report.html", "is a file, not a folder"),
    ],
)
def test_a_place_that_can_not_be_is_said_before_runs_are_read(
    tree: RunTree, capsys: pytest.CaptureFixture[str], place: str, said: str
) -> None:
    tree.run()
    folder = tree.output.parent
    (folder / "file").write_text("my notes")
    with pytest.raises(SystemExit) as stop:
        run(command.parser(), command.main, [str(tree.output), "-o", str(folder / place)])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert said in line
    assert (folder / "file").read_text() == "my notes"


def test_the_folders_of_a_page_are_made(tree: RunTree) -> None:
    tree.run()
    file = tree.output.parent / "new/folder/report.html"
    write_report(tree.material(), file)
    assert file.is_file()


def test_runs_on_own_photos_have_nothing_beside_the_paper(tree: RunTree) -> None:
    tree.run(dataset="my_birds")
    text = tree.page()
    check(text)
    assert not any(words in text for words in ("the paper", "What fills it", "Table 3", 'href="#paper"'))


def test_thousands_of_classes_stay_small(tree: RunTree) -> None:
    names = [f"class number {number}" for number in range(2000)]
    labels = list(range(2000))
    tree.full_run(labels, [0] * 2000, names, trainer="ZeroshotCLIP", cfg="tiny")
    tree.full_run(labels, labels[:1000] + [1] * 1000, names)
    text = tree.page()
    check(text)
    assert "40 of 2,000 shown" in text
    assert "60 of 2,000 classes shown" in text
    assert len(text) < 400_000


def test_results_json_is_where_the_numbers_are(demo: RunTree) -> None:
    file = demo.output / "digits/shots_1/CoOp/tiny_ep50/seed1/results.json"
    content = json.loads(file.read_text())
    content["metrics"]["accuracy"] = 12.345678
    file.write_text(json.dumps(content))
    assert 'title="12.345678"' in demo.page()
