"""The single-pixel data: one pixel in every image that gives its class away.

Source: Yasin, Hare and Marcu, "Is Saliency Really Captured by Sensitivity?", and their released
code (github.com/ecs-vlc/is-saliency-capturing-gradient), after Malhotra and Bowers, "What a
difference a pixel makes" (2018), who planted a pixel into CIFAR-10 images enlarged to 224x224 for
VGG-16. Each class has a base place and a base colour; each image's pixel lies around them. The
classes that draw them are not part of the released code, so these choices are ours:

- base places are drawn without replacement, base colours uniformly from all colours;
- an image's place is the base plus a normal deviate, rounded, and clipped to the image; its
  colour is the base plus a normal deviate in every channel, rounded to whole bytes and clipped;
- an image's deviates depend on the seed and its row alone, and scale with the standard deviation,
  so that the same image has a comparable pixel under every jitter;
- in the condition ``diff`` an image gets the pixel of a class drawn from the other ones;
- a cluster is a square of the one colour, which lies whole within the image.

Symbols: B images, K classes, N rows of the data set, s the side of the square.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from hsplid_core.config.analyses import PixelConfig
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError

# Random numbers of one seed: the bases, and the deviates of each stream.
_USES = 16


@dataclass(frozen=True, kw_only=True)
class PlantedPixels:
    """A change of image batches: it plants the class's pixel, and marks it in the mask.

    In the condition ``nopix`` the image stays, and the mask marks where its pixel would be.

    Attributes:
        config: Places, colours and jitter.
        num_classes: K.
        image_shape: C, H, W.
        n_rows: N, of the whole underlying set, to whose rows a batch's `index` points.
        stream: Tells sets of one data set apart whose rows are numbered alike.

    Raises:
        ConfigError: The square does not fit into the image, or there are too few places.
    """

    config: PixelConfig
    num_classes: int
    image_shape: tuple[int, int, int]
    n_rows: int
    stream: int = 0

    gives_masks = True

    def __post_init__(self) -> None:
        rows, columns = self._n_places
        if rows < 1 or columns < 1:
            raise ConfigError(
                f"data.pixel.side is {self.config.side}: use at most the images' "
                f"{min(self.image_shape[1:])} pixels"
            )
        if rows * columns < self.num_classes:
            raise ConfigError(
                f"data.pixel.side is {self.config.side}: it leaves {rows * columns} places for "
                f"{self.num_classes} classes; use a smaller one"
            )

    @property
    def key(self) -> str:
        """What identifies the change."""
        return repr(self)

    @property
    def _n_places(self) -> tuple[int, int]:
        _, height, width = self.image_shape
        return height - self.config.side + 1, width - self.config.side + 1

    @cached_property
    def base_places(self) -> Tensor:
        """Row and column of each class's square (its upper left pixel), int64, [K, 2]."""
        return self._bases[0]

    @cached_property
    def base_colours(self) -> Tensor:
        """Colour of each class in whole bytes, int64, [K, C]."""
        return self._bases[1]

    @cached_property
    def _bases(self) -> tuple[Tensor, Tensor]:
        generator = self._generator(0)
        rows, columns = self._n_places
        cell = torch.randperm(rows * columns, generator=generator)[: self.num_classes]
        colour = torch.randint(256, (self.num_classes, self.image_shape[0]), generator=generator)
        return torch.stack([cell // columns, cell % columns], dim=1), colour

    def _generator(self, use: int) -> torch.Generator:
        # torch's CPU generator looks at the seed's lower 32 bits only.
        return torch.Generator().manual_seed(_USES * self.config.seed + use)

    @cached_property
    def _deviates(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of each row: place [N, 2] and colour [N, C], standard normal; class offset [N]."""
        generator = self._generator(1 + self.stream)
        place = torch.randn(self.n_rows, 2, generator=generator)
        colour = torch.randn(self.n_rows, self.image_shape[0], generator=generator)
        offset = torch.randint(1, max(2, self.num_classes), (self.n_rows,), generator=generator)
        return place, colour, offset

    def _tables(self, device: torch.device) -> tuple[Tensor, ...]:
        """Bases, last places and deviates on a device, where they stay: no step moves them."""
        if device not in self._moved:
            last = torch.tensor(self._n_places) - 1
            tables = *self._bases, last, *self._deviates
            self._moved[device] = tuple(table.to(device) for table in tables)
        return self._moved[device]

    @cached_property
    def _moved(self) -> dict[torch.device, tuple[Tensor, ...]]:
        return {}

    def __call__(self, batch: Batch) -> Batch:
        """Plant the pixels of a batch, all images at once.

        Args:
            batch: Pixels in [0, 1], [B, C, H, W]; its own mask is replaced.

        Returns:
            The changed images, and masks that are True on the planted square, [B, 1, H, W].
        """
        places, colours, last, *deviates = self._tables(batch.image.device)
        place_deviate, colour_deviate, offset = (values[batch.index] for values in deviates)
        label = batch.target
        if self.config.condition == "diff":
            label = (label + offset) % self.num_classes
        place = places[label] + (place_deviate * self.config.position_sd).round().long()
        place = place.clamp_min(0).minimum(last)
        mask = self._square(place)
        if self.config.condition == "nopix":
            return dataclasses.replace(batch, mask=mask)
        colour = colours[label] + (colour_deviate * self.config.colour_sd).round()
        colour = (colour.clamp(0, 255) / 255)[:, :, None, None]
        return dataclasses.replace(batch, image=torch.where(mask, colour, batch.image), mask=mask)

    def _square(self, place: Tensor) -> Tensor:
        """Mark the square at each place [B, 2]: bool, [B, 1, H, W]."""
        inside = []
        for axis, length in enumerate(self.image_shape[1:]):
            first = place[:, axis, None]
            along = torch.arange(length, device=place.device)
            inside.append((along >= first) & (along < first + self.config.side))
        return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
