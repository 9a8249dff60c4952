"""The nearest point of an L2 ball that is a valid image, in whatever basis images are written.

A frequency flip turns the box [0, 1] of pixels into a rotated one, in which clipping is no
projection any more, and clipping after shrinking finds a point of the intersection but not the
nearest. Dykstra's algorithm alternates between the projections onto both convex sets and remembers
what each took away; for P the box's, Q the ball's projection, and p = q = 0 at first,

    y <- P(x + p),  p <- x + p - y;      x <- Q(y + q),  q <- y + q - x

converges to the projection of the start onto the intersection.

References: Boyle and Dykstra 1986, A method for finding projections onto the intersection of
convex sets; used for frequency-flipped images by Ortiz-Jimenez et al. 2020 (arXiv 2002.06349).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Change = Callable[[Tensor], Tensor]


def _unchanged(image: Tensor) -> Tensor:
    return image


def project_onto_ball_and_box(
    point: Tensor,
    origin: Tensor,
    epsilon: float,
    *,
    to_pixels: Change = _unchanged,
    from_pixels: Change = _unchanged,
    tolerance: float = 1e-5,
    max_rounds: int = 200,
) -> Tensor:
    """Find the valid images within epsilon of the origins that are nearest to some points.

    Args:
        point: Where to start, [B, C, H, W], in any orthonormal basis.
        origin: Centres of the balls, valid images in the same basis, [B, C, H, W].
        epsilon: Radius in L2, above 0.
        to_pixels: From that basis to pixels, where valid means [0, 1].
        from_pixels: Its inverse.
        tolerance: Stop when no image of the batch moves farther than this in a round, in L2.
        max_rounds: Stop after so many rounds in any case.

    Returns:
        The projections, [B, C, H, W]: inside both sets up to rounding, and the nearest such
        points up to about the tolerance.
    """

    def onto_box(x: Tensor) -> Tensor:
        return from_pixels(to_pixels(x).clamp(0, 1))

    x = point
    box_rest, ball_rest = torch.zeros_like(x), torch.zeros_like(x)
    for _ in range(max_rounds):
        in_box = onto_box(x + box_rest)
        box_rest = x + box_rest - in_box
        in_ball = _onto_ball(in_box + ball_rest, origin, epsilon)
        ball_rest = in_box + ball_rest - in_ball
        moved = _length(in_ball - x).amax() if len(x) else x.new_zeros(())
        x = in_ball
        if float(moved) <= tolerance:
            break
    # From a point of the box, the way to the origin stays in the box: the result is in both.
    return _onto_ball(onto_box(x), origin, epsilon)


def _onto_ball(x: Tensor, origin: Tensor, epsilon: float) -> Tensor:
    change = x - origin
    return origin + change / (_length(change) / epsilon).clamp(min=1)


def _length(change: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(change, dim=(1, 2, 3), keepdim=True)
    return length
