"""One run: arguments → config → trainer → train, test.

    python train.py --trainer LAMM --dataset digits --shots 16 --seed 1

`--help` lists Dassl's flags, which work as they do there, and ours. The terminal shows a few lines; all of the rest is
in `log.txt`, and on the terminal with `--verbose`.
"""

import argparse

from yacs.config import CfgNode

from lamm.run.arguments import train_parser


def main(arguments: argparse.Namespace) -> None:
    # Imported here so that --help is quick, and so that an engine that can't run is one line like any mistake.
    from lamm.engine.foreign import import_file_or_module

    # What the user brings comes first: our trainers and data sets take only names that are still free.
    foreign = [import_file_or_module(spec) for spec in arguments.imports]
    import lamm_trainers

    from lamm.datasets import register_datasets
    from lamm.run.execute import execute
    from lamm.run.plan import plan_run

    register_datasets()

    def extend_cfg(cfg: CfgNode) -> None:
        for module in (*foreign, lamm_trainers):
            getattr(module, "extend_cfg", lambda _: None)(cfg)

    execute(plan_run(arguments, extend_cfg), arguments)


parser = train_parser
