"""The good surface: four industrial textures, their machining marks, and the light on them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from train.synthesize.noise import Noise, Plane
from train.synthesize.streams import Key, generator

Rule = Callable[[Plane], Plane]
Spread = tuple[float, float]


@dataclass(frozen=True)
class Layer:
    """One noise of a texture: its spread (along the grain, across it), weight and shape."""

    spread_px: Spread
    weight: float
    rule: Rule | None = None


@dataclass(frozen=True)
class Surface:
    """An endless band of one material under fixed light; a part or a strip is a piece of it.

    Attributes:
        kind: brushed, ground, rolled or plastic.
        seed: the seed of everything drawn.
        key: the address of its noise.
        grain: "down" or "across" the image, or None where the texture has no direction.
        layers: the texture.
        level: mean grey level.
        roughness: standard deviation of the texture, grey levels.
        slope: change of the light from the left border to the right one, as a share.
        falloff: loss of light at both borders, as a share.
        drift: standard deviation of the slow change of the light, as a share.
    """

    kind: str
    seed: int
    key: Key
    grain: str | None
    layers: tuple[Layer, ...]
    level: float
    roughness: float
    slope: float
    falloff: float
    drift: float

    def window(self, top: int, size: tuple[int, int]) -> Plane:
        """Draw what the light shows from row `top` on: (H, W) grey levels, without the sensor."""
        width, height = size
        texture = self.roughness * self._texture(top, height, width)
        return np.asarray((self.level + texture) * self._light(top, height, width), np.float32)

    def sensor_noise(self, top: int, size: tuple[int, int]) -> Plane:
        """Draw the sensor's noise of the same rows: (H, W), variance 1."""
        width, height = size
        return self._noise(0, (0.0, 0.0)).window(top, height, width)

    def _texture(self, top: int, height: int, width: int) -> Plane:
        planes = [
            layer.weight * self._layer(number, layer, top, height, width)
            for number, layer in enumerate(self.layers, start=2)
        ]
        scale = sum(layer.weight**2 for layer in self.layers if layer.rule is not marks) ** 0.5
        return np.asarray(sum(planes) / scale, np.float32)

    def _layer(self, number: int, layer: Layer, top: int, height: int, width: int) -> Plane:
        along, across = layer.spread_px
        spread = (across, along) if self.grain == "across" else (along, across)
        plane = self._noise(number, spread).window(top, height, width)
        return layer.rule(plane) if layer.rule else plane

    def _light(self, top: int, height: int, width: int) -> Plane:
        x = np.linspace(-1, 1, width, dtype=np.float32)
        profile = 1 + self.slope / 2 * x - self.falloff * x**2
        slow = self._noise(1, (150.0, 150.0)).window(top, height, width)
        return np.asarray(profile * (1 + self.drift * slow), np.float32)

    def _noise(self, number: int, spread_px: Spread) -> Noise:
        return Noise(self.seed, (*self.key, number), spread_px)


def surface(kind: str, seed: int, key: Key) -> Surface:
    """Draw the parameters of one part's or strip's surface from its address."""
    source = generator(seed, key)
    layers = LAYERS[kind](source)
    lowest, highest = ROUGHNESS[kind]
    return Surface(
        kind=kind,
        seed=seed,
        key=key,
        grain=GRAINS[kind][source.integers(len(GRAINS[kind]))],
        layers=layers,
        level=source.uniform(118, 158),
        roughness=source.uniform(lowest, highest),
        slope=source.uniform(-0.28, 0.28),
        falloff=source.uniform(0.0, 0.14),
        drift=source.uniform(0.015, 0.045),
    )


def marks(plane: Plane) -> Plane:
    """Keep the rare peaks: long, faint machining marks that follow the grain."""
    return np.asarray(np.maximum(np.abs(plane) - 2.1, 0) * np.sign(plane), np.float32)


def grains(plane: Plane) -> Plane:
    """Skew the noise: flat bright land with darker hollows between, as after casting."""
    return np.asarray((plane - 0.22 * (plane**2 - 1)) / 1.05, np.float32)


def speckle(plane: Plane) -> Plane:
    """Flatten the noise into plateaus and valleys, as an etched mould leaves them."""
    return np.asarray(np.tanh(1.6 * plane) / 0.75, np.float32)


def _brushed(source: np.random.Generator) -> tuple[Layer, ...]:
    length = source.uniform(25, 60)
    return (
        Layer((length, 0.6), 1.0),
        Layer((length / 2, 1.8), source.uniform(0.4, 0.8)),
        Layer((2 * length, 6.0), source.uniform(0.3, 0.6)),
        Layer((0.7, 0.7), source.uniform(0.3, 0.5)),
        Layer((1.5 * length, 0.7), source.uniform(1.5, 3.5), marks),
    )


def _ground(source: np.random.Generator) -> tuple[Layer, ...]:
    coarse = source.uniform(0.8, 1.3)
    return (
        Layer((0.7 * coarse, 0.7 * coarse), 1.0, grains),
        Layer((1.6 * coarse, 1.6 * coarse), source.uniform(0.4, 0.8)),
        Layer((3.5 * coarse, 3.5 * coarse), source.uniform(0.3, 0.5)),
        Layer((8.0 * coarse, 8.0 * coarse), source.uniform(0.15, 0.3)),
        Layer((55.0, 55.0), source.uniform(0.2, 0.4)),
    )


def _rolled(source: np.random.Generator) -> tuple[Layer, ...]:
    return (
        Layer((7.0, 0.8), 1.0),
        Layer((source.uniform(90, 160), source.uniform(2, 5)), source.uniform(0.4, 0.8)),
        Layer((200.0, source.uniform(12, 25)), source.uniform(0.3, 0.6)),
        Layer((0.6, 0.6), source.uniform(0.5, 0.8)),
        Layer((60.0, 60.0), source.uniform(0.2, 0.4)),
        Layer((80.0, 1.0), source.uniform(1.5, 3.5), marks),
    )


def _plastic(source: np.random.Generator) -> tuple[Layer, ...]:
    cell = source.uniform(1.0, 1.8)
    return (
        Layer((cell, cell), 1.0, speckle),
        Layer((2.5 * cell, 2.5 * cell), source.uniform(0.3, 0.6)),
        Layer((0.6, 0.6), source.uniform(0.3, 0.5)),
        Layer((60.0, 60.0), source.uniform(0.2, 0.4)),
    )


LAYERS: dict[str, Callable[[np.random.Generator], tuple[Layer, ...]]] = {
    "brushed": _brushed,
    "ground": _ground,
    "rolled": _rolled,
    "plastic": _plastic,
}
ROUGHNESS = {"brushed": (5, 9), "ground": (5, 9), "rolled": (4, 8), "plastic": (3, 6)}
GRAINS: dict[str, tuple[str | None, ...]] = {
    "brushed": ("down", "across"),
    "ground": (None,),
    "rolled": ("down",),
    "plastic": (None,),
}
KINDS = tuple(LAYERS)
