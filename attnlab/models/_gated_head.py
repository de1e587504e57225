"""A classifier on several depths of a network, each read through an attention gate that the deepest one guides.

After the article "Image Classification with Attention" (Yan et al., IPMI 2019):

    logits = W [mean(G), gate_1(l_1, G), gate_2(l_2, G), ...] + b

Any backbone that gives its stages as maps can use it. Weights start as in the article: Kaiming normal (fan in) in the
gates, normal with standard deviation 0.01 in the classifier, biases zero.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from attnlab.attention._gates import GridGate, Normalize


class GatedHead(nn.Module):
    """Logits from local maps and a guide.

    Args:
        channels: name of each local map -> its channels; the names become part of the tap names.
        guide_channels: channels of the guide.
        classes: number of logits.
        hidden: channels inside a gate; by default half of the guide's, as in the article.
        dropout: share of the concatenated features that is dropped in training.
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        guide_channels: int,
        classes: int,
        *,
        normalize: Normalize,
        hidden: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        inside = hidden or max(1, guide_channels // 2)
        self.gates = nn.ModuleDict(
            {name: GridGate(count, guide_channels, inside, normalize=normalize) for name, count in channels.items()}
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(guide_channels + sum(channels.values()), classes)
        for module in self.gates.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, local: Mapping[str, Tensor], guide: Tensor) -> Tensor:
        """Logits (B, classes).

        Args:
            local: name -> (B, C, H, W), for every gate.
            guide: (B, guide_channels, h, w).
        """
        read = [guide.mean(dim=(2, 3)), *(gate(local[name], guide) for name, gate in self.gates.items())]
        return self.classifier(self.dropout(torch.cat(read, dim=1)))
