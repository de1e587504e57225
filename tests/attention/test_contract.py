"""What every registered attention block promises, run over the registry: a new variant is tested by being registered."""

import copy
import io
import math
import threading
from functools import reduce

import pytest
import torch
from torch import Tensor, nn

from attnlab.attention import (
    AttentionMap,
    Combine,
    MapKind,
    MapScale,
    attention_taps,
    build_attention,
    edit_attention,
    list_attention,
    mixers,
    record_attention,
    weight_rows,
)
from attnlab.attention.conv_autoencoder import last_layer
from attnlab.attention.linear_autoencoder import LinearAutoencoder
from attnlab.explain.surgery.operations import off

CHANNELS = 64  # with fewer, a reduction of 16 leaves one hidden unit, and a dead ReLU hides the gradient
SQUARE, TALL = (8, 8), (13, 9)
COMPOSITIONS = ("eca+cbam_spatial", "eca+conv_autoencoder", "squeeze_excite+self_attention", "eca+eca", "halo+eca")
NAMES = (*list_attention(), *COMPOSITIONS)
READOUTS = [name for name, variant in list_attention().items() if variant.combine is Combine.READOUT]
GATES = [name for name in NAMES if not set(name.split("+")) & {*READOUTS, *mixers()}]
FOLLOWING = [name for name in NAMES if name.split("+")[0] not in mixers()]
IDLE = ("key.bias", "input.bias", "scores.bias")  # a softmax does not change when all its scores move together


def block(name: str, size: tuple[int, int], **options: object) -> nn.Module:
    """A block in float64, in evaluation mode, with every parameter away from a special value such as gamma = 0."""
    torch.manual_seed(0)
    made = build_attention(name, CHANNELS, size, {name: options} if options else None).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return made


def images(size: tuple[int, int], count: int = 3) -> Tensor:
    return torch.randn(count, CHANNELS, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def recorded(model: nn.Module, x: Tensor) -> tuple[Tensor, list[AttentionMap]]:
    with record_attention(model) as maps:
        return model(x), maps


def gated(model: nn.Module, x: Tensor, maps: list[AttentionMap]) -> Tensor:
    """What the maps make of the input, as each block of a composition says that its weights act."""
    for label, _ in model.named_children():
        weights = [seen.values for seen in maps if seen.name.startswith(f"{label}.")]
        combine = list_attention()[label.rstrip("0123456789")].combine
        if combine in (Combine.SUM, Combine.MEAN):
            copies = [x * each for each in weights]
            x = reduce(torch.add, copies) / (len(copies) if combine is Combine.MEAN else 1)
            continue
        assert combine in (Combine.PRODUCT, Combine.ONE_PLUS), f"{label} is no gate"
        for each in weights:
            x = x * (1 + each) if combine is Combine.ONE_PLUS else x * each
    return x


def check_range(seen: AttentionMap) -> None:
    """A gate is in [0, 1], a softmax sums to 1, a factor is any number; nothing else may be said to be none of them."""
    assert seen.values.isfinite().all()
    if seen.scale is MapScale.FACTOR:
        assert seen.neutral is not None
        return
    assert seen.values.min() >= 0 and seen.values.max() <= 1
    if seen.scale is MapScale.SOFTMAX:
        rows = weight_rows(seen)
        assert torch.allclose(rows.sum(dim=-1), torch.ones((), dtype=rows.dtype))
        assert not seen.kind.placed or rows.shape[-1] == seen.prefix + math.prod(seen.grid)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("squeeze_excite", "mlp.0"), ("cbam_channel", "mlp.0"), ("cbam", "channel.mlp.0"), ("self_attention", "query")],
)
def test_bottlenecks_have_a_least_width_where_it_is_asked_for(name: str, layer: str) -> None:
    """16 channels, a reduction of 16: one unit by default, as in the papers; the published widths stay as they are."""

    def width(channels: int, **options: int) -> int:
        made = build_attention(name, channels, SQUARE, {name: {"reduction": 16} | options})
        return len(made.get_submodule(f"{name}.{layer}").weight)

    assert (width(16), width(16, min_hidden=4), width(8, min_hidden=8)) == (1, 4, 8)
    assert width(64, **list_attention()[name].new_runs) == width(64) == 4
    assert width(256, **list_attention()[name].new_runs) == width(256) == 16


@pytest.mark.parametrize("size", [SQUARE, TALL, (1, 1), (2, 3), (1, 7)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_any_map_size_gets_its_shape_back(name: str, size: tuple[int, int]) -> None:
    y = block(name, size)(images(size))
    assert y.shape == (3, CHANNELS, *size)
    assert y.isfinite().all()


@pytest.mark.parametrize("name", list_attention())
def test_any_number_of_channels_works(name: str) -> None:
    """Also numbers that no reduction, and no number of groups or frequencies, divides."""
    for channels in (1, 7, 20, 37):
        try:
            made, x = build_attention(name, channels, (5, 3)).eval(), torch.randn(2, channels, 5, 3)
        except ValueError as refused:  # where the channels of a mixer must be divided
            assert name in mixers() and str(refused).startswith(f"{name} cannot "), channels
            continue
        y, maps = recorded(made, x)
        assert y.shape == x.shape and y.isfinite().all()
        assert name not in GATES or {seen.values.shape[1] for seen in maps} <= {1, channels}, channels


@pytest.mark.parametrize("size", [SQUARE, TALL], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name: str, size: tuple[int, int]) -> None:
    model = block(name, size).train()
    model(images(size).requires_grad_()).pow(2).sum().backward()  # a block may have no parameters
    idle = [path for path, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert [path for path in idle if not path.endswith(IDLE)] == []


@pytest.mark.parametrize("size", [SQUARE, TALL], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_maps_have_the_shape_and_range_of_their_kind(name: str, size: tuple[int, int]) -> None:
    height, width = size
    variants = list_attention()
    _, maps = recorded(block(name, size), images(size))
    kinds = [seen.kind for seen in maps if not seen.head]  # of several heads the first
    assert kinds == [kind for part in name.split("+") for kind in variants[part].kinds]
    for seen in maps:
        gathers = variants[seen.name.split(".")[0].rstrip("0123456789")].combine is Combine.READOUT
        channels = seen.values.shape[1] if gathers else CHANNELS  # such as the slots of a memory
        shapes = {
            MapKind.CHANNEL: {(3, CHANNELS, 1, 1)},
            MapKind.SPATIAL: {(3, 1, height, width)},
            MapKind.ELEMENT: {(3, channels, *size), (3, channels, height, 1), (3, channels, 1, width)},
            MapKind.PAIRWISE: {(3, height * width, seen.prefix + height * width)},
            MapKind.BRANCH: {(3, seen.values.shape[1], CHANNELS, 1, 1)},
        }
        assert tuple(seen.values.shape) in shapes[seen.kind]
        check_range(seen)
        assert not seen.values.requires_grad
    assert len({seen.name for seen in maps}) == len(maps)


@pytest.mark.parametrize("size", [SQUARE, TALL], ids=str)
@pytest.mark.parametrize("name", GATES)
def test_what_a_gate_shows_is_what_was_multiplied(name: str, size: tuple[int, int]) -> None:
    x, model = images(size), block(name, size)
    y, maps = recorded(model, x)
    assert torch.equal(y, gated(model, x, maps))


@pytest.mark.parametrize("size", [SQUARE, TALL], ids=str)
def test_what_pairwise_shows_is_what_gathers_the_values(size: tuple[int, int]) -> None:
    x, model = images(size), block("self_attention", size)
    y, maps = recorded(model, x)
    attention = model.get_submodule("self_attention")
    values = attention.value(x).flatten(2)  # (B, C, N)
    gathered = torch.einsum("bck,bqk->bcq", values, maps[0].values).view_as(x)
    assert torch.allclose(y, attention.gamma * gathered + x, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_recording_changes_no_bit(name: str) -> None:
    x, model = images(TALL), block(name, TALL)
    plain = model(x)
    assert torch.equal(recorded(model, x)[0], plain)
    assert torch.equal(model(x), plain)


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_independent(name: str) -> None:
    x, model = images(TALL), block(name, TALL)
    together = model(x)
    for i in range(len(x)):
        assert torch.allclose(model(x[i : i + 1]), together[i : i + 1], atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_saves_after_a_forward(name: str) -> None:
    x, model = images(SQUARE), block(name, SQUARE)
    y, _ = recorded(model, x)
    assert torch.equal(copy.deepcopy(model)(x), y)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    fresh = block(name, SQUARE)
    fresh.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(fresh(x), y)
    assert not any("tap" in key for key in model.state_dict())


def is_off(name: str, model: nn.Module, x: Tensor) -> bool:
    """Whether neutral weights leave the input as it is; where the gathered values pass a last layer, but for its constant."""
    if not set(name.split("+")) & set(READOUTS):
        with edit_attention(model, off):
            return torch.allclose(model(x), x, rtol=0, atol=1e-12)
    x = x + 100  # so that a ReLU after the sum does nothing
    with edit_attention(model, off):
        added = model(x) - x
    return torch.allclose(added, added[:1, :, :1, :1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", FOLLOWING)
def test_neutral_weights_switch_the_block_off(name: str) -> None:
    x, model = images(TALL), block(name, TALL)
    assert is_off(name, model, x)
    assert not torch.allclose(model(x), x, rtol=0, atol=1e-3)


def test_uniform_self_attention_adds_the_mean_value() -> None:
    x, model = images(TALL), block("self_attention", TALL)
    with edit_attention(model, lambda seen: torch.full_like(seen.values, 1 / seen.values.shape[-1])):
        y = model(x)
    attention = model.get_submodule("self_attention")
    mean = attention.value(x).mean(dim=(2, 3), keepdim=True)
    assert torch.allclose(y, attention.gamma * mean + x, atol=1e-10)


@pytest.mark.parametrize("name", list_attention())
def test_an_edit_of_the_wrong_shape_is_refused_by_name(name: str) -> None:
    model = block(name, SQUARE)
    with pytest.raises(ValueError, match=r"tap.*returned shape \(1,\)"), edit_attention(model, lambda seen: torch.ones(1)):
        model(images(SQUARE))


@pytest.mark.parametrize("name", list_attention())
def test_every_offered_option_value_keeps_the_contract(name: str) -> None:
    x = images(TALL, 2)
    for option, values in list_attention()[name].options.items():
        for value in values:
            model = block(name, TALL, **{option: value})
            y, maps = recorded(model, x)
            assert y.shape == x.shape and y.isfinite().all() and maps, (option, value)
            for seen in maps:
                check_range(seen)
            if name in GATES:
                assert torch.equal(y, gated(model, x, maps)), (option, value)
            added = name not in mixers() and (option, value) != ("residual", False)  # else the block is not added to its input
            assert not added or is_off(name, model, x), (option, value)


@pytest.mark.parametrize("name", list_attention())
def test_metadata_tells_a_person_what_it_is(name: str) -> None:
    variant = list_attention()[name]
    assert variant.title and variant.paper and variant.summary.endswith(".") and variant.formula and variant.kinds
    assert set(variant.defaults) == set(variant.options)


def test_an_exception_leaves_no_recording_behind() -> None:
    model = block("eca", SQUARE)
    with pytest.raises(RuntimeError, match="on purpose"), record_attention(model) as maps:
        model(images(SQUARE))
        raise RuntimeError("on purpose")
    count = len(maps)
    model(images(SQUARE))
    assert len(maps) == count == 1
    assert not any(tap.active for tap in attention_taps(model).values())


def test_a_second_thread_on_the_same_model_is_not_recorded() -> None:
    model = block("cbam", SQUARE)
    mine, other = images(SQUARE), images(SQUARE, count=5)
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            model(other)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for _ in range(50):
            _, maps = recorded(model, mine)
            assert [seen.values.shape[0] for seen in maps] == [3, 3]
    finally:
        stop.set()
        thread.join()


def test_a_recording_sees_only_its_own_model() -> None:
    one, two = block("eca", SQUARE), block("eca", SQUARE)
    with record_attention(one) as maps:
        two(images(SQUARE))
        one(images(SQUARE))
    assert len(maps) == 1


def test_detach_false_keeps_the_graph() -> None:
    model, x = block("cbam_spatial", SQUARE), images(SQUARE).requires_grad_()
    with record_attention(model, detach=False) as maps:
        model(x)
    (gradient,) = torch.autograd.grad(maps[0].values.sum(), x)
    assert gradient.any()


def test_an_inner_recording_sees_the_edited_weights() -> None:
    model = block("eca", SQUARE)
    with edit_attention(model, lambda seen: seen.values * 0.5), record_attention(model) as edited:
        model(images(SQUARE))
    _, plain = recorded(model, images(SQUARE))
    assert torch.equal(edited[0].values, plain[0].values * 0.5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ecca", None, "unknown attention variant 'ecca'; known: none, .*eca"),
        ("eca+", None, "unknown attention variant ''"),
        ("eca", {"eca": {"kernel": 3}}, "eca has no option kernel; its options: kernel_size"),
        ("eca", {"cbam": {}}, "options given for cbam, which 'eca' does not contain"),
        ("eca", {"eca": {"kernel_size": 4}}, "eca: kernel_size must be one of 3, 5, 7, 9, 'adaptive'; got 4"),
        ("conv_autoencoder", {"conv_autoencoder": {"activation": "step"}}, "activation must be one of 'relu', .*; got 'step'"),
        ("self_attention", {"self_attention": {"heads": True}}, "heads must be one of 1, 2, 4, 8; got True"),
    ],
)
def test_bad_names_and_options_are_refused_with_the_right_ones(name: str, options: dict | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_attention(name, CHANNELS, SQUARE, options)


def test_a_whole_number_in_json_may_be_written_as_a_real_one() -> None:
    made = build_attention("squeeze_excite", CHANNELS, SQUARE, {"squeeze_excite": {"reduction": 8.0}})
    assert made.get_submodule("squeeze_excite").mlp[0].out_features == CHANNELS // 8


# By hand, on maps small enough to compute.


def test_eca_by_hand() -> None:
    model = build_attention("eca", 3, (1, 2))
    model.get_submodule("eca").conv.weight.data = torch.tensor([[[1.0, 2.0, 3.0]]])
    x = torch.tensor([[[[0.0, 2.0]], [[-1.0, -1.0]], [[4.0, 0.0]]]])  # channel means 1, -1, 2
    _, (seen,) = recorded(model, x)
    scores = [2 * 1 + 3 * -1, 1 * 1 + 2 * -1 + 3 * 2, 1 * -1 + 2 * 2]
    assert seen.values.flatten().tolist() == pytest.approx([1 / (1 + math.exp(-score)) for score in scores])


@pytest.mark.parametrize(("channels", "kernel"), [(16, 3), (64, 3), (128, 5), (256, 5), (512, 5)])
def test_eca_adaptive_kernel_is_the_papers(channels: int, kernel: int) -> None:
    model = build_attention("eca", channels, SQUARE, {"eca": {"kernel_size": "adaptive"}})
    assert model.get_submodule("eca").conv.kernel_size == (kernel,)


def test_cbam_spatial_by_hand() -> None:
    model = build_attention("cbam_spatial", 2, (1, 1)).eval()
    spatial = model.get_submodule("cbam_spatial")
    spatial.conv.weight.data.zero_()
    spatial.conv.weight.data[0, :, 3, 3] = torch.tensor([1.0, 10.0])  # centre tap: maximum, then mean
    spatial.bn.running_mean.fill_(2.0)
    spatial.bn.running_var.fill_(4.0 - spatial.bn.eps)
    _, (seen,) = recorded(model, torch.tensor([[[[3.0]], [[-1.0]]]]))  # maximum 3, mean 1
    assert seen.values.item() == pytest.approx(1 / (1 + math.exp(-(3 + 10 - 2) / 2)))


def test_squeeze_excite_by_hand() -> None:
    model = build_attention("squeeze_excite", 2, (1, 2), {"squeeze_excite": {"reduction": 2}})
    first, _, second = model.get_submodule("squeeze_excite").mlp
    first.weight.data, first.bias.data = torch.tensor([[1.0, -1.0]]), torch.tensor([0.5])
    second.weight.data, second.bias.data = torch.tensor([[2.0], [-2.0]]), torch.tensor([0.0, 1.0])
    _, (seen,) = recorded(model, torch.tensor([[[[1.0, 3.0]], [[0.0, 2.0]]]]))  # means 2 and 1, hidden 1.5
    assert seen.values.flatten().tolist() == pytest.approx([1 / (1 + math.exp(-3)), 1 / (1 + math.exp(2))])


def test_self_attention_by_hand() -> None:
    """Two positions, one channel: q = x, k = x, v = 2x, gamma = 0.5."""
    model = build_attention("self_attention", 1, (1, 2))
    attention = model.get_submodule("self_attention")
    for projection, weight in ((attention.query, 1.0), (attention.key, 1.0), (attention.value, 2.0)):
        projection.weight.data.fill_(weight)
        projection.bias.data.zero_()
    attention.gamma.data.fill_(0.5)
    y, (seen,) = recorded(model, torch.tensor([[[[1.0, 2.0]]]]))
    first = math.exp(1) / (math.exp(1) + math.exp(2))  # of position 0 on itself; scores 1 and 2
    second = math.exp(2) / (math.exp(2) + math.exp(4))
    assert seen.values[0].flatten().tolist() == pytest.approx([first, 1 - first, second, 1 - second])
    expected = [0.5 * 2 * (first * 1 + (1 - first) * 2) + 1, 0.5 * 2 * (second * 1 + (1 - second) * 2) + 2]
    assert y.flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("side", range(1, 70))
def test_conv_autoencoder_gives_any_side_back_without_cropping_from_eight_up(side: int) -> None:
    """From 2^depth = 8 up the last layer meets the side exactly; below, the input is padded to 8."""
    model = build_attention("conv_autoencoder", 2, (side, 11)).get_submodule("conv_autoencoder")
    gate = model.decoder(model.encoder(torch.zeros(1, 2, *model.padded)))
    assert gate.shape == (1, 2, max(side, 8), 11)


@pytest.mark.parametrize(
    ("small", "side", "geometry"),
    [(16, 32, (3, 2, 1, 1)), (12, 30, (3, 3, 3, 0)), (4, 15, (3, 4, 1, 2)), (4, 13, (2, 4, 1, 1))],
)
def test_conv_autoencoder_has_the_published_last_layers(small: int, side: int, geometry: tuple[int, ...]) -> None:
    assert tuple(last_layer(small, side)) == geometry


def test_linear_autoencoder_codes_rows_or_the_whole_map() -> None:
    """A change in one row moves only that row's gates as published, and the whole channel's over the map."""
    for over, touched in (("rows", {2}), ("map", {0, 1, 2, 3})):
        model = block("linear_autoencoder", (4, 6), over=over)
        x = images((4, 6), 1)
        moved = x.clone()
        moved[0, 0, 2] += 1
        (before,), (after,) = recorded(model, x)[1], recorded(model, moved)[1]
        rows = (before.values != after.values)[0, 0].any(dim=1).nonzero().flatten().tolist()
        assert set(rows) == touched


@torch.no_grad()
def test_linear_autoencoder_keeps_the_sign_of_its_code() -> None:
    """Weights of 1 or -1 along one path: the code of x = 2 is -2, the decoder turns it back, and the gate is sigmoid(2).

    With a ReLU after the code, the gate would be sigmoid(0).
    """
    model = LinearAutoencoder(1, (1, 1), depth=2, bottleneck=1)
    for layer, weight in zip([*model.encoder[::2], *model.decoder[::2]], (1.0, -1.0, -1.0, 1.0), strict=True):
        layer.weight.zero_()
        layer.bias.zero_()
        layer.weight[0, 0] = weight
    assert model(torch.full((1, 1, 1, 1), 2.0)).item() == pytest.approx(2 * 0.8807970780, abs=1e-6)


def test_a_model_without_attention_says_what_to_do_instead_of_recording_nothing() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1))
    words = r"Sequential has no attention .*build_attention.*self\.tap\(weights\)"
    with pytest.raises(ValueError, match=words), record_attention(model):
        pass
    with record_attention(model, required=False) as maps:
        model(torch.zeros(1, 3, 2, 2))
    assert maps == []
