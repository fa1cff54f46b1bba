"""Flags of `synthesize`, `inspect-data`, `train` and `evaluate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from train.memory import keep_freed_memory
from train.size import parse_size

Data = Annotated[
    str,
    typer.Option(
        metavar="PATH[::FORMAT]", help="Dataset; its layout is recognised (see train/README.md)."
    ),
]
Size = Annotated[str, typer.Option(metavar="WxH", help="Pixels, both multiples of 32.")]
FITS = ("stretch", "letterbox", "tile")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def synthesize(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    samples: Annotated[int, typer.Option(help="Images of the set.")] = 480,
    strip: Annotated[
        int | None,
        typer.Option(help="Write so many frames of a moving strip instead.", metavar="FRAMES"),
    ] = None,
    size: Size = "256x256",
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Write a synthetic set: textures with scratches, cracks, pits and stains, and their masks."""
    from rich.console import Console
    from rich.progress import Progress

    from train.synthesize import SynthesisSettings
    from train.synthesize import synthesize as run_synthesis

    settings = SynthesisSettings(samples=samples, frames=strip, size=parse_size(size), seed=seed)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("drawing")
        run_synthesis(
            out, settings, lambda done, of: progress.update(task, completed=done, total=of)
        )


def inspect_data(
    data: Data,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw samples of every kind into this PNG.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the numbers here.")] = None,
) -> None:
    """Show what a dataset holds, and what is wrong with it, before it is learned."""
    from train.survey import inspect_data as run_inspection

    run_inspection(data, sheet, json)


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    input: Size = "256x256",  # noqa: A002
    fit: Annotated[str, typer.Option(help="stretch, letterbox, or tile.")] = "stretch",
    scale: Annotated[
        float,
        typer.Option(min=0.01, max=16, help="With --fit tile: 0.5 sees a frame at half its size."),
    ] = 1.0,
    by_class: Annotated[
        bool, typer.Option("--by-class", help="A score and a mask for each class of defects.")
    ] = False,
    encoder: Annotated[str, typer.Option(help="A timm model.")] = "tf_efficientnet_lite0",
    classifier: Annotated[
        bool, typer.Option(help="Without: the score is the mask's maximum, for comparison.")
    ] = True,
    weights: Annotated[
        str, typer.Option(help="Of the encoder: auto (a pip package's), hub, none, or a file.")
    ] = "auto",
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Passes, in the second half of which the decoder learns alone; by default, each "
            "half takes 800 steps, or 5 epochs if those are more.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Samples a step.")] = 8,
    learning_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Highest rate of AdamW.")
    ] = 1e-3,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and augmentation.")] = 0,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that read images; worth it beside a GPU.")
    ] = 0,
    devices: Annotated[int, typer.Option(min=1, help="GPUs, or CPU processes, a node.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed or 16-mixed.")] = "32-true",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a stopped run.")] = False,
) -> None:
    """Train a joint model: a classifier that decides and a decoder that draws, on one encoder."""
    from runtime.tiling import Fit
    from train.settings import TrainSettings
    from train.training import train as run_training

    width, height = parse_size(input)
    if scale != 1 and fit != Fit.TILE:
        raise typer.BadParameter(f"--scale {scale} is for --fit tile")
    keep_freed_memory()
    run_training(
        TrainSettings(
            data=data,
            out=out,
            width=width,
            height=height,
            fit=Fit(_one_of(FITS, fit, "--fit")),
            scale=scale,
            by_class=by_class,
            encoder=encoder,
            classifier=classifier,
            weights=weights,
            epochs=epochs or 0,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            workers=workers,
            devices=devices,
            nodes=nodes,
            precision=_one_of(PRECISIONS, precision, "--precision"),
            resume=resume,
        )
    )


def evaluate(
    model: Annotated[Path, typer.Option(help="A training run or a bundle.")],
    data: Data,
    split: Annotated[str, typer.Option(help="train, val, test, or all of a new set.")] = "test",
    json: Annotated[Path | None, typer.Option(help="Write the numbers here.")] = None,
    verdicts: Annotated[
        Path | None,
        typer.Option(help="What the runtime wrote for this split: compare, and show its times."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for report.html: the numbers, charts and pictures.")
    ] = None,
    beside: Annotated[
        Path | None, typer.Option(help="A second run or bundle, shown beside the first.")
    ] = None,
) -> None:
    """Measure a model on a split: by sample and by pixel, raw and behind the gate."""
    from train.scorecard import evaluate as run_evaluation

    run_evaluation(model, data, split, json, verdicts, report, beside)


def _one_of(choices: Sequence[str], value: str, flag: str) -> str:
    if value not in choices:
        raise typer.BadParameter(f"{flag} {value}: expected one of {', '.join(choices)}")
    return value
