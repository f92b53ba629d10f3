"""A training step asks for no value on the way: on a GPU each would make the program wait for all that is queued."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.trainers.learner_cases import Case, gradients, on_first_place

# Operators whose result, or the size of it, has to be known before the program can go on.
WAITING = {"_local_scalar_dense", "equal", "nonzero", "is_nonzero", "masked_select", "unique_dim", "_unique2", "item"}


class Operators(TorchDispatchMode):
    """Names of the operators that ran within the context."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, op: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        self.names.append(op.overloadpacket._qualified_op_name.partition("::")[2])
        return op(*given, **(named or {}))


def test_the_mode_sees_operators_that_wait() -> None:
    with Operators() as seen:
        torch.ones(3).nonzero()
        bool(torch.ones(()) > 0)
    assert {"nonzero", "_local_scalar_dense"} <= set(seen.names)


@pytest.mark.parametrize("cos_over", ["classes", "batch"])
@pytest.mark.parametrize("case", on_first_place(), indirect=True)
def test_no_step_but_the_first_two_waits(case: Case, cos_over: str) -> None:
    images, labels = case.batch()
    learner = case.build(**({"cos_over": cos_over} if "LAMM" in case.name else {}))
    for _ in range(2):  # the first one encodes the teacher, behind a prefix of its own
        gradients(learner, images, labels)
    with Operators() as seen:
        gradients(learner, images, labels)
    assert seen.names
    assert not WAITING & set(seen.names)
