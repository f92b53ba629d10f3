"""What changes in a trainer when several processes train together (`lamm.parallel`)."""

from typing import Any

import torch
from torch import nn

from lamm.engine import TrainerX
from lamm.engine.embedded.epoch_loader import EpochLoader
from lamm.errors import LammError
from lamm.parallel.gathering import average_gradients
from lamm.parallel.generators import generators_digest
from lamm.parallel.loader import ShareLoader
from lamm.parallel.ranks import current_ranks

# How far a learned value may drift between processes whose machines round differently, as a share of the largest.
DRIFT = 1e-3


class SeveralProcessesTrainer(TrainerX):
    """The first process writes; all of them do the same steps, each with its share of the images and classes.

    Attributes:
        several_processes: says that such a trainer can do this.
    """

    several_processes = True

    def __init__(self, cfg: Any) -> None:
        self.ranks = current_ranks()
        super().__init__(cfg)

    def init_writer(self, log_dir: str) -> None:
        """Open the TensorBoard writer, in the first process."""
        if self.ranks.first:
            super().init_writer(log_dir)

    def save_model(self, *positional: Any, **named: Any) -> None:
        """Save, in the first process; the others go on when that is done, since they may load the file."""
        if self.ranks.first:
            super().save_model(*positional, **named)
        self.ranks.barrier()

    def before_train(self) -> None:
        """Resume, all processes from the same checkpoint."""
        super().before_train()
        if self.ranks.many:
            sums = [f"{value.double().sum().item():.4e}" for value in self._learned()]
            self.ranks.require_same(
                "what they start from", [self.start_epoch, *sums], "the output folder must be on a disk that all share"
            )

    def after_epoch(self) -> None:
        """Check that the processes have stayed together, then what the engine does."""
        if self.ranks.many:
            self._require_together()
        super().after_epoch()

    def share_of_batches(self, loader: Any) -> Any:
        """The loader as this process needs it: of its share of the images. One of features stays as it is."""
        shared_out = not isinstance(loader, EpochLoader) or isinstance(loader, ShareLoader)
        return loader if shared_out or not self.ranks.many else ShareLoader(loader, self.ranks)

    def average_gradients(self) -> None:
        """Make the gradients of all processes one; to be called between the backward pass and the update."""
        average_gradients(self._learned(), self.ranks)

    def _learned(self) -> list[nn.Parameter]:
        modules = [self._models[name] for name in self.get_model_names()]
        return [value for module in modules for value in module.parameters() if value.requires_grad]

    def _require_together(self) -> None:
        """Refuse to save what the processes don't agree on.

        Raises:
            LammError: their random generators, or their learned tensors, are not the same.
        """
        advice = f"epoch {self.epoch + 1} can't be trusted; report it, and train with one process"
        self.ranks.require_same("their random generators", generators_digest(), advice)
        with torch.no_grad():
            own = torch.cat([value.flatten() for value in self._learned()])
            away = (own - self.ranks.sum(own.clone()) / self.ranks.size).abs().max()
            drifted = (away > DRIFT * own.abs().max()).float()
        if self.ranks.sum(drifted).item() > 0:
            raise LammError(f"the processes' learned tensors have drifted apart: {advice}")
