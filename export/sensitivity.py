"""How far each layer in INT8, alone, moves the answers: which to give back to float first."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from export.qdq import convolutions
from runtime.onnx_engine import session_of
from train.progress import progress

Answers = list[tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]]


def harms(
    model: ModelProto,
    quantize: Callable[[Sequence[str]], ModelProto],
    images: Sequence[npt.NDArray[np.uint8]],
    mask_threshold: float,
    *,
    fused: bool,
) -> dict[str, float]:
    """The harm of each convolution of the float `model`, the most harmful first.

    It is the mean over `images`, each (N, H, W, C), of how far the scores move and of 1 - IoU of
    the mask, at `mask_threshold`, before and after; 0 to 2. `quantize` gives the network in INT8
    but for the convolutions that it is told; `fused` is as onnxruntime can run that.
    """
    every = convolutions(model)
    exact = _answers(model, images, fused=True)
    found = {}
    for name in progress(every, "looking for layers that INT8 harms"):
        alone = quantize([other for other in every if other != name])
        found[name] = _distance(exact, _answers(alone, images, fused=fused), 255 * mask_threshold)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _answers(model: ModelProto, images: Sequence[npt.NDArray[np.uint8]], *, fused: bool) -> Answers:
    session = session_of(model.SerializeToString(), fused=fused)
    answers: Answers = [session.run(["score", "mask"], {"image": image}) for image in images]
    return answers


def _distance(exact: Answers, found: Answers, level: float) -> float:
    moved = [
        float(np.abs(score - other_score).max()) + 1 - _iou(mask >= level, other_mask >= level)
        for (score, mask), (other_score, other_mask) in zip(exact, found, strict=True)
    ]
    return float(np.mean(moved))


def _iou(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    either = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / either if either else 1.0
