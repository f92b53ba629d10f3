"""Tables of the report read line by line, and runs on all of the paper's data sets."""

from lamm.report.paper import PaperTable
from lamm.results.published import published
from tests.report.report_runs import RunTree

ELEVEN = published("few_shot").trained_on
CFG = "vit_b16_ep50_ctxv1"


def lines_of(paper: PaperTable) -> dict[tuple[str, str], list[str]]:
    """(row, ours | paper | difference) → its cells."""
    assert paper.table is not None
    found, label = {}, ""
    for row in paper.table.rows:
        label = row[0].text or label
        found[label, row[1].text] = [cell.text for cell in row[2:]]
    return found


def write_eleven(tree: RunTree, accuracy: float, seeds: tuple[int, ...] = (1, 2, 3), **changes: object) -> None:
    """A run on each of the paper's data sets and seeds: `accuracy` on average."""
    for place, dataset in enumerate(ELEVEN):
        for seed in seeds:
            values = {"cfg": CFG, "backbone": "ViT-B/16"} | changes
            tree.run(accuracy + place - 5, seed, dataset=dataset, **values)
