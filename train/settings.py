"""What can be set for a training run; saved beside its result."""

from dataclasses import dataclass
from pathlib import Path

from runtime.tiling import Fit

STEPS, FEWEST_EPOCHS = 800, 5  # with twice as many, few objects are learned by heart


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
    epochs: int = 0  # as many as make STEPS steps
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    seg_weight: float = 1.0
    cls_weight: float = 0.1
    locate_weight: float = 1.0
    augment: bool = True
    average_decay: float = 0.99
    freeze_early: bool = True
    seed: int = 0
    workers: int = 0
    devices: int = 1
    nodes: int = 1
    precision: str = "32-true"
    resume: bool = False

    def epochs_over(self, samples: int) -> int:
        """Passes over so many samples: as many as were asked for, or else as make STEPS steps."""
        steps = samples // (self.batch_size * self.devices * self.nodes)
        return self.epochs or max(FEWEST_EPOCHS, -(-STEPS // max(1, steps)))
