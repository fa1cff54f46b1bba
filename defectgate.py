"""The `defectgate` command and its verbs; `python -m <stage>` runs the one named after a stage."""

import typer

import calibration.cli
import export.cli
import jetson.cli
import runtime.cli
import train.cli
from runtime.command import run

app = typer.Typer(
    name="defectgate",
    help="Surface-defect inspection at the edge: train, calibrate, export, run.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for verb in (
    train.cli.synthesize,
    train.cli.inspect_data,
    train.cli.train,
    train.cli.evaluate,
    calibration.cli.calibrate,
    export.cli.export,
    export.cli.build,
    export.cli.lint_onnx,
    runtime.cli.runtime,
    runtime.cli.cameras,
    runtime.cli.record,
    runtime.cli.inspect,
    runtime.cli.verify,
    jetson.cli.doctor,
):
    app.command()(verb)
app.add_typer(runtime.cli.benchmark, name="benchmark")


def main() -> None:
    """Run the verb on the command line and exit with its status."""
    run(app)


if __name__ == "__main__":
    main()
