"""What can be set for a training run; saved beside its result."""

from dataclasses import dataclass
from pathlib import Path

from runtime.tiling import Fit

# Of the whole network: with twice as many, it learns few objects by heart.
STEPS, FEWEST_EPOCHS = 800, 5


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one training run, read once from the command line."""

    data: Path | str
    out: Path
    width: int = 256
    height: int = 256
    fit: Fit = Fit.STRETCH
    scale: float = 1.0
    by_class: bool = False
    encoder: str = "tf_efficientnet_lite0"
    weights: str = "auto"
    classifier: bool = True
    epochs: int = 0  # as many as are enough
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    seg_weight: float = 1.0
    cls_weight: float = 0.1
    locate_weight: float = 1.0
    augment: bool = True
    average_decay: float = 0.99
    freeze_early: bool = True
    decoder_alone: bool = True  # in the second half of the epochs
    seed: int = 0
    workers: int = 0
    devices: int = 1
    nodes: int = 1
    precision: str = "32-true"
    resume: bool = False

    def epochs_over(self, samples: int) -> int:
        """Passes over so many samples: as many as were asked for, or else as are enough."""
        steps = samples // (self.batch_size * self.devices * self.nodes)
        together = max(FEWEST_EPOCHS, -(-STEPS // max(1, steps)))
        return self.epochs or together * (2 if self._ends_alone else 1)

    @property
    def epochs_together(self) -> int:
        """The first epochs, in which the whole network learns; in the rest, the decoder alone."""
        return -(-self.epochs // 2) if self._ends_alone else self.epochs

    def stage_of(self, epoch: int) -> range:
        """The epochs that have one schedule with this one."""
        together = self.epochs_together
        return range(together) if epoch < together else range(together, self.epochs)

    @property
    def _ends_alone(self) -> bool:
        return self.decoder_alone and self.classifier  # without one, the mask decides
