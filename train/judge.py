"""What is evaluated: a training run, a bundle, or the float network that a bundle came from."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.engine import MOST_TILES
from runtime.errors import ModelError
from runtime.inspection import Inspector
from runtime.manifest import MANIFEST, Guarantee, open_bundle
from runtime.onnx_engine import engine_name, session_of
from runtime.spec import InputSpec

WHOLE = "model.onnx"


@dataclass(frozen=True)
class Judge:
    """Something that can be evaluated: what it takes, what it is called, and what it promises.

    `title` tells it from another one; `sha256` names its manifest or its weights, `data_digest`
    what it was taught.
    """

    inspector: Inspector
    spec: InputSpec
    title: str
    path: Path
    sha256: str
    data_digest: str
    guarantee: Guarantee | None


def judge_of(model: Path) -> Judge:
    """The judge in the folder `model`, a run or a bundle.

    Raises:
        ModelError, ManifestError: it is neither, or was changed.
        EngineError: a network cannot be loaded.
    """
    if (model / MANIFEST).exists():
        from runtime.loop import inspector_of_bundle

        bundle = open_bundle(model)
        manifest = bundle.manifest
        return Judge(
            inspector_of_bundle(bundle),
            manifest.input,
            f"bundle, {manifest.precision}",
            model,
            bundle.sha256,
            manifest.provenance.data_digest,
            manifest.guarantee,
        )
    if not model.is_dir():
        raise ModelError(f"--model {model}: no such folder; name a training run or a bundle")
    from train.checkpoint import load_model
    from train.torch_engine import TorchEngine

    network, record = load_model(model)
    inspector = Inspector(TorchEngine(network), record.input, record.limits, record.class_names)
    return Judge(
        inspector,
        record.input,
        "run, float",
        model,
        record.weights_sha256,
        record.data_digest,
        None,
    )


def float_judge_of(model: Path) -> Judge | None:
    """The float network in an INT8 bundle, with the limits that export chose for it.

    None where `model` is a run or a float bundle, or holds no whole network with its threshold.

    Raises:
        ManifestError, EngineError: as `judge_of`.
    """
    if not (model / MANIFEST).exists():
        return None
    bundle = open_bundle(model)
    manifest = bundle.manifest
    threshold = manifest.metrics.get("float", {}).get("threshold")
    if manifest.precision == "float" or WHOLE not in manifest.files or threshold is None:
        return None
    limits = replace(manifest.limits, threshold=float(threshold), review_below=0.0)
    inspector = Inspector(
        WholeOnnxEngine(bundle.root / WHOLE), manifest.input, limits, manifest.class_names
    )
    return Judge(
        inspector,
        manifest.input,
        "its network in float",
        model / WHOLE,
        manifest.files[WHOLE],
        manifest.provenance.data_digest,
        None,
    )


class WholeOnnxEngine:
    """The engine contract (`runtime.engine.Engine`) over a network in one piece.

    Raises:
        EngineError: onnxruntime cannot load it.
    """

    tiles = MOST_TILES

    def __init__(self, network: Path) -> None:
        self._session = session_of(network)
        self.name = engine_name()

    def gate(self, images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], Any]:
        """Scores (N, K), and the masks, which are computed with them."""
        score, masks = self._session.run(["score", "mask"], {"image": images})
        return score, masks

    def mask(self, skips: Any, tile: int) -> npt.NDArray[np.uint8]:
        """The mask of one tile, probability x 255, (K, H, W)."""
        drawn: npt.NDArray[np.uint8] = skips[tile]
        return drawn
