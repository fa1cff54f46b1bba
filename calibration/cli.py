"""Flags of `calibrate`."""

from pathlib import Path
from typing import Annotated

import typer

from calibration.settings import RangeMethod

Images = Annotated[
    int | None,
    typer.Option(min=1, help="How many; by default 64, or all that the share allows."),
]
DefectShare = Annotated[float, typer.Option(min=0, max=1, help="Share that is defective.")]
Ranges = Annotated[RangeMethod, typer.Option(help="How activation ranges are taken.")]


def calibrate(
    model: Annotated[Path, typer.Option(help="A float bundle: export without --int8.")],
    data: Annotated[
        str, typer.Option(metavar="PATH[::FORMAT]", help="What the model was trained on.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for calibration.json and scales.json.")],
    images: Images = None,
    defect_share: DefectShare = 0.7,
    ranges: Ranges = RangeMethod.MINMAX,
) -> None:
    """Choose defect-rich images of the training split, and take activation ranges over them."""
    from calibration.calibrating import calibrate_bundle
    from calibration.settings import CalibrationSettings

    calibrate_bundle(model, data, out, CalibrationSettings(images, defect_share, ranges))
