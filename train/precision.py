"""Which number formats a processor computes with at speed."""

import torch


def has_fast(precision: str) -> bool:
    """Whether this CPU has instructions for "bf16-mixed", "16-mixed" or "32-true", as oneDNN."""
    if precision == "32-true":
        return True
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    onednn = torch.ops.mkldnn
    if precision == "bf16-mixed":
        return bool(onednn._is_mkldnn_bf16_supported())  # noqa: SLF001
    return bool(onednn._is_mkldnn_fp16_supported())  # noqa: SLF001
