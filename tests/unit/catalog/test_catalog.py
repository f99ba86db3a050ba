from __future__ import annotations

from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.catalog.catalog import Catalog, CatalogProblem
from videollm_operator.catalog.loader import builtin

CATALOG = builtin()


def test_lookups_find_or_give_nothing() -> None:
    assert CATALOG.model("llava-hf/llava-1.5-7b-hf") is not None
    assert CATALOG.model("llava-hf/nothing") is None
    assert CATALOG.gpu("L40") is not None
    assert CATALOG.gpu("L41") is None


def test_an_engine_is_found_by_version_or_by_default() -> None:
    newest = CATALOG.engine(EngineType.VLLM, "0.33.0")
    default = CATALOG.engine(EngineType.VLLM)
    assert newest is not None
    assert default is not None
    assert (newest.version, default.version) == ("0.33.0", "0.32.0")
    assert CATALOG.engine(EngineType.VLLM, "0.1.0") is None
    assert CATALOG.engine(EngineType.AUTO) is None


def test_without_a_default_the_newest_version_counts() -> None:
    without = Catalog(
        engines=tuple(
            entry.model_copy(update={"default": False, "version": version})
            for entry in CATALOG.engines[:1]
            for version in ("0.9.2", "0.33.0", "0.10.0")
        )
    )
    found = without.engine(EngineType.VLLM)
    assert found is not None
    assert found.version == "0.33.0"


def test_an_empty_catalogue_knows_nothing() -> None:
    assert Catalog().model("x") is None
    assert Catalog().engine(EngineType.TGI) is None
    assert Catalog().problems == ()


def test_a_problem_reads_like_a_compilers() -> None:
    assert str(CatalogProblem("mine.yaml", 7, "bad")) == "mine.yaml:7: bad"


def test_it_is_read_once() -> None:
    assert builtin() is CATALOG


def test_the_fingerprint_changes_with_any_served_entry() -> None:
    assert (
        CATALOG.fingerprint
        == Catalog(models=CATALOG.models, gpus=CATALOG.gpus, engines=CATALOG.engines).fingerprint
    )
    fewer = Catalog(models=CATALOG.models, gpus=CATALOG.gpus, engines=CATALOG.engines[1:])
    assert CATALOG.fingerprint != fewer.fingerprint
