"""Numbers as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.latency import ORIGINS
from nas.report import words


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (18.44, "18.4 ms"),
        (6.4149, "6.41 ms"),
        (0.32449, "0.324 ms"),
        (123.4, "123 ms"),
        (1234.0, "1,230 ms"),
        (9.996, "10.0 ms"),
        (0.0, "0 ms"),
    ],
)
def test_milliseconds(ms: float, text: str) -> None:
    assert words.milliseconds(ms) == text


@given(st.floats(1e-4, 1e6))
def test_three_digits_are_never_off_by_more_than_half_of_the_last(ms: float) -> None:
    assert float(words.milliseconds(ms).removesuffix(" ms").replace(",", "")) == pytest.approx(ms, rel=5.1e-3)


@pytest.mark.parametrize(("number", "text"), [(12_400_000, "12.4 M"), (773_000, "773 k"), (812, "812"), (3_100_000_000, "3.10 G")])
def test_count(number: int, text: str) -> None:
    assert words.count(number) == text


@pytest.mark.parametrize(("size_mb", "text"), [(1.254, "1.25 MB"), (0.083, "83 kB"), (12.0, "12.0 MB")])
def test_size(size_mb: float, text: str) -> None:
    assert words.size(size_mb) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (59.96, "60.0 s"), (119.8, "2 min 0 s")]
)
def test_duration(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_differences_carry_their_sign() -> None:
    assert words.points(0.894, 0.898) == "−0.4 pt"
    assert words.points(0.9, 0.9) == "±0.0 pt"
    assert words.change(3.0, 2.0) == "+50 %"
    assert words.change(0.26, 1.0) == "−74 %"
    assert words.change(1.0, 0.0) == ""


def test_limit_is_written_as_asked() -> None:
    assert [words.limit(ms) for ms in (20.0, 0.6, 2.5)] == ["20 ms", "0.6 ms", "2.5 ms"]


def test_every_origin_has_its_meaning() -> None:
    assert tuple(words.ORIGINS) == ORIGINS
