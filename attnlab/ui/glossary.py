"""One line for each term that a reader may not know, so that every page explains it in the same words."""

GATE = "A gate is a weight between 0 and 1 that a feature is multiplied by: 0 removes the feature, 1 leaves it unchanged."
ATTENTION_GATE = (
    "An attention gate gives each position of a layer a weight; the network continues with the weighted sum of the layer's "
    "features."
)
UNIFORM = "1 × uniform means as much weight as if all positions shared the attention equally; 2 × is twice that."
ENTROPY = "Relative entropy measures how spread out a map is: 1 means uniform, 0 means that one position has all the weight."
HOLM = (
    "Holm's correction raises the p-values when several comparisons are made at once, because with many comparisons one of "
    "them looks significant by chance."
)
WELCH = "Welch's t-test compares two means without assuming that both groups vary equally."
MCNEMAR = "McNemar's exact test asks whether the predictions that changed went one way more often than chance would explain."
CENTRE_PRIOR = "The centre prior is a map that is always highest in the middle of the image, where objects often are."
OPTIONS = {
    "bottleneck": "number of values in the middle layer of the autoencoder",
    "dead_block": "adds a block that is never called, as in the report's published code: it has parameters but no effect",
    "clutter": "how many distractors lie around the digit, and how strongly the background is shaded",
    "digit_size": "small: the digit is as large as its distractors and lies anywhere; large: it fills most of the picture",
    "hidden": "units of the hidden layer in the classifier",
    "min_hidden": "the small inner layer of the attention has at least this many channels, however narrow the network is",
    "normalize": "how scores become weights: softmax makes them sum to 1, sigmoid makes each a gate between 0 and 1",
    "over": "rows: each row of pixels is encoded by itself; map: all pixels of a channel together",
    "pooled_keys": "halves the resolution that positions attend to, which saves time and memory",
    "readout": "what the classifier sees of the last map: all of its values, or the mean or maximum of each channel",
    "reduction": "the small inner layer of the attention has this many times fewer channels",
    "scaled": "divides the scores by the square root of the number of query channels per head",
    "spatial_dropout": "share of whole channels that are set to 0 at random during training",
}
"""Option of a variant or backbone -> what it does, for names that do not explain themselves."""
