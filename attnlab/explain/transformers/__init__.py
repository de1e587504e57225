"""What is read of the attention of a transformer: of all layers together, for a class, and of its tokens.

Nothing here knows a network. `layers.token_layers` takes the maps of one forward, wherever they come from.
"""

from attnlab.explain.transformers.layers import TokenLayers, token_layers
from attnlab.explain.transformers.reading import attention_distances, position_similarity, read_rows
from attnlab.explain.transformers.relevance import (
    attention_gradients,
    class_relevance,
    gradient_rollout,
    layers_with_gradients,
    legrad,
    own_score_gradients,
)
from attnlab.explain.transformers.rollout import attention_flow, attention_rollout, joint_attention
from attnlab.explain.transformers.tokens import patch_logits, token_norms, token_states

__all__ = [
    "TokenLayers",
    "attention_distances",
    "attention_flow",
    "attention_gradients",
    "attention_rollout",
    "class_relevance",
    "gradient_rollout",
    "joint_attention",
    "layers_with_gradients",
    "legrad",
    "own_score_gradients",
    "patch_logits",
    "position_similarity",
    "read_rows",
    "token_layers",
    "token_norms",
    "token_states",
]
