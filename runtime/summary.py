"""What a bundle is, in a table for people; `manifest.json` holds the same for scripts."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from runtime.manifest import Bundle, Guarantee, Manifest, Work

OPEN_SHARE = 0.05  # of the frames, on a line as they are


def summary_of(bundle: Bundle) -> Table:
    """The bundle's table."""
    table = Table(show_header=False, box=None)
    for name, value in _rows(bundle):
        table.add_row(name, Text(value))  # no markup: a path may hold brackets
    return table


def _rows(bundle: Bundle) -> Iterator[tuple[str, str]]:
    manifest = bundle.manifest
    yield "bundle", f"{bundle.root}, sha256 {bundle.sha256[:12]}"
    yield "precision", manifest.precision
    yield "input", _input(manifest)
    yield "classes", ", ".join(manifest.class_names)
    yield "gate", _gate(manifest)
    yield "promise", _promise(manifest.guarantee)
    limits = manifest.limits
    yield "mask", f"from {limits.mask_threshold:.2f} on, {limits.min_area_px:g} px at least"
    if manifest.mm_per_pixel is not None:
        yield "a pixel", f"{manifest.mm_per_pixel:g} mm"
    for kind, values in manifest.metrics.items():
        yield f"validation, {kind}", _metrics(values)
    for part, work in manifest.work.items():
        yield f"work of the {part}", _work(work)
    if {"gate", "mask"} <= manifest.work.keys():
        yield "share of the mask", _mask_share(manifest.work)
    for name, size in _sizes(bundle).items():
        yield f"size of {name}", f"{size / 1e6:.1f} MB"
    yield "made by", ", ".join(f"{k} {v}" for k, v in manifest.provenance.versions.items())


def _input(manifest: Manifest) -> str:
    spec = manifest.input
    colour = "grey" if spec.channels == 1 else "colour"
    scale = f", scale {spec.scale:g}" if spec.scale != 1 else ""
    taught = f", taught on frames of {spec.taught_sizes}" if spec.taught else ""
    return f"{spec.width}x{spec.height}, {colour}, {spec.fit.value}{scale}{taught}"


def _gate(manifest: Manifest) -> str:
    limits = manifest.limits
    review = f", REVIEW below {limits.review_below:.4f}" if limits.review_below else ""
    return f"opens at {limits.threshold:.4f}{review}"


def _promise(guarantee: Guarantee | None) -> str:
    if guarantee is None:
        return "none"
    alone = ", taken by itself" if guarantee.rendering == "each" else ""
    return (
        f"at most {guarantee.max_miss_rate:.2%} of defective objects missed, confidence "
        f"{guarantee.confidence:.0%}; proven on {guarantee.n_objects}, {guarantee.n_missed} "
        f"missed, with {guarantee.rendering} rendering{alone}"
    )


def _metrics(values: dict[str, float | int | None]) -> str:
    names = ("recall", "false_reject_rate", "image_ap", "gated_seg_miou", "gated_seg_recall")
    known = ((name, values.get(name)) for name in names)
    return ", ".join(f"{name} {value:.3f}" for name, value in known if value is not None)


def _work(work: Work) -> str:
    return f"{work.multiply_adds / 1e6:.0f} M multiply-adds, {work.bytes / 1e6:.1f} MB moved a tile"


def _mask_share(work: dict[str, Work]) -> str:
    """What the gate spares, if time goes with the multiply-adds."""
    gate, mask = work["gate"].multiply_adds, work["mask"].multiply_adds
    spared = 1 - (gate + OPEN_SHARE * mask) / (gate + mask)
    return (
        f"{mask / (gate + mask):.0%}; with {OPEN_SHARE:.0%} of frames open, {spared:.0%} is spared"
    )


def _sizes(bundle: Bundle) -> dict[str, int]:
    """Bytes of each folder of networks, and of the whole."""
    sizes: dict[str, int] = {}
    for name in bundle.manifest.files:
        size = (bundle.root / name).stat().st_size
        folder = name.rpartition("/")[0]
        if name.endswith(".onnx") and folder:
            sizes[folder] = sizes.get(folder, 0) + size
        sizes["all"] = sizes.get("all", 0) + size
    return sizes
