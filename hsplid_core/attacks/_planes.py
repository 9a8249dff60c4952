"""The nearest point of a hyperplane inside a box, in L-infinity or L2.

For each image: the smallest change d, in the norm, with <w, d> = r and lower <= p + d <= upper.
Every coordinate moves the way that helps, d_i = sign(w_i r) min(tau v_i, room_i), where v_i is
the coordinate's speed (1 in L-infinity, |w_i| in L2), room_i its distance to the box and tau >= 0
the root of

    g(tau) = sum_i |w_i| min(tau v_i, room_i) = |r|.

g is concave, piecewise linear and rises, so Newton's method from 0 climbs to the root without
overshooting and is exact once it is in the root's own piece: no sort of the coordinates.

Reference: Croce and Hein 2020, Minimally distorted adversarial examples with a fast adaptive
boundary attack (arXiv 1907.02044), section 2.2 and appendix, which sorts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsplid_core.attacks.balls import Norm

_NEWTON_STEPS = 12  # 3 to 6 do for images; in between, the result falls short of the plane


def towards_plane(
    point: Tensor, normal: Tensor, rest: Tensor, lower: Tensor, upper: Tensor, norm: Norm
) -> Tensor:
    """Find the smallest change that brings each image onto its hyperplane without leaving a box.

    Args:
        point: Images p inside the box, [B, C, H, W].
        normal: Normals w of the hyperplanes, [B, C, H, W].
        rest: What <w, d> must be, [B].
        lower: Lower corner of the box, [B, C, H, W].
        upper: Upper corner of the box, [B, C, H, W].
        norm: What is smallest.

    Returns:
        The changes d, [B, C, H, W]. Where a box does not reach its hyperplane, its corner nearest
        to it.
    """
    forward = normal.sign() * rest.sign().view(-1, 1, 1, 1)  # the way that helps
    room = torch.where(forward > 0, upper - point, point - lower).clamp_(min=0)
    room = room.where(forward != 0, 0).flatten(1)
    weight = normal.abs().flatten(1)
    speed = weight if norm == "l2" else torch.ones_like(weight)
    gain = weight * speed  # of g, for each unit of tau
    needed = rest.abs()
    tau = torch.zeros_like(needed)
    for _ in range(_NEWTON_STEPS):
        way = tau.unsqueeze(1) * speed
        free = way < room
        missing = needed - (weight * torch.minimum(way, room)).sum(1)
        slope = (gain * free).sum(1)
        # Without slope every coordinate is at the box, and no tau brings more.
        step = missing / slope
        tau = torch.where((slope > 0) & (missing > 0), tau + step, tau)
    # Where the box ends before the plane, tau has passed every breakpoint: the corner.
    way = torch.minimum(tau.unsqueeze(1) * speed, room)
    return forward * way.view_as(forward)
