"""How far each layer in INT8, alone, moves the answers: which to give back to float first."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from export.qdq import convolutions
from runtime.onnx_engine import session_of
from train.progress import progress

LEAST = 1e-9  # where nothing moves, no layer has a share
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

    Over `images`, each (N, H, W, C), the scores move, and so do the masks, by 1 - IoU at
    `mask_threshold`. A layer's harm is its share of the one and of the other among all layers,
    added; 0 to 2: a mask moves further than a score, and the gate must not come last for it.
    `quantize` gives the network in INT8 but for the convolutions that it is told; `fused` is as
    onnxruntime can run that.
    """
    every = convolutions(model)
    exact = _answers(model, images, fused=True)
    moved = []
    for name in progress(every, "looking for layers that INT8 harms"):
        alone = quantize([other for other in every if other != name])
        moved.append(_moved(exact, _answers(alone, images, fused=fused), 255 * mask_threshold))
    shares = np.array(moved) / np.maximum(np.sum(moved, axis=0), LEAST)
    found = zip(every, shares.sum(axis=1).tolist(), strict=True)
    return dict(sorted(found, key=lambda item: -item[1]))


def _answers(model: ModelProto, images: Sequence[npt.NDArray[np.uint8]], *, fused: bool) -> Answers:
    session = session_of(model.SerializeToString(), fused=fused)
    answers: Answers = [session.run(["score", "mask"], {"image": image}) for image in images]
    return answers


def _moved(exact: Answers, found: Answers, level: float) -> tuple[float, float]:
    """How far the scores moved, and how far the masks."""
    both = list(zip(exact, found, strict=True))
    scores = [float(np.abs(score - other).max()) for (score, _), (other, _) in both]
    masks = [1 - _iou(mask >= level, other >= level) for (_, mask), (_, other) in both]
    return sum(scores), sum(masks)


def _iou(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    either = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / either if either else 1.0
