"""A training run, from images and masks to `model.safetensors` and `model.json`."""

import copy
import math
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import lightning_fabric
import torch
from rich.console import Console
from torch.utils.data import DataLoader

from runtime.errors import DataError, ModelError
from runtime.images import readable
from runtime.inspection import Inspector
from runtime.preprocess import preprocess_digest
from runtime.record import require_place
from runtime.spec import InputSpec, Limits
from train.average import follow
from train.batches import Example, TrainingTiles, check_shape
from train.checkpoint import (
    RECORD,
    SCHEMA,
    ModelRecord,
    load_record,
    new_network,
    save_model,
    settings_record,
)
from train.dataset import SPLITS_FILE, Dataset, check_sample, read_dataset, write_splits
from train.division import divide_by_group
from train.evaluation import choose_mask_limits, choose_threshold, outcome, predictions
from train.history import HISTORY, add_row, cost_of, cut
from train.lessons import lacking, refuse_vague_labels
from train.loss import LossWeights, joint_loss
from train.metrics import summary
from train.network import JointNetwork, Logits, NetworkConfig
from train.processes import first_alone, held, launched, share
from train.progress import progress
from train.resume import STATE, load_state, save_state
from train.sample import DEFECT, Sample
from train.sampler import BalancedSampler
from train.settings import TrainSettings
from train.torch_engine import TorchEngine
from train.weights import load_encoder_weights

DIGEST = "data_digest"
Metrics = dict[str, float | int | None]

console = Console(stderr=True)


def train(settings: TrainSettings) -> ModelRecord:
    """Train as `settings` say, average the weights of the last steps, and choose their limits.

    Raises:
        DataError: the dataset is unreadable, or lacks what must be learned.
        ModelError: the encoder is unknown, the output folder holds another run, or the GPU has too
            little memory.
    """
    _require_paths_in_utf8(settings)
    require_place("--out", settings.out, is_folder=True)
    dataset = read_dataset(settings.data)  # before there are others, who would say the same
    fabric = launched(settings)
    data = _read_data(settings, dataset)
    torch.manual_seed(settings.seed)
    network = _network(settings, data).to(fabric.device)  # before its moments are restored
    with _claimed(settings, fabric), _told_why_it_ends(settings, fabric):
        _learn(fabric, network, data, settings)
    return load_record(settings.out)


def _learn(
    fabric: lightning_fabric.Fabric, network: JointNetwork, data: "Data", settings: TrainSettings
) -> None:
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    sampler = BalancedSampler([sample.defective for sample in data.training], settings.seed)
    modules = {"network": network, "average": average}
    facts = load_state(settings.out, modules, optimizer) if settings.resume else None
    epochs = settings.epochs or (facts["asked"].get("epochs", 0) if facts else 0)
    settings = replace(settings, epochs=epochs or settings.epochs_over(len(data.training)))
    asked = _asked(settings) | {DIGEST: data.dataset.digest}
    first_epoch = 0
    if facts:
        first_epoch = _resumed_epoch(settings, facts, asked, sampler)
        if fabric.is_global_zero:
            cut(settings.out, first_epoch)
    model, optimizer = fabric.setup(network.to(memory_format=torch.channels_last), optimizer)
    tiles = TrainingTiles(data.training, data.spec, data.class_names, augment=settings.augment)
    for epoch in range(first_epoch, settings.epochs):
        if epoch == settings.epochs_together:
            network.load_state_dict(average.state_dict())
        if epoch == max(first_epoch, settings.epochs_together):
            network.freeze_all_but_decoder()
            model = fabric.setup_module(network)  # which knows then what has gradients
        order = share(sampler.epoch(epoch), fabric.global_rank, fabric.world_size)
        torch.manual_seed(settings.seed * 10_000 + epoch + fabric.global_rank * 1_000_000_007)
        examples = _loader(tiles, order, settings)
        begun = time.monotonic()
        loss = _train_epoch(fabric, model, average, optimizer, examples, epoch, settings)
        with first_alone(fabric) as is_first:
            if is_first:
                cost = cost_of(len(sampler), time.monotonic() - begun)
                metrics = _validate(average, data)
                add_row(settings.out, {"epoch": epoch + 1, "loss": loss, **metrics, **cost})
                save_state(settings.out, modules, optimizer, {"epoch": epoch + 1, "asked": asked})
                _show(f"epoch {epoch + 1}/{settings.epochs}  loss {loss:.3f}", metrics)
    with first_alone(fabric) as is_first:
        if is_first:
            _finish(settings, average, data)


def _require_paths_in_utf8(settings: TrainSettings) -> None:
    """Refuse before the run what its record, which is UTF-8, could not name at its end."""
    root = Path(str(settings.data).partition("::")[0]).resolve()
    named = [("--data", settings.data), ("--data", root), ("--out", settings.out)]
    for flag, path in [*named, ("--weights", settings.weights)]:
        if readable(str(path)) != str(path):
            raise ModelError(
                f"{flag} {readable(str(path))}: is no UTF-8, as {RECORD} is; rename it"
            )


@contextmanager
def _told_why_it_ends(settings: TrainSettings, fabric: lightning_fabric.Fabric) -> Iterator[None]:
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise ModelError(
            f"--batch-size {settings.batch_size} --input {settings.width}x{settings.height}: the "
            "GPU has too little memory; use a smaller --batch-size or --input"
        ) from error
    except (KeyboardInterrupt, SystemExit):  # the latter by SIGTERM
        if fabric.is_global_zero and not (settings.out / RECORD).exists():
            said = "stopped before an epoch was saved; begin anew"
            if (settings.out / STATE).exists():
                said = "the same command with --resume goes on from its last epoch"
            console.print(f"{settings.out}: {said}", soft_wrap=True, markup=False)
        raise


@dataclass(frozen=True)
class Data:
    """The samples of a run by their use, and how they come into the network."""

    dataset: Dataset
    training: Sequence[Sample]
    choosing: Sequence[Sample]
    deciding: Sequence[Sample]
    spec: InputSpec

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that are taught."""
        return self.dataset.class_names


def _read_data(settings: TrainSettings, dataset: Dataset) -> Data:
    if not settings.by_class:
        dataset = dataset.taught((DEFECT,))
    training, validation = dataset.split("train"), dataset.split("val")
    choosing, deciding = divide_by_group(validation)
    _require_lessons(dataset)
    refuse_vague_labels(dataset, training, settings.fit, classifier=settings.classifier)
    grey = InputSpec(settings.width, settings.height, 1, settings.fit, settings.scale)
    shapes = []
    for sample in progress([*training, *validation], "checking masks"):
        check_sample(sample)
        shapes.append(check_shape(sample, grey))
    channels = max(shape[2] for shape in shapes[: len(training)])
    sizes = list(zip(*(shape[:2] for shape in shapes), strict=True))
    taught = (*map(min, sizes), *map(max, sizes))
    spec = replace(grey, channels=channels, taught=taught)
    return Data(dataset, training, choosing, deciding, spec)


def _require_lessons(dataset: Dataset) -> None:
    for problem in lacking(dataset):
        raise DataError(f"{dataset.root}: {problem}")
    if all(sample.defective for sample in dataset.samples):
        console.print(
            f"{dataset.root}: has no good samples, so no gate can be learned: it stays open, and "
            "every sample will be drawn",
            soft_wrap=True,
            markup=False,
        )


def _network(settings: TrainSettings, data: Data) -> JointNetwork:
    config = _config(settings, data)
    network = new_network(config)
    said = load_encoder_weights(network.encoder, settings.encoder, settings.weights)
    if said:
        console.print(said)
    elif settings.weights != "none" and settings.freeze_early:
        network.freeze_early()
    return network


def _config(settings: TrainSettings, data: Data) -> NetworkConfig:
    return NetworkConfig(
        settings.encoder, data.spec.channels, len(data.class_names), settings.classifier
    )


@contextmanager
def _claimed(settings: TrainSettings, fabric: lightning_fabric.Fabric) -> Iterator[None]:
    """Hold the output folder for this run alone, from before its first file to its last."""
    out = settings.out
    if not settings.resume:
        out.mkdir(parents=True, exist_ok=True)
    with held(out) if fabric.is_global_zero and out.exists() else nullcontext():
        if (out / RECORD).exists():
            raise ModelError(f"{out}: holds a trained model; choose another --out")
        if (out / STATE).exists() and not settings.resume:
            raise ModelError(
                f"{out}: holds an unfinished run; go on with --resume, or choose another --out"
            )
        if not settings.resume:
            (out / HISTORY).unlink(missing_ok=True)  # of an epoch that was not saved
        yield


def _resumed_epoch(
    settings: TrainSettings,
    facts: dict[str, Any],
    asked: dict[str, str | int | float | bool],
    sampler: BalancedSampler,
) -> int:
    before = facts["asked"]
    changed = [
        f"{name} {before.get(name)}, not {value}"
        for name, value in asked.items()
        if before.get(name) != value and name != DIGEST
    ]
    if before.get(DIGEST) != asked[DIGEST]:
        changed.append(f"other samples than {settings.data} has now")
    if changed:
        raise ModelError(
            f"{settings.out}: the stopped run had {' and '.join(changed)}; "
            "resume it as it was begun, or choose another --out"
        )
    for epoch in range(facts["epoch"]):
        sampler.epoch(epoch)
    return int(facts["epoch"])


def _asked(settings: TrainSettings) -> dict[str, str | int | float | bool]:
    """The settings that a run must keep to its end; of the set, it is the samples that count."""
    free = {"data", "out", "resume", "workers", "devices", "nodes"}
    return {name: v for name, v in settings_record(settings).items() if name not in free}


def _loader(
    tiles: TrainingTiles, order: list[int], settings: TrainSettings
) -> "DataLoader[Example]":
    return DataLoader(
        tiles,
        settings.batch_size,
        sampler=order,
        num_workers=settings.workers,
        drop_last=len(order) > settings.batch_size,
    )


def _train_epoch(
    fabric: lightning_fabric.Fabric,
    model: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    examples: "DataLoader[Example]",
    epoch: int,
    settings: TrainSettings,
) -> float:
    """One pass over `examples`; gives the mean loss."""
    network = cast("torch.nn.Module", model.module)
    weights = LossWeights(settings.seg_weight, settings.cls_weight, settings.locate_weight)
    model.train()
    total = 0.0
    title = f"epoch {epoch + 1}/{settings.epochs}"
    stage = settings.stage_of(epoch)
    for step, batch in enumerate(progress(_read(examples), title, len(examples))):
        example = Example(*(fabric.to_device(part) for part in batch))
        done = (epoch - stage.start + step / len(examples)) / len(stage)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _schedule(done)
        loss = joint_loss(Logits(*model(example.image)), example, weights)
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()
        taken = (epoch - stage.start) * len(examples) + step
        follow(average, network, taken, settings.average_decay)
        total += float(loss.detach())
    return total / len(examples)


def _read(examples: "DataLoader[Example]") -> Iterator[list[torch.Tensor]]:
    """The batches; of an error in a worker, which comes with its traceback, what it says."""
    try:
        yield from examples
    except DataError as error:
        last, named = str(error).rstrip().splitlines()[-1], f"{DataError.__module__}.DataError: "
        raise DataError(last.removeprefix(named)) from error


def _schedule(done: float, warm_up: float = 0.05) -> float:
    """The learning rate's factor: linear warm-up, then a cosine to zero."""
    return min(done / warm_up + 0.01, 0.5 * (1 + math.cos(math.pi * done)))


def _inspector(network: JointNetwork, data: Data, limits: Limits) -> Inspector:
    return Inspector(TorchEngine(network), data.spec, limits, data.class_names)


def _validate(network: JointNetwork, data: Data) -> Metrics:
    limits = Limits()
    seen = predictions(_inspector(network, data, limits), data.choosing, data.spec)
    return summary([outcome(prediction, limits) for prediction in seen], limits.threshold)


def _show(title: str, metrics: Metrics) -> None:
    names = {"Seg_mIoU": "seg_miou", "Seg_Recall": "seg_recall", "AP": "image_ap"}
    values = "  ".join(f"{name} {_told(metrics[key])}" for name, key in names.items())
    console.print(f"{title}  {values}", soft_wrap=True)


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _finish(settings: TrainSettings, network: JointNetwork, data: Data) -> None:
    """Choose the limits for the averaged weights, and write the model."""
    inspector = _inspector(network, data, Limits())
    validation = [*data.choosing, *data.deciding]
    threshold = choose_threshold(inspector, data.deciding, data.spec)
    limits = choose_mask_limits(inspector, validation, data.spec, threshold)
    outcomes = [outcome(p, limits) for p in predictions(inspector, validation, data.spec)]
    dataset = data.dataset
    record = ModelRecord(
        schema=SCHEMA,
        network=_config(settings, data),
        input=data.spec,
        class_names=data.class_names,
        limits=limits,
        data=f"{dataset.root.resolve()}::{dataset.layout}",
        data_digest=dataset.digest,
        preprocess_digest=preprocess_digest(),
        weights_sha256="",
        settings=settings_record(settings),
        metrics=summary(outcomes, limits.threshold),
        versions={name: version(name) for name in ("defectgate", "torch", "timm", "numpy")},
    )
    write_splits(settings.out / SPLITS_FILE, dataset.samples)
    save_model(settings.out, network, record)
    (settings.out / STATE).unlink()
    _show(f"validation  threshold {limits.threshold:.3f}", record.metrics)
    console.print(
        f"next: defectgate export --int8 --model {shlex.quote(str(settings.out))} --out BUNDLE",
        soft_wrap=True,
        markup=False,
    )
