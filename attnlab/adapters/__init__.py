"""Attention of foreign networks: timm's, torchvision's, those of transformers, and any `nn.Module` that gates or attends."""

from attnlab.adapters.adoption import Adopted, TapProof, Untapped, adopt, logits_of, untapped_of
from attnlab.adapters.networks import (
    CODE,
    LIBRARIES,
    NetworkUnavailable,
    allow_code,
    build_network,
    fitted_network,
    foreign_network,
    hub_network,
    known_networks,
    outputs,
    why_unfit,
)
from attnlab.adapters.preprocessing import Preprocessing, preprocessing_of

__all__ = [
    "CODE",
    "LIBRARIES",
    "Adopted",
    "NetworkUnavailable",
    "Preprocessing",
    "TapProof",
    "Untapped",
    "adopt",
    "allow_code",
    "build_network",
    "fitted_network",
    "foreign_network",
    "hub_network",
    "known_networks",
    "logits_of",
    "outputs",
    "preprocessing_of",
    "untapped_of",
    "why_unfit",
]
