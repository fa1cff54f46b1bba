"""The answer for one sample, and the counts that must add up to the samples seen."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from runtime.components import Defect, MaskRle


class Answer(str, Enum):
    """What a sample is: good, defective, for a person to see, or without a trustworthy answer."""

    OK = "OK"
    NG = "NG"
    REVIEW = "REVIEW"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Verdict:
    """One sample's answer, as it is written in a line of JSON.

    `others` counts the defects that are not listed. `masks` is empty unless they were asked for.
    """

    seq: int
    source: str
    t_capture_ns: int
    verdict: Answer
    score: float | None
    defects: tuple[Defect, ...]
    latency_ms: dict[str, float]
    dropped: int
    reason: str | None = None
    others: int = 0
    masks: tuple[MaskRle, ...] = ()

    def record(self, mm_per_pixel: float | None = None) -> dict[str, Any]:
        """The line's content, ready for `json.dumps`."""
        values = {"type": "verdict", **asdict(self), "verdict": self.verdict.value}
        values["defects"] = [_defect_record(defect, mm_per_pixel) for defect in self.defects]
        values["masks"] = [_mask_record(mask) for mask in self.masks]
        for name in ("reason", "others", "masks"):
            if not values[name]:
                del values[name]
        return values


def _defect_record(defect: Defect, mm_per_pixel: float | None) -> dict[str, Any]:
    measures = {} if mm_per_pixel is None else _in_mm(defect, mm_per_pixel)
    return {
        "class": defect.kind,
        "bbox": list(defect.bbox),
        "centroid": [round(side, 2) for side in defect.centroid],
        "area_px": round(defect.area_px, 2),
        "length_px": round(defect.length_px, 2),
        **measures,
        "score": round(defect.score, 4),
    }


def _in_mm(defect: Defect, mm_per_pixel: float) -> dict[str, float]:
    area, length = defect.area_px * mm_per_pixel**2, defect.length_px * mm_per_pixel
    return {"area_mm2": float(f"{area:.4g}"), "length_mm": float(f"{length:.4g}")}


def _mask_record(mask: MaskRle) -> dict[str, Any]:
    return {"class": mask.kind, "size": list(mask.size), "counts": mask.counts}


@dataclass
class Counts:
    """How many samples got which answer, and how many frames were dropped.

    `pictures_lost` of those that were to be saved; None where none were.
    """

    answers: Counter[Answer] = field(default_factory=Counter)
    dropped: int = 0
    pictures_lost: int | None = None

    def add(self, verdict: Verdict) -> None:
        """Count one verdict."""
        self.answers[verdict.verdict] += 1
        self.dropped += verdict.dropped

    def record(self) -> dict[str, Any]:
        """The last line's content: `samples` is the sum of the answers."""
        answers = {answer.value: self.answers[answer] for answer in Answer}
        lost = {} if self.pictures_lost is None else {"pictures_lost": self.pictures_lost}
        return {
            "type": "counts",
            "samples": self.answers.total(),
            **answers,
            "dropped": self.dropped,
            **lost,
        }
