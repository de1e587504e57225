"""Attention of foreign networks: timm's, torchvision's, those of transformers, and any `nn.Module` that gates or attends."""

from attnlab.adapters.adopt import Adopted, TapProof, Untapped, adopt, logits_of
from attnlab.adapters.preprocessing import Preprocessing, preprocessing_of

__all__ = ["Adopted", "Preprocessing", "TapProof", "Untapped", "adopt", "logits_of", "preprocessing_of"]
