from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videollm_operator.render.quantity import canonical_quantity, mib

# Pairs were made with Kubernetes' own code (apimachinery 0.36 resource.Quantity).
CANONICAL = {
    "0": "0", "0Gi": "0", "0m": "0", "-0": "0", "1": "1", "16": "16", "+5": "5", "-5": "-5",
    "2048Mi": "2Gi", "1024Ki": "1Mi", "1536Mi": "1536Mi", "0.5Gi": "512Mi", "1.5Gi": "1536Mi",
    "1Ki": "1Ki", "1023Ki": "1023Ki", "0.5Ki": "512", "1024Ei": None, "1.0001Ki": "1024102400u",
    "0.1Gi": "107374182400m", "1000m": "1", "1500m": "1500m", "1.5": "1500m", "0.5": "500m",
    ".5": "500m", "5.": "5", "100m": "100m", "1000k": "1M", "1500k": "1500k", "1G": "1G",
    "0.001G": "1M", "1000000": "1M", "128974848": "128974848", "1e3": "1e3", "1E3": "1e3",
    "129e6": "129e6", "12e4": "120e3", "1e-3": "1e-3", "5e0": "5", "1E": "1E", "1n": "1n",
    "0.1n": "1n", "1.5n": "2n", "1Pi": "1Pi", "1024Ti": "1Pi", "1T": "1T",
    "9223372036854775807": "9223372036854775807",
}  # fmt: skip


@pytest.mark.parametrize(("given", "wanted"), CANONICAL.items())
def test_a_quantity_is_spelt_as_the_api_server_spells_it(given, wanted):
    if wanted is None:
        with pytest.raises(ValueError, match="too large"):
            canonical_quantity(given)
    else:
        assert canonical_quantity(given) == wanted


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "1KiB", "x", "1,5", "١", "1e999", "--1"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="not a quantity"):
        canonical_quantity(text)


def test_a_number_is_a_quantity():
    assert canonical_quantity(1073741824) == "1073741824"
    assert mib(2048) == "2Gi"
    assert mib(1) == "1Mi"


quantities = st.builds(
    "{}{}".format,
    st.decimals(0, 10**6, places=3) | st.integers(0, 10**9),
    st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3"]),
)


@given(quantities)
def test_canonical_is_canonical(text):
    once = canonical_quantity(text)

    assert canonical_quantity(once) == once


@given(quantities)
def test_the_amount_stays(text):
    assert amount(canonical_quantity(text)) == amount(text)


def amount(text: str) -> Fraction:
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "k": 10**3,
             "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18, "Ei": 2**60,
             "m": Fraction(1, 10**3), "u": Fraction(1, 10**6), "n": Fraction(1, 10**9)}  # fmt: skip
    for unit, factor in units.items():
        if text.endswith(unit):
            return Fraction(text.removesuffix(unit)) * factor
    return Fraction(text)
