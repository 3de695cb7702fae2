import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.errors import UnitError
from nas.core.units import (
    format_energy,
    format_latency,
    format_macs,
    format_size,
    parse_energy_mj,
    parse_latency_ms,
    parse_macs,
    parse_size_mb,
)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("20ms", 20.0), ("0.02s", 20.0), ("500us", 0.5), ("500µs", 0.5), (" 1.5 ms ", 1.5), (".5ms", 0.5), ("2e1ms", 20.0), ("1s", 1000.0)],
)
def test_quantities_as_people_write_them(text, ms):
    assert parse_latency_ms(text) == pytest.approx(ms, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("20", "the unit is missing; write it as 20ms, 0.02s or 500us"),
        ("20 seconds", "the unit 'seconds' is unknown; write it as 20ms, 0.02s or 500us"),
        ("20MS", "the unit 'MS' is unknown"),
        ("20MB", "the unit 'MB' is unknown"),
        ("", "write a number and a unit, such as 20ms"),
        ("fast", "write a number and a unit"),
        ("-5ms", "write a number and a unit"),
        ("1,5ms", "write a number and a unit"),
        ("20ms 30ms", "write a number and a unit"),
        ("nanms", "write a number and a unit"),
        ("0ms", "it must be above zero and finite"),
        ("1e999s", "it must be above zero and finite"),
    ],
)
def test_what_is_no_latency_is_refused_with_the_forms(text, why):
    with pytest.raises(UnitError) as caught:
        parse_latency_ms(text)
    assert str(caught.value).startswith(f"{text!r} is not a latency: ") and why in str(caught.value)


@given(st.text("0123456789.eE+-msuµ ", max_size=8))
def test_any_text_gives_a_positive_number_or_a_unit_error(text):
    try:
        assert 0 < parse_latency_ms(text) < float("inf")
    except UnitError as error:
        assert "20ms" in str(error)


@given(st.floats(1e-3, 1e6))
def test_what_is_printed_can_be_typed(latency_ms):
    assert parse_latency_ms(format_latency(latency_ms)) == pytest.approx(latency_ms, rel=0.06)


@pytest.mark.parametrize(("ms", "text"), [(6.409, "6.41 ms"), (20, "20.00 ms"), (0.1, "0.10 ms"), (0.0123, "12.3 µs")])
def test_printed_latency(ms, text):
    assert format_latency(ms) == text


@pytest.mark.parametrize(
    ("text", "mb"),
    [("4MB", 4.0), ("512kB", 0.512), ("512 KB", 0.512), ("4MiB", 4.194304), ("1KiB", 0.001024), ("2GB", 2000.0), ("800B", 0.0008)],
)
def test_sizes(text, mb):
    assert parse_size_mb(text) == pytest.approx(mb, rel=1e-12)


@pytest.mark.parametrize(("text", "mj"), [("50mJ", 50.0), ("0.05J", 50.0), ("800uJ", 0.8), ("800 µJ", 0.8)])
def test_energies(text, mj):
    assert parse_energy_mj(text) == pytest.approx(mj, rel=1e-12)


@pytest.mark.parametrize(("text", "macs"), [("10M", 10e6), ("600k", 600e3), ("1.5G", 1.5e9), (".5 M", 500e3)])
def test_operations(text, macs):
    assert parse_macs(text) == pytest.approx(macs, rel=1e-12)


@pytest.mark.parametrize(("macs", "text"), [(12.34e6, "12.3 M MACs"), (640e3, "640.0 k MACs"), (1.5e9, "1.5 G MACs")])
def test_printed_operations(macs, text):
    assert format_macs(macs) == text


@pytest.mark.parametrize(
    ("parse", "text", "why"),
    [
        (parse_size_mb, "4", "is not a size: the unit is missing; write it as 4MB, 512kB or 4MiB"),
        (parse_size_mb, "4Mb", "is not a size: the unit 'Mb' is unknown"),
        (parse_size_mb, "0MB", "it must be above zero and finite"),
        (parse_macs, "10", "is not a number of multiply-accumulates: the unit is missing; write it as 10M, 600k or 1.5G"),
        (parse_macs, "10m", "the unit 'm' is unknown"),
        (parse_energy_mj, "50", "is not an energy: the unit is missing; write it as 50mJ, 0.05J or 800uJ"),
        (parse_energy_mj, "50mW", "is not an energy: the unit 'mW' is unknown"),
        (parse_energy_mj, "much", "write a number and a unit"),
    ],
)
def test_what_is_no_size_or_energy_is_refused_with_the_forms(parse, text, why):
    with pytest.raises(UnitError) as caught:
        parse(text)
    assert str(caught.value).startswith(repr(text)) and why in str(caught.value)


@given(st.floats(1e-3, 1e6))
def test_printed_sizes_and_energies_can_be_typed(amount):
    assert parse_size_mb(format_size(amount)) == pytest.approx(amount, rel=0.06)
    assert parse_energy_mj(format_energy(amount)) == pytest.approx(amount, rel=0.06)
