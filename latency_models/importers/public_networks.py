"""Operators of published mobile networks, from their papers' tables: what files that say only "MobileNetV2 0.5" were measured on.

Two flavours differ in details that cost time: "tf" is the authors' TensorFlow code, "paddle" is PaddleClas, which expands
also where the ratio is one, multiplies other channels by the width and squeezes to an unrounded quarter. ShuffleNetV2 and GhostNet were
published for other frameworks and have one flavour.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from nas.core.errors import UnknownNameError
from nas.core.operators import Operator, convolution, depthwise, elementwise
from nas.core.space import make_divisible

_NAME = re.compile(r"(?P<family>[a-z0-9_]+?)(?:-(?P<width>[\d.]+))?(?:@(?P<resolution>\d+))?")


@dataclass(slots=True)
class _Chain:
    """Operators so far, with the shape of the last output. Mutable: it lives inside one function call."""

    size: int
    channels: int = 3
    found: list[Operator] = field(default_factory=list)

    def conv(self, out: int, kernel: int = 1, stride: int = 1, act: str = "") -> None:
        self.found.append(convolution(self.channels, out, kernel, stride, self.size, self.size, act))
        self.channels, self.size = out, -(-self.size // stride)

    def dw(self, kernel: int = 3, stride: int = 1, act: str = "") -> None:
        self.found.append(depthwise(self.channels, kernel, stride, self.size, self.size, act))
        self.size = -(-self.size // stride)

    def add(self, kind: str) -> None:
        self.found.append(elementwise(kind, self.channels, self.size, self.size))

    def se(self, squeezed: int, act: str = "relu", gate: str = "hard_sigmoid") -> None:
        self.found += [
            Operator("pool", self.channels, self.channels, 1, 1, self.size, self.size),
            convolution(self.channels, squeezed, 1, 1, 1, 1, act),
            convolution(squeezed, self.channels, 1, 1, 1, 1, gate),
        ]
        self.add("se_scale")

    def window(self, kernel: int, stride: int) -> None:
        self.found.append(Operator("window_pool", self.channels, self.channels, kernel, stride, self.size, self.size))
        self.size = -(-self.size // stride)

    def head(self, classes: int, hidden: int = 0, act: str = "") -> tuple[Operator, ...]:
        self.found.append(Operator("pool", self.channels, self.channels, 1, 1, self.size, self.size))
        self.size = 1
        if hidden:
            self.conv(hidden, act=act)
        return (*self.found, Operator("linear", self.channels, classes, 1, 1, 1, 1))

    def inverted(self, expanded: int, out: int, kernel: int, stride: int, act: str, squeezed: int = 0, expand: bool = True) -> None:
        first = self.channels
        if expand:
            self.conv(expanded, act=act)
        self.dw(kernel, stride, act)
        if squeezed:
            self.se(squeezed)
        self.conv(out)
        if stride == 1 and out == first:
            self.add("add")


def _mobilenet_v1(width: float, resolution: int, classes: int, flavour: str) -> tuple[Operator, ...]:
    """Howard et al. 2017, table 1."""
    net = _Chain(resolution)
    net.conv(int(32 * width), 3, 2, "relu6")
    for out, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1)):
        net.dw(3, stride, "relu6")
        net.conv(int(out * width), act="relu6")
    return net.head(classes)


def _mobilenet_v2(width: float, resolution: int, classes: int, flavour: str) -> tuple[Operator, ...]:
    """Sandler et al. 2018, table 2."""
    paddle, net = flavour == "paddle", _Chain(resolution)

    def scaled(channels: int) -> int:
        return int(channels * width) if paddle else make_divisible(channels * width)

    net.conv(scaled(32), 3, 2, "relu6")
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for ratio, out, depth, stride in table:
        for i in range(depth):
            net.inverted(ratio * net.channels, scaled(out), 3, 1 if i else stride, "relu6", expand=paddle or ratio > 1)
    net.conv(int(1280 * max(1, width)) if paddle else make_divisible(1280 * max(1, width)), act="relu6")
    return net.head(classes)


_V3_LARGE = (
    *((3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2), (5, 120, 40, 1, 0, 1), (5, 120, 40, 1, 0, 1)),
    *((3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 480, 112, 1, 1, 1)),
    *((3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 2), (5, 960, 160, 1, 1, 1), (5, 960, 160, 1, 1, 1)),
)
_V3_SMALL = (
    *((3, 16, 16, 1, 0, 2), (3, 72, 24, 0, 0, 2), (3, 88, 24, 0, 0, 1), (5, 96, 40, 1, 1, 2), (5, 240, 40, 1, 1, 1), (5, 240, 40, 1, 1, 1)),
    *((5, 120, 48, 1, 1, 1), (5, 144, 48, 1, 1, 1), (5, 288, 96, 1, 1, 2), (5, 576, 96, 1, 1, 1), (5, 576, 96, 1, 1, 1)),
)
"""Kernel, expanded and output channels, squeeze-and-excitation, h-swish, stride: Howard et al. 2019, tables 1 and 2."""


def _mobilenet_v3(table: tuple[tuple[int, ...], ...], last: int, hidden: int, minimalistic: bool = False) -> "_Family":
    def build(width: float, resolution: int, classes: int, flavour: str) -> tuple[Operator, ...]:
        paddle, net = flavour == "paddle", _Chain(resolution)
        swish = "relu" if minimalistic else "hard_swish"
        net.conv(make_divisible(16 * width), 3, 2, swish)
        plain = 16
        for kernel, expanded, out, se, h_swish, stride in table:
            inner = make_divisible(expanded * (width if paddle else net.channels / plain))
            plain = out
            squeezed = 0 if minimalistic or not se else inner // 4 if paddle else make_divisible(inner / 4)
            size = 3 if minimalistic else kernel
            act = swish if h_swish else "relu"
            net.inverted(inner, make_divisible(out * width), size, stride, act, squeezed, expand=paddle or inner != net.channels)
        net.conv(make_divisible(last * width), act=swish)
        return net.head(classes, 1280 if paddle else int(hidden * max(1, width)), swish)

    return build


def _mnasnet_a1(width: float, resolution: int, classes: int, flavour: str) -> tuple[Operator, ...]:
    """Tan et al. 2019, figure 7a."""
    net = _Chain(resolution)
    net.conv(make_divisible(32 * width), 3, 2, "relu")
    net.inverted(0, make_divisible(16 * width), 3, 1, "relu", expand=False)
    table = (
        (3, 6, 24, 2, 2, 0),
        (5, 3, 40, 3, 2, 1),
        (3, 6, 80, 4, 2, 0),
        (3, 6, 112, 2, 1, 1),
        (5, 6, 160, 3, 2, 1),
        (3, 6, 320, 1, 1, 0),
    )
    for kernel, ratio, out, depth, stride, se in table:
        for i in range(depth):
            squeezed = max(1, net.channels // 4) if se else 0
            net.inverted(ratio * net.channels, make_divisible(out * width), kernel, 1 if i else stride, "relu", squeezed)
    net.conv(make_divisible(1280 * max(1, width)), act="relu")
    return net.head(classes)


def _mnasnet_b1(width: float, resolution: int, classes: int, flavour: str) -> tuple[Operator, ...]:
    """Tan et al. 2019, the variant without squeeze-and-excitation."""
    net = _Chain(resolution)
    net.conv(make_divisible(32 * width), 3, 2, "relu")
    net.inverted(0, make_divisible(16 * width), 3, 1, "relu", expand=False)
    for kernel, ratio, out, depth, stride in (
        (3, 3, 24, 3, 2),
        (5, 3, 40, 3, 2),
        (5, 6, 80, 3, 2),
        (3, 6, 96, 2, 1),
        (5, 6, 192, 4, 2),
        (3, 6, 320, 1, 1),
    ):
        for i in range(depth):
            net.inverted(ratio * net.channels, make_divisible(out * width), kernel, 1 if i else stride, "relu")
    net.conv(1280, act="relu")
    return net.head(classes)


def _efficientnet_b0(lite: bool) -> "_Family":
    """Tan and Le 2019, table 1; lite: ReLU6, no squeeze-and-excitation, stem and head not scaled."""

    def build(width: float, resolution: int, classes: int, flavour: str) -> tuple[Operator, ...]:
        net, act = _Chain(resolution), "relu6" if lite else "swish"
        net.conv(32, 3, 2, act)
        table = (
            (3, 1, 16, 1, 1),
            (3, 6, 24, 2, 2),
            (5, 6, 40, 2, 2),
            (3, 6, 80, 3, 2),
            (5, 6, 112, 3, 1),
            (5, 6, 192, 4, 2),
            (3, 6, 320, 1, 1),
        )
        for kernel, ratio, out, depth, stride in table:
            for i in range(depth):
                first, last = net.channels, make_divisible(out * width)
                if ratio > 1:
                    net.conv(ratio * first, act=act)
                net.dw(kernel, 1 if i else stride, act)
                if not lite:
                    net.se(max(1, first // 4), "swish", "sigmoid")
                net.conv(last)
                if i:
                    net.add("add")
        net.conv(1280 if lite else make_divisible(1280 * width), act=act)
        return net.head(classes)

    return build


_SHUFFLE_WIDTHS = {
    0.25: (24, 48, 96, 512),
    0.33: (32, 64, 128, 512),
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (224, 488, 976, 2048),
}


def _shufflenet_v2(act: str) -> "_Family":
    """Ma et al. 2018, table 5; widths 0.25 and 0.33 are PaddleClas's."""

    def build(width: float, resolution: int, classes: int, flavour: str) -> tuple[Operator, ...]:
        if width not in _SHUFFLE_WIDTHS:
            raise UnknownNameError("width of ShuffleNetV2", f"{width:g}", (f"{known:g}" for known in _SHUFFLE_WIDTHS))
        *widths, last = _SHUFFLE_WIDTHS[width]
        net = _Chain(resolution)
        net.conv(24, 3, 2, act)
        net.window(3, 2)
        for out, depth in zip(widths, (4, 8, 4), strict=True):
            half = out // 2
            first = _Chain(net.size, net.channels, net.found)
            first.dw(3, 2)
            first.conv(half, act=act)
            net.conv(half, act=act)
            for i in range(depth):
                if i:
                    net.add("split")
                    net.channels = half
                    net.conv(half, act=act)
                net.dw(3, 1 if i else 2)
                net.conv(half, act=act)
                net.channels = out
                net.add("concat")
                net.add("shuffle")
        net.conv(last, act=act)
        return net.head(classes)

    return build


def _ghost(net: _Chain, out: int, act: str) -> None:
    """Half of the channels by a pointwise convolution, half from those by a depthwise one."""
    net.conv(-(-out // 2), act=act)
    net.dw(3, 1, act)
    net.channels = out
    net.add("concat")


def _ghostnet(width: float, resolution: int, classes: int, flavour: str) -> tuple[Operator, ...]:
    """Han et al. 2020, table 1."""
    table = (
        *((3, 16, 16, 0, 1), (3, 48, 24, 0, 2), (3, 72, 24, 0, 1), (5, 72, 40, 1, 2), (5, 120, 40, 1, 1), (3, 240, 80, 0, 2)),
        *((3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1), (3, 480, 112, 1, 1), (3, 672, 112, 1, 1), (5, 672, 160, 1, 2)),
        *((5, 960, 160, 0, 1), (5, 960, 160, 1, 1), (5, 960, 160, 0, 1), (5, 960, 160, 1, 1)),
    )
    net = _Chain(resolution)
    net.conv(make_divisible(16 * width, 4), 3, 2, "relu")
    for kernel, expanded, out, se, stride in table:
        channels, size = net.channels, net.size
        inner, out = make_divisible(expanded * width, 4), make_divisible(out * width, 4)
        _ghost(net, inner, "relu")
        if stride == 2:
            net.dw(kernel, 2)
        if se:
            net.se(inner // 4)
        _ghost(net, out, "")
        if stride == 2 or channels != out:
            short = _Chain(size, channels, net.found)
            short.dw(kernel, stride)
            short.conv(out)
        net.add("add")
    net.conv(make_divisible(960 * width, 4), act="relu")
    return net.head(classes, 1280, "relu")


_Family = Callable[[float, int, int, str], tuple[Operator, ...]]

FAMILIES: dict[str, _Family] = {
    "mobilenet_v1": _mobilenet_v1,
    "mobilenet_v2": _mobilenet_v2,
    "mobilenet_v3_large": _mobilenet_v3(_V3_LARGE, 960, 1280),
    "mobilenet_v3_small": _mobilenet_v3(_V3_SMALL, 576, 1024),
    "mobilenet_v3_large_minimalistic": _mobilenet_v3(_V3_LARGE, 960, 1280, minimalistic=True),
    "mobilenet_v3_small_minimalistic": _mobilenet_v3(_V3_SMALL, 576, 1024, minimalistic=True),
    "mnasnet_a1": _mnasnet_a1,
    "mnasnet_b1": _mnasnet_b1,
    "efficientnet_b0": _efficientnet_b0(lite=False),
    "efficientnet_lite0": _efficientnet_b0(lite=True),
    "shufflenet_v2": _shufflenet_v2("relu"),
    "shufflenet_v2_swish": _shufflenet_v2("swish"),
    "ghostnet": _ghostnet,
}
"""Builders by name: (width, resolution in px, classes, flavour) to operators in execution order."""


def operators(name: str, flavour: str = "tf", classes: int = 1000) -> tuple[Operator, ...]:
    """Operators of the network `name`: a family, "-" and its width, "@" and its resolution, as in "mobilenet_v2-0.5@192".

    Width 1 and 224 px may be left out.

    Raises:
        UnknownNameError: there is no such family, or the family has no such width.
    """
    found = _NAME.fullmatch(name)
    if found is None or found["family"] not in FAMILIES:
        raise UnknownNameError("published network", name, FAMILIES)
    return FAMILIES[found["family"]](float(found["width"] or 1), int(found["resolution"] or 224), classes, flavour)
