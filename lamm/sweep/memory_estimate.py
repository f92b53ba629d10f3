"""How much memory a run needs, so that several share a GPU: an estimate on the safe side.

    bytes = program + 4 · SLACK · (parameters + larger of training step and test step)

    training step = batch · image numbers · PASS + prompts · positions · D · STEP · layers of the text tower
                    (with prompts on the vision side: STEP · layers of the image tower in place of the first PASS)
    test step     = test batch · image numbers · PASS + test prompts · positions · D · PASS

`STEP` is what a transformer block keeps of each position for the backward pass, in widths, `PASS` what it holds at one
time without gradients. Every number counts 4 bytes whatever the precision. Measured against it: the text side of LAMM,
ViT-B/16, 100 classes, takes 165 MiB (docs/speed.md), the formula says 159.
"""

from lamm.sweep.run_sizes import RunSizes

BYTES = 4
STEP = 17
PASS = 12
SLACK = 1.25
"""What an allocator holds beyond what is asked of it."""
PROGRAM = {"cpu": 0.5 * 2**30, "gpu": 0.75 * 2**30}
"""Bytes of the program itself: its libraries, and on a GPU its context there."""


def memory_of(run: RunSizes, device: str) -> float:
    """Bytes that a run needs, on the device where it runs.

    Args:
        run: its sizes.
        device: `cpu` or `gpu`.
    """
    backbone = run.backbone
    image = backbone.image_numbers
    text = run.positions * backbone.text_width
    kept = STEP * backbone.image_layers if run.vision_prompts else PASS
    step = run.batch * image * kept + run.prompts * text * STEP * backbone.text_layers
    test = (run.test_batch * image + run.test_prompts * text) * PASS
    return PROGRAM[device] + BYTES * SLACK * (backbone.parameters + max(step if run.epochs else 0.0, test))
