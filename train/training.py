"""A training run, from images and masks to `model.safetensors` and `model.json`."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import lightning_fabric
import torch
from rich.console import Console
from safetensors.torch import load, save
from torch.utils.data import DataLoader

from runtime.errors import ModelError
from runtime.images import count_channels
from runtime.inspection import Inspector
from runtime.preprocess import preprocess_digest
from runtime.progress import progress
from runtime.record import write_atomically
from runtime.spec import InputSpec, Limits
from train.batches import TrainingTiles
from train.checkpoint import (
    RECORD,
    SCHEMA,
    ModelRecord,
    load_record,
    new_network,
    save_model,
    settings_record,
)
from train.dataset import (
    Dataset,
    Sample,
    check_sample,
    divide_by_group,
    read_dataset,
    require_both_labels,
)
from train.encoder import has_weights
from train.evaluation import choose_mask_limits, choose_threshold, outcome, predictions
from train.loss import joint_loss
from train.metrics import summary
from train.network import JointNetwork, NetworkConfig
from train.resume import STATE, load_state, save_state
from train.sampler import BalancedSampler
from train.settings import TrainSettings
from train.torch_engine import TorchEngine

LOG = "metrics.jsonl"
CLASS_NAMES = ("defect",)
Metrics = dict[str, float | int | None]

console = Console(stderr=True)


def train(settings: TrainSettings) -> ModelRecord:
    """Train as `settings` say, keep the epoch with the best Seg_mIoU, and choose its limits.

    Raises:
        DataError: the dataset is unreadable, or has no defective or no good samples.
        ModelError: the encoder is unknown, or the output folder holds another run.
    """
    fabric = lightning_fabric.Fabric(
        accelerator="auto",
        devices=settings.devices,
        num_nodes=settings.nodes,
        precision=settings.precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    data = _read_data(settings)
    config = NetworkConfig(settings.encoder, data.spec.channels, 1, settings.classifier)
    torch.manual_seed(settings.seed)
    network = new_network(config, pretrained=settings.pretrained)
    if settings.pretrained and not has_weights(settings.encoder):
        console.print(f"{settings.encoder}: no package brings its weights; starts from nothing")
    _claim(settings)
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    best = Best(settings.out)
    sampler = BalancedSampler([sample.defective for sample in data.training], settings.seed)
    asked = _asked(settings) | {"data_digest": data.dataset.digest}
    first_epoch = 0
    if settings.resume:
        first_epoch = _resume(settings, asked, network, optimizer, sampler, best)
    model, optimizer = fabric.setup(network.to(memory_format=torch.channels_last), optimizer)
    for epoch in range(first_epoch, settings.epochs):
        order = _share(sampler.epoch(epoch), fabric.global_rank, fabric.world_size)
        loss = _train_epoch(fabric, model, optimizer, data, order, epoch, settings)
        if fabric.is_global_zero:
            metrics = _validate(network, data.choosing, data.spec)
            best.offer(network, metrics)
            _log(settings, epoch, loss, metrics, best)
            facts = {"epoch": epoch + 1, "best": best.seg_miou, "asked": asked}
            save_state(settings.out, network, optimizer, facts)
        fabric.barrier()
    if fabric.is_global_zero:
        _finish(settings, config, network, data, best)
    fabric.barrier()
    return load_record(settings.out)


@dataclass(frozen=True)
class Data:
    """The samples of a run by their use, and how they come into the network."""

    dataset: Dataset
    training: Sequence[Sample]
    choosing: Sequence[Sample]
    deciding: Sequence[Sample]
    spec: InputSpec


class Best:
    """The weights of the best epoch so far, kept as a file in the run's folder."""

    def __init__(self, out: Path) -> None:
        self._path = out / "best.safetensors"
        self.seg_miou = -math.inf

    def offer(self, network: JointNetwork, metrics: Metrics) -> None:
        """Keep the weights if their Seg_mIoU is the highest yet."""
        offered = float(metrics["seg_miou"] or 0.0)
        if offered >= self.seg_miou:
            self.seg_miou = offered
            weights = {k: v.contiguous().cpu() for k, v in network.state_dict().items()}
            write_atomically(self._path, save(weights))

    def restore(self, network: JointNetwork) -> None:
        """Put the best weights back into `network`."""
        network.load_state_dict(load(self._path.read_bytes()))

    def forget(self) -> None:
        """Remove the file."""
        self._path.unlink()


def _read_data(settings: TrainSettings) -> Data:
    dataset = read_dataset(settings.data)
    training, validation = dataset.split("train"), dataset.split("val")
    choosing, deciding = divide_by_group(validation)
    for part, name in (
        (training, "train"),
        (choosing, "val, first half"),
        (deciding, "val, second half"),
    ):
        require_both_labels(part, f"{settings.data}: split {name}")
    for sample in progress([*training, *validation], "checking masks"):
        check_sample(sample)
    channels = max(count_channels(sample.image) for sample in training[:64])
    spec = InputSpec(settings.width, settings.height, channels, settings.fit)
    return Data(dataset, training, choosing, deciding, spec)


def _claim(settings: TrainSettings) -> None:
    if (settings.out / RECORD).exists():
        raise ModelError(f"{settings.out}: holds a trained model; choose another --out")
    if (settings.out / STATE).exists() and not settings.resume:
        raise ModelError(
            f"{settings.out}: holds an unfinished run; go on with --resume, or choose another --out"
        )
    settings.out.mkdir(parents=True, exist_ok=True)


def _resume(
    settings: TrainSettings,
    asked: dict[str, str | int | float | bool],
    network: JointNetwork,
    optimizer: torch.optim.Optimizer,
    sampler: BalancedSampler,
    best: Best,
) -> int:
    facts = load_state(settings.out, network, optimizer)
    changed = [k for k, value in asked.items() if facts["asked"].get(k) != value]
    if changed:
        raise ModelError(
            f"{settings.out}: the stopped run had another {' and another '.join(changed)}; "
            "resume it as it was begun, or choose another --out"
        )
    best.seg_miou = float(facts["best"])
    for epoch in range(facts["epoch"]):
        sampler.epoch(epoch)
    return int(facts["epoch"])


def _share(order: list[int], rank: int, processes: int) -> list[int]:
    """One process's part of an epoch; all are as long, or one would wait for another's step."""
    return order[rank::processes][: len(order) // processes]


def _asked(settings: TrainSettings) -> dict[str, str | int | float | bool]:
    """The settings that a run must keep to its end."""
    free = {"out", "resume", "workers", "devices", "nodes"}
    return {name: v for name, v in settings_record(settings).items() if name not in free}


def _train_epoch(
    fabric: lightning_fabric.Fabric,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Data,
    order: list[int],
    epoch: int,
    settings: TrainSettings,
) -> float:
    """One pass over `order`; gives the mean loss."""
    torch.manual_seed(settings.seed * 10_000 + epoch)
    loader = DataLoader(
        TrainingTiles(data.training, data.spec),
        settings.batch_size,
        sampler=order,
        num_workers=settings.workers,
        drop_last=len(order) > settings.batch_size,
    )
    model.train()
    total = 0.0
    title = f"epoch {epoch + 1}/{settings.epochs}"
    for step, batch in enumerate(progress(loader, title)):
        image, mask, label = (fabric.to_device(part) for part in batch)
        done = (epoch + step / len(loader)) / settings.epochs
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _schedule(done)
        decision, drawing = model(image)
        loss = joint_loss(decision, drawing, label, mask, settings.seg_weight, settings.cls_weight)
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()
        total += float(loss.detach())
    return total / len(loader)


def _schedule(done: float, warm_up: float = 0.05) -> float:
    """The learning rate's factor: linear warm-up, then a cosine to zero."""
    return min(done / warm_up + 0.01, 0.5 * (1 + math.cos(math.pi * done)))


def _validate(network: JointNetwork, samples: Sequence[Sample], spec: InputSpec) -> Metrics:
    limits = Limits()
    inspector = Inspector(TorchEngine(network), spec, limits, CLASS_NAMES)
    return summary(
        [outcome(prediction, limits) for prediction in predictions(inspector, samples, spec)],
        limits.threshold,
    )


def _log(settings: TrainSettings, epoch: int, loss: float, metrics: Metrics, best: Best) -> None:
    row = {"epoch": epoch + 1, "loss": loss, **metrics}
    with (settings.out / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    mark = "  (best)" if metrics["seg_miou"] == best.seg_miou else ""
    _show(f"epoch {epoch + 1}/{settings.epochs}  loss {loss:.3f}", metrics, mark)


def _show(title: str, metrics: Metrics, mark: str = "") -> None:
    names = {"Seg_mIoU": "seg_miou", "Seg_Recall": "seg_recall", "AP": "image_ap"}
    values = "  ".join(f"{name} {metrics[key] or 0:.3f}" for name, key in names.items())
    console.print(f"{title}  {values}{mark}", soft_wrap=True)


def _finish(
    settings: TrainSettings, config: NetworkConfig, network: JointNetwork, data: Data, best: Best
) -> None:
    """Choose the limits for the best weights, and write the model."""
    best.restore(network)
    inspector = Inspector(TorchEngine(network), data.spec, Limits(), CLASS_NAMES)
    limits = replace(
        choose_mask_limits(inspector, data.choosing, data.spec),
        threshold=choose_threshold(inspector, data.deciding, data.spec),
    )
    validation = [*data.choosing, *data.deciding]
    outcomes = [outcome(p, limits) for p in predictions(inspector, validation, data.spec)]
    record = ModelRecord(
        schema=SCHEMA,
        network=config,
        input=data.spec,
        class_names=CLASS_NAMES,
        limits=limits,
        data=str(settings.data.resolve()),
        data_digest=data.dataset.digest,
        preprocess_digest=preprocess_digest(),
        weights_sha256="",
        settings=settings_record(settings),
        metrics=summary(outcomes, limits.threshold),
        versions={name: version(name) for name in ("defectgate", "torch", "timm", "numpy")},
    )
    save_model(settings.out, network, record)
    best.forget()
    (settings.out / STATE).unlink()
    _show(f"validation  threshold {limits.threshold:.3f}", record.metrics)
    console.print(
        f"next: defectgate export --int8 --model {settings.out} --out BUNDLE", soft_wrap=True
    )
