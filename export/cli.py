"""Flags of `export`."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from calibration.cli import DefectShare, Images, Ranges
from calibration.settings import RangeMethod
from runtime.settings import ENGINES

CHOOSING = ("images", "defect_share", "ranges")  # what `calibrate` is told


class Asked(str, Enum):
    """Precisions of a plan; by default the fastest that passes."""

    AUTO = "auto"
    FP16 = "fp16"
    INT8 = "int8"
    IMPLICIT_INT8 = "implicit-int8"


class Release(str, Enum):
    """Releases of TensorRT."""

    V8_6 = "8.6"
    V10 = "10"
    V11 = "11"


def export(
    context: typer.Context,
    model: Annotated[Path, typer.Option(help="A training run.")],
    out: Annotated[Path, typer.Option(help="Folder for the bundle.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH[::FORMAT]", help="Dataset; by default what the model was trained on."
        ),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Quantise; else a float bundle.")] = False,
    calibration: Annotated[
        Path | None, typer.Option(help="What calibrate wrote; by default it is done here.")
    ] = None,
    images: Images = None,
    defect_share: DefectShare = 0.7,
    ranges: Ranges = RangeMethod.MINMAX,
    max_miss_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Promise at most this share of misses.")
    ] = 0.01,
    confidence: Annotated[float, typer.Option(min=0, max=1, help="Of that promise.")] = 0.95,
    max_review_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Aim: share of good samples that a person sees.")
    ] = 0.0,
    max_false_rejects: Annotated[
        float, typer.Option(min=0, max=0.5, help="Where nothing is promised: of good samples.")
    ] = 0.05,
    mm_per_pixel: Annotated[
        float | None,
        typer.Option(min=1e-6, max=1000, help="Of the camera: verdicts then are in mm too."),
    ] = None,
) -> None:
    """Make a bundle: both networks in every rendering, their threshold, and what it promises."""
    given = [f"--{name.replace('_', '-')}" for name in CHOOSING if _is_given(context, name)]
    if not int8 and (calibration or given):
        hint = "--calibration" if calibration else given[0]
        raise typer.BadParameter("a float bundle needs none; add --int8", param_hint=hint)
    if calibration and given:
        raise typer.BadParameter("--calibration has chosen already", param_hint=given[0])
    from calibration.settings import CalibrationSettings
    from export.exporting import ExportSettings
    from export.exporting import export as run_export
    from export.judging import Promise

    run_export(
        ExportSettings(
            model=model,
            out=out,
            data=data,
            int8=int8,
            calibration=calibration,
            calibrate=CalibrationSettings(images, defect_share, ranges),
            promise=Promise(max_miss_rate, confidence, max_review_rate, max_false_rejects),
            mm_per_pixel=mm_per_pixel,
        )
    )


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether a flag stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def build(
    bundle: Annotated[Path, typer.Argument(help="What export wrote.")],
    precision: Annotated[
        Asked, typer.Option(help="Build this one alone.", case_sensitive=False)
    ] = Asked.AUTO,
    dla_core: Annotated[
        int | None, typer.Option(min=0, help="Run on this deep-learning accelerator.")
    ] = None,
    tiles: Annotated[
        int, typer.Option(min=0, help="At once; by default as many as a golden image has.")
    ] = 0,
    engines: Annotated[Path, typer.Option(help="Folder for plans.")] = ENGINES,
) -> None:
    """Build TensorRT plans for this device: the fastest precision with the golden verdicts."""
    from export.building import BuildSettings
    from export.building import build as run_build
    from runtime.manifest import open_bundle

    settings = BuildSettings(engines, precision.value, dla_core, tiles)
    folder = run_build(open_bundle(bundle), settings)
    typer.echo(f"{bundle}: plans in {folder}")


def lint_onnx(
    network: Annotated[Path, typer.Argument(help="An ONNX file with Q/DQ, anybody's.")],
    tensorrt: Annotated[
        Release, typer.Option(help="Release that is to read it.", case_sensitive=False)
    ] = Release.V10,
) -> None:
    """Say what TensorRT would reject in a network, or run in float or slowly without a word."""
    from export.lint import lint_file
    from runtime.errors import QualityError

    findings = lint_file(network, tensorrt.value)
    for finding in findings:
        typer.echo(str(finding))
    if findings:
        raise QualityError(f"{network}: {len(findings)} findings; each says its mend")
    typer.echo(f"{network}: nothing found", err=True)
