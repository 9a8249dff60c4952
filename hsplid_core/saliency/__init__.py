"""What a model looks at: attributions of its decisions to pixels."""

from hsplid_core.saliency.simple_gradient import agg_clip, simple_gradient

__all__ = ["agg_clip", "simple_gradient"]
