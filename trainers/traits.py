"""Our trainers by name: the module of each, and what the plan of a run asks of it.

A plan takes no torch, so it is made at once. A trainer's module is imported when the trainer itself is needed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Traits:
    """What a trainer's class says of itself, known before its module is imported.

    Attributes:
        module: name of the module of this package that defines it.
        config_nodes: all keys below `cfg.TRAINER` whose values it reads; in the first stands its `PREC`.
        default_config: file name (without `.yaml`) of the config that a run without `--config-file` takes.
        tiny_config: the same for the demo data sets, with the embedded model.
        closed_form: it takes no gradient steps.
        has_templates: it reads `DATASET.TEMPLATE`.
        learns_in_steps: it can learn a data set's classes set by set (`IncrementalStep`).
    """

    module: str
    config_nodes: tuple[str, ...]
    default_config: str
    tiny_config: str
    closed_form: bool = False
    has_templates: bool = False
    learns_in_steps: bool = True

    def attributes(self) -> Mapping[str, Any]:
        """Those of the trainer's class, by name."""
        values = asdict(self)
        del values["module"]
        return {**values, "config_node": self.config_nodes[0]}


PROMPTS = {
    "CoOp": Traits("coop", ("COOP",), "vit_b16_ep50_ctxv1", "tiny_ep50"),
    "CoCoOp": Traits("cocoop", ("COCOOP",), "vit_b16_c4_ep10_batch1_ctxv1", "tiny_ep10_batch4"),
    "MaPLe": Traits("maple", ("MAPLE",), "vit_b16_c2_ep5_batch4_2ctx", "tiny_ep50"),
    "KgCoOp": Traits("kgcoop", ("KGCOOP",), "vit_b16_ep100_ctxv1", "tiny_ep50", has_templates=True),
    "PromptSRC": Traits("promptsrc", ("PROMPTSRC",), "vit_b16_c4_ep50_batch4", "tiny_ep50"),
}
ALIGNED = {
    "LAMM": Traits("lamm", ("LAMM",), "vit_b16_ep50_ctxv1", "tiny_ep50"),
    **{f"{name}_LAMM": replace(base, config_nodes=(*base.config_nodes, "LAMM")) for name, base in PROMPTS.items()},
}
_COMPUTED = {"closed_form": True, "has_templates": True}
HEADS = {
    "LinearProbe": Traits("linear_probe", ("LINEARPROBE",), "vit_b16", "tiny", **_COMPUTED, learns_in_steps=False),
    "TipAdapter": Traits("tip_adapter", ("TIPADAPTER",), "vit_b16", "tiny", **_COMPUTED, learns_in_steps=False),
    "TipAdapterF": Traits(
        "tip_adapter", ("TIPADAPTER",), "vit_b16_ep20", "tiny_ep20", has_templates=True, learns_in_steps=False
    ),
    "GDA": Traits("gda", ("GDA",), "vit_b16", "tiny", **_COMPUTED),
    "NearestMean": Traits("nearest_mean", ("NEARESTMEAN",), "vit_b16", "tiny", **_COMPUTED),
    "RanPAC": Traits("ranpac", ("RANPAC",), "vit_b16", "tiny", **_COMPUTED),
}
TUNED = {
    "CLIPLoRA": Traits("clip_lora", ("CLIPLORA",), "vit_b16_it500", "tiny_ep50"),
    "TopLAMM": Traits("top_lamm", ("LAMM", "TOPLAMM"), "vit_b16_ep50", "tiny_ep50"),
}
BOTH = {
    "LAMM_GDA": replace(ALIGNED["LAMM"], module="lamm_gda"),
    "TopLAMM_GDA": replace(TUNED["TopLAMM"], module="lamm_gda"),
}
TRAITS = {
    "ZeroshotCLIP": Traits("zero_shot", ("ZEROSHOTCLIP",), "vit_b16", "tiny", **_COMPUTED),
    **PROMPTS,
    **ALIGNED,
    **HEADS,
    **TUNED,
    **BOTH,
}
"""Every trainer, in the order in which messages name them."""
