"""One line for each term that a reader may not know, so that every page explains it in the same words."""

WEIGHTS = {
    "product": "The features are multiplied by the weights: 0 removes a feature, 1 leaves it unchanged. A gate lies between 0 "
    "and 1; a factor may also be larger, or negative, which turns the sign.",
    "one_plus": "The features are multiplied by 1 plus the weight: a weight of 0 leaves a feature unchanged, 1 doubles it.",
    "sum": "Each map weighs a copy of the features, and the copies are added: two weights of 0.5 leave a feature unchanged.",
    "mean": "Each map weighs a copy of the features, and the mean of the copies goes on: weights of 1 change nothing.",
    "readout": "The weights gather features from all positions, and what they gather is added to the features.",
    "mix": "It replaces a convolution: the weights say how much each branch, or each position, counts in what is passed on. "
    "The fair comparison is with weights that are all equal.",
}
"""How the weights of a variant act on the features: `attnlab.attention.Combine` -> in words."""
ATTENTION_GATE = (
    "An attention gate gives each position of a layer a weight; the network continues with the weighted sum of the layer's "
    "features."
)
FIXED = (
    "This run is a control: its attention weights were fixed before training and never changed. Gates let everything pass, "
    "what would be gathered is not added, and branches count alike. The maps show these fixed weights, so they say nothing "
    "about the images."
)
CONTROL = (
    "A control is the same variant with the same parameters, whose weights are fixed before the training so that they change "
    "nothing: gates let everything pass, what would be gathered is not added, and branches or positions that must be weighed "
    "count alike. Before training, both have the same numbers in all parameters."
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
    "after_relu": "for features that are never negative: their sum is taken without the sizes of the numbers",
    "bias": "whether the convolutions inside add a number of their own to each channel",
    "bottleneck": "number of values in the middle layer of the autoencoder",
    "dead_block": "adds a block that is never called, as in the report's published code: it has parameters but no effect",
    "clutter": "how many distractors lie around the digit, and how strongly the background is shaded",
    "dct_size": "size of the cosine transform that reads the frequencies; map: as large as the map, and at least 7",
    "dilation": "gap between the positions that the spatial branch looks at: the larger, the farther it sees",
    "digit_size": "small: the digit is as large as its distractors and lies anywhere; large: it fills most of the picture",
    "e_lambda": "the larger, the more alike are the weights of all positions",
    "extent": "side of the neighbourhood that shares a weight, in positions; 0: the whole map, with one weight per channel",
    "frequencies": "which patterns the channels are read by, and how many; top1 and low1 are the mean alone",
    "fusion": "what is done with the gathered vector: it is added to each position, it scales the channels, or both",
    "hidden": "units of the hidden layer in the classifier",
    "last_norm": "whether a batch normalisation ends each branch, as in the paper; the published code has none there",
    "learned": "whether convolutions with learned weights read a neighbourhood, instead of its mean",
    "merge": "how the two branches meet: product as in the published code, sum as in the paper",
    "min_hidden": "the small inner layer of the attention has at least this many channels, however narrow the network is",
    "mlp": "whether the channels of what was gathered are mixed by a small network",
    "norm": "how the strength of a channel is measured: l2, the root of the sum of squares, or l1, the sum of sizes",
    "normalize": "how scores become weights: softmax makes them sum to 1, sigmoid makes each a gate between 0 and 1",
    "over": "rows: each row of pixels is encoded by itself; map: all pixels of a channel together",
    "pooled_keys": "halves the resolution that positions attend to, which saves time and memory",
    "pooling": "attention: the positions are weighted by a learned map; mean: all count the same",
    "readout": "what the classifier sees of the last map: all of its values, or the mean or maximum of each channel",
    "reduction": "the small inner layer of the attention has this many times fewer channels",
    "scaled": "divides the scores by the square root of the number of query channels per head",
    "spatial": "whether a gate by position is among those that are averaged",
    "spatial_dropout": "share of whole channels that are set to 0 at random during training",
}
"""Option of a variant or backbone -> what it does, for names that do not explain themselves."""
