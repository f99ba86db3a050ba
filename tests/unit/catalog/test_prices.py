from __future__ import annotations

import pytest

from videollm_operator.catalog.loader import builtin, extended

CATALOG = builtin()


def test_there_is_no_built_in_price() -> None:
    assert CATALOG.prices is None


def test_prices_are_read_and_change_no_plan() -> None:
    text = "prices: {currency: EUR, perGPUHour: {L4: 0.7, A100-80GB-MIG-3g.40gb: 1}}"
    catalog = extended(CATALOG, text, "mine")
    assert catalog.problems == ()
    assert catalog.prices is not None
    assert catalog.prices.currency == "EUR"
    assert catalog.prices.per_gpu_hour == {"L4": 0.7, "A100-80GB-MIG-3g.40gb": 1}
    assert catalog.fingerprint == CATALOG.fingerprint
    assert extended(catalog, "gpus: []", "more").prices == catalog.prices
    other = extended(catalog, "prices: {currency: USD, perGPUHour: {T4: 1}}", "more").prices
    assert other is not None
    assert (other.currency, other.per_gpu_hour) == ("USD", {"T4": 1})


def test_a_gpu_of_the_same_file_has_a_price() -> None:
    text = """
prices: {currency: EUR, perGPUHour: {Mine: 3}}
gpus:
  - sku: Mine
    product: mine
    nominalGB: 24
    nvmlMiB: 24000
    visibleMiB: 23000
    computeCapability: "8.9"
    gpusPerNode: 2
    nodeLabels: [{a: [b]}]
"""
    catalog = extended(CATALOG, text, "mine")
    assert catalog.problems == ()
    assert catalog.prices is not None


def test_a_gpu_that_is_not_known_is_told_and_the_others_keep_their_price() -> None:
    text = "prices:\n  currency: EUR\n  perGPUHour:\n    L4: 1\n    H100-80: 3\n    Zzz: 1"
    catalog = extended(CATALOG, text, "mine")
    assert [str(problem) for problem in catalog.problems] == [
        "mine:5: `prices`: 'H100-80' is no GPU of the catalogue: did you mean 'H100-80GB'?",
        "mine:6: `prices`: 'Zzz' is no GPU of the catalogue: `videollm gpus` lists the names",
    ]
    assert catalog.prices is not None
    assert catalog.prices.per_gpu_hour == {"L4": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prices: 3", "must be an object"),
        ("prices: {currency: EUR}", "`perGPUHour` is required"),
        ("prices: {currency: EUR, perGPUHour: {}}", "perGPUHour"),
        ("prices: {currency: EUR, perGPUHour: {L4: 0}}", "more than 0"),
        ("prices: {currency: EUR, perGPUHour: {L4: -1}}", "more than 0"),
        ("prices: {currency: EUR, perGPUHour: {L4: .nan}}", "more than 0"),
        ("prices: {currency: EUR, perGPUHour: {L4: cheap}}", "'cheap'"),
        ("prices: {currency: 'E U', perGPUHour: {L4: 1}}", "one word"),
        ("prices: {currency: EUR, perGPUHour: {L4: 1}, tax: 1}", "`tax` is not a field"),
        ("prices: {currency: EUR, perGPUHour: {L4: 1, L4: 2}}", "stands twice"),
        ("prices: {currency: EUR, perGPUHour: {Zzz: 1}}", "no GPU of the catalogue"),
    ],
)
def test_prices_that_cannot_be_used_are_told_and_left_out(text: str, said: str) -> None:
    catalog = extended(CATALOG, text, "mine")
    assert said in str(catalog.problems[0])
    assert catalog.prices is None


def test_a_fault_elsewhere_leaves_the_prices() -> None:
    text = "models: []\nmodels: []\nprices: {currency: EUR, perGPUHour: {L4: 1}}"
    catalog = extended(CATALOG, text, "mine")
    assert [problem.message for problem in catalog.problems] == [
        "`models` stands twice: put all entries under one of them"
    ]
    assert catalog.prices is not None
