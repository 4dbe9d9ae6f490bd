"""Layer-wise relevance propagation (LRP), also through prototypes (PRP)."""

from resemblance.relevance.lrp.propagation import lrp_maps, prp_maps

__all__ = ["lrp_maps", "prp_maps"]
