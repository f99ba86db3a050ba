"""An admin's own catalogue: good entries are served, bad ones are told with line and remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.catalog import yamlnodes
from videollm_operator.catalog.loader import LONGEST_TEXT, builtin, extended

if TYPE_CHECKING:
    from videollm_operator.catalog.catalog import Catalog

BASE = builtin()

MODEL = """
  - name: team/LLaVA-Video-72B-tuned
    family: LLaVA-Video
    dtype: BFloat16
    nominalParameters: 72000000000
    architecture:
      className: LlavaQwenForCausalLM
      text:
        layers: 80
        hiddenSize: 8192
        intermediateSize: 29568
        attentionHeads: 64
        keyValueHeads: 8
        headDim: 128
        vocabSize: 152064
        maxPositionEmbeddings: 32768
      vision:
        layers: 26
        hiddenSize: 1152
        intermediateSize: 4304
        attentionHeads: 16
        patchesPerSide: 27
      video: {pooledSide: 14, newlineMode: Grid, defaultFrames: 64}
      parameters:
        layers: 70214787072
        embedding: 1245708288
        head: 1245708288
        vision: 397747744
        projector: 76570624
"""

GPU = """
  - sku: L40-HALF
    product: Half an L40
    nominalGB: 24
    nvmlMiB: 23034
    visibleMiB: 22500
    computeCapability: "8.9"
    gpusPerNode: 16
    nodeLabels:
      - example.com/gpu: [half]
"""

ENGINE = """
  - type: VLLM
    version: 0.34.0
    image: registry.example/vllm:0.34.0
    flags: vllm-0.33.0
    gpuMemoryUtilization: 0.92
    runAsUser: 2000
    runAsGroup: 0
    fsGroup: 0
    home: /home/vllm
"""

BOTH = f"models:{MODEL}\ngpus:{GPU}\nengines:{ENGINE}"


def read(text: str) -> Catalog:
    return extended(BASE, text, "mine.yaml")


def problems(text: str) -> list[str]:
    return [str(problem) for problem in read(text).problems]


def only(text: str) -> str:
    found = problems(text)
    assert len(found) == 1, found
    return found[0]


# ---------------------------------------------------------------- good entries


def test_entries_are_added() -> None:
    catalog = read(BOTH)
    assert catalog.problems == ()
    assert catalog.model("team/LLaVA-Video-72B-tuned") is not None
    half = catalog.gpu("L40-HALF")
    assert half is not None
    assert half.matches({"example.com/gpu": "half"})
    assert half.resource_name == "nvidia.com/gpu"
    assert catalog.engine(EngineType.VLLM, "0.34.0") is not None
    assert len(catalog.models) == len(BASE.models) + 1
    assert BASE.model("team/LLaVA-Video-72B-tuned") is None


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "{}", "models:", "models: []\ngpus: []\n", "---\n"]
)
def test_an_empty_catalogue_changes_nothing(text: str) -> None:
    catalog = read(text)
    assert catalog.problems == ()
    assert catalog.models == BASE.models


def test_json_is_yaml_too() -> None:
    plain = yaml.safe_load(BOTH)
    import json

    assert read(json.dumps(plain)).gpu("L40-HALF") is not None


def test_an_entry_of_a_known_name_replaces_it() -> None:
    catalog = read("gpus:" + GPU.replace("L40-HALF", "L40"))
    assert catalog.problems == ()
    replaced = catalog.gpu("L40")
    assert replaced is not None
    assert replaced.visible_mib == 22500
    assert len(catalog.gpus) == len(BASE.gpus)


def test_an_engine_replaces_the_same_version_only() -> None:
    catalog = read("engines:" + ENGINE.replace("0.34.0", "0.33.0"))
    found = catalog.engine(EngineType.VLLM, "0.33.0")
    assert found is not None
    assert found.image == "registry.example/vllm:0.33.0"
    assert len(catalog.engines) == len(BASE.engines)
    default = catalog.engine(EngineType.VLLM)
    assert default is not None
    assert default.version == "0.32.0"


def test_a_new_default_takes_over() -> None:
    catalog = read("engines:" + ENGINE + "    default: true\n")
    default = catalog.engine(EngineType.VLLM)
    assert default is not None
    assert default.version == "0.34.0"
    assert [e.version for e in catalog.engines if e.default and e.type == EngineType.VLLM] == [
        "0.34.0"
    ]
    tgi = catalog.engine(EngineType.TGI)
    assert tgi is not None
    assert tgi.default


def test_aliases_are_followed() -> None:
    text = f"gpus:{GPU}" + GPU.replace("[half]", "&other [half]").replace("L40-HALF", "L40-2")
    text += GPU.replace("[half]", "*other").replace("L40-HALF", "L40-3")
    catalog = read(text)
    assert catalog.problems == ()
    third = catalog.gpu("L40-3")
    assert third is not None
    assert third.node_labels == [{"example.com/gpu": ["half"]}]


def test_problems_of_the_base_are_kept() -> None:
    once = extended(BASE, "gpu: []", "one.yaml")
    twice = extended(once, "gpu: []", "two.yaml")
    assert [problem.source for problem in twice.problems] == ["one.yaml", "two.yaml"]


# ---------------------------------------------------------------- one bad entry


def test_a_bad_entry_does_not_take_others_along() -> None:
    text = "gpus:" + GPU.replace("visibleMiB: 22500", "visibleMiB: lots") + GPU.replace("HALF", "2")
    catalog = read(text + f"models:{MODEL}")
    assert catalog.gpu("L40-HALF") is None
    assert catalog.gpu("L40-2") is not None
    assert catalog.model("team/LLaVA-Video-72B-tuned") is not None
    (problem,) = catalog.problems
    assert str(problem) == (
        "mine.yaml:6: 'L40-HALF': `visibleMiB` is 'lots', but must be a whole number between 1024 "
        "and 16777216"
    )


def test_a_bad_replacement_leaves_the_old_entry() -> None:
    text = "gpus:" + GPU.replace("L40-HALF", "L40").replace("22500", "0")
    assert read(text).gpu("L40") == BASE.gpu("L40")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("visibleMiB: 22500", "visibleMiB: '22500'", "remove the quotes"),
        ("visibleMiB: 22500", "visibleMiB: 22500.5", "`visibleMiB` is 22500.5"),
        ("visibleMiB: 22500", "visibleMiB: true", "`visibleMiB` is true"),
        ("visibleMiB: 22500", "visibleMiB: -1", "must be between 1024 and 16777216: raise it"),
        ("visibleMiB: 22500", "visibleMiB: 22500000000", "lower it"),
        ("visibleMiB: 22500", "visibleMiB: 24000", "must not exceed `nvmlMiB`"),
        ("visibleMiB: 22500", "visibleMiB: 12000", "must be close to `nvmlMiB`"),
        ("    visibleMiB: 22500\n", "", "`visibleMiB` is required, but missing: add it"),
        ("    visibleMiB: 22500\n", "    visibleMiB:\n", "`visibleMiB` is required, but missing"),
        ("nominalGB: 24", "nominalGB: 30", "must be close to `nominalGB`"),
        ("    gpusPerNode", "    gpuPerNode: 4\n    gpusPerNode", "did you mean `gpusPerNode`?"),
        ("    gpusPerNode", "    gpus_per_node: 4\n    gpusPerNode", "did you mean `gpusPerNode`?"),
        ("    gpusPerNode", "    colour: red\n    gpusPerNode", "remove it, or use `sku`, "),
        ('"8.9"', '"8"', "must be a compute capability such as '8.0'"),
        ('"8.9"', "8.9", "put it in quotes"),
        ("gpusPerNode: 16", "gpusPerNode: 1000", "must be between 1 and 64: lower it"),
        ("L40-HALF", "L40 HALF", "must be a name such as 'A100-80GB'"),
        ("- example.com/gpu: [half]", "example.com/gpu: [half]", "begin each entry with '- '"),
        ("- example.com/gpu: [half]", "[]", "at least 1 item"),
        ("- example.com/gpu: [half]", "- {}", "at least 1 item"),
        ("[half]", "half", "`nodeLabels[0][example.com/gpu]` is 'half', but must be a list"),
        ("[half]", "[]", "at least 1 item"),
        ("[half]", "[8]", "put it in quotes"),
        ("[half]", "['-half']", "must be a label value"),
        ("example.com/gpu", "'exa mple/gpu'", "must be a label key"),
    ],
)
def test_what_is_wrong_with_a_gpu_is_said(old: str, new: str, said: str) -> None:
    assert old in GPU
    message = only("gpus:" + GPU.replace(old, new))
    assert said in message
    assert message.startswith("mine.yaml:")
    assert "'L40" in message or "gpus[0]" in message


def test_the_line_is_that_of_the_field() -> None:
    text = "# a comment\n\ngpus:" + GPU.replace("gpusPerNode: 16", "gpusPerNode: many")
    number = next(n for n, line in enumerate(text.splitlines(), 1) if "many" in line)
    assert only(text).startswith(f"mine.yaml:{number}: ")


def test_the_line_of_a_rule_is_that_of_the_field_it_names() -> None:
    text = "gpus:" + GPU.replace("visibleMiB: 22500", "visibleMiB: 24000")
    assert only(text).startswith("mine.yaml:6: ")


def test_a_missing_field_is_told_at_its_entry() -> None:
    text = "gpus:" + GPU + GPU.replace("HALF", "2").replace("    nominalGB: 24\n", "")
    start = next(n for n, line in enumerate(text.splitlines(), 1) if "L40-2" in line)
    assert only(text).startswith(f"mine.yaml:{start}: ")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("layers: 80", "layers: 800", "`architecture.parameters.layers` is 70214787072, but"),
        ("vocabSize: 152064", "vocabSize: 151936", "`architecture.parameters.embedding`"),
        ("projector: 76570624", "projector: 1", "`architecture.parameters.projector` is 1"),
        ("vision: 397747744", "vision: 3977477440", "`architecture.parameters.vision`"),
        ("pooledSide: 14", "pooledSide: 40", "a frame has only 27 patches per side"),
        ("newlineMode: Grid", "newlineMode: Gird", "did you mean 'Grid'?"),
        ("dtype: BFloat16", "dtype: Auto", "must be the checkpoint's own number format"),
        ("dtype: BFloat16", "dtype: bf16", "did you mean 'BFloat16'?"),
        ("head: 1245708288", "head: 0", "`parameters.head` must be 0 if"),
        ("keyValueHeads: 8", "keyValueHeads: 7", "must be a multiple of"),
        ("nominalParameters: 72000000000", "nominalParameters: 72", "raise it"),
        ("name: team/", "name: /team/", "must be a hub id"),
        ("className: LlavaQwen", "className: 'Llava Qwen", "must be a class name"),
    ],
)
def test_what_is_wrong_with_a_model_is_said(old: str, new: str, said: str) -> None:
    assert old in MODEL
    changed = MODEL.replace(old, new)
    if "'Llava Qwen" in changed:
        changed = changed.replace("ForCausalLM", "ForCausalLM'")
    assert any(said in message for message in problems("models:" + changed))
    assert read("models:" + changed).models == BASE.models


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("flags: vllm-0.33.0", "flags: vllm-0.34.0", "did you mean 'vllm-0.3"),
        ("flags: vllm-0.33.0", "flags: exllama", "use the table of the nearest version"),
        ("flags: vllm-0.33.0", "flags: ../secret", "must be the name of a flag table"),
        ("type: VLLM", "type: vLLM", "did you mean 'VLLM'?"),
        ("type: VLLM", "type: Auto", "must name an engine"),
        ("version: 0.34.0", "version: 0.34", "put it in quotes"),
        ("version: 0.34.0", "version: v0.34.0", "must be a version such as '0.32.0'"),
        ("Utilization: 0.92", "Utilization: 92", "must be more than 0 and at most 1"),
        ("Utilization: 0.92", "Utilization: .nan", "must be more than 0 and at most 1"),
        ("Utilization: 0.92", "Utilization: '0.92'", "which cannot be read"),
        ("runAsUser: 2000", "runAsUser: 0", "must be between 1 and 2147483647"),
        ("home: /home/vllm", "home: home", "must be an absolute path"),
        ("image: registry", "image: 'a b", "must have no spaces"),
    ],
)
def test_what_is_wrong_with_an_engine_is_said(old: str, new: str, said: str) -> None:
    assert old in ENGINE
    changed = ENGINE.replace(old, new)
    if "'a b" in changed:
        changed = changed.replace("vllm:0.34.0", "vllm:0.34.0'")
    assert said in only("engines:" + changed)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("- 5", "gpus[0]: the object is 5, but must be an object"),
        ("- L40", "gpus[0]: the object is 'L40', but must be an object"),
        ("- [1, 2]", "gpus[0]: the object is a list"),
        ("- sku: 7", "gpus[0]: `sku` is 7, but must be a string"),
        ("-", "gpus[0]: the object is null"),
    ],
)
def test_an_entry_that_is_no_object(entry: str, said: str) -> None:
    assert any(said in message for message in problems(f"gpus:\n  {entry}\n"))


def test_an_engine_without_a_name_is_called_by_type_and_version() -> None:
    text = "engines:" + ENGINE.replace("    image: registry.example/vllm:0.34.0\n", "")
    assert "'VLLM 0.34.0': `image` is required" in only(text)


# ---------------------------------------------------------------- the document


def test_an_unknown_section_names_the_nearest() -> None:
    said = only("gpu: []")
    assert said == (
        "mine.yaml:1: `gpu` is not a part of a catalogue, which has `models`, `gpus`, `engines` or "
        "`prices`: did you mean `gpus`?"
    )
    assert "remove it" in only("taxes: {}")


def test_a_section_that_is_no_list() -> None:
    assert "`gpus` is an object, but must be a list" in only("gpus: {sku: L40}")
    assert "`gpus` is 'L40', but must be a list" in only("gpus: L40")


@pytest.mark.parametrize("text", ["- sku: L40", "L40", "5", "[1]", "'models'"])
def test_a_document_that_is_no_object(text: str) -> None:
    assert "but must be an object with `models`, `gpus`, `engines` or `prices`" in only(text)


def test_a_section_that_stands_twice() -> None:
    text = f"gpus:{GPU}\ngpus:{GPU.replace('HALF', '2')}"
    catalog = read(text)
    assert catalog.gpu("L40-2") is not None
    assert "`gpus` stands twice" in only(text)


def test_an_entry_that_stands_twice() -> None:
    text = f"gpus:{GPU}{GPU}"
    catalog = read(text)
    assert catalog.gpu("L40-HALF") is not None
    assert "'L40-HALF' stands in `gpus` already, on line 2; that one is served" in only(text)
    twice = f"engines:{ENGINE}{ENGINE}"
    assert "'VLLM 0.34.0' stands in `engines` already" in only(twice)


def test_a_field_that_stands_twice() -> None:
    text = "gpus:" + GPU + "    visibleMiB: 20000\n"
    assert read(text).gpu("L40-HALF") is None
    assert "'L40-HALF': `visibleMiB` stands twice: remove one of them" in only(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("gpus:\n  - sku: [L40\n", 3),
        ("gpus:\n\t- sku: L40\n", 2),
        ("gpus: 'L40\n", 2),
        ("a: b: c\n", 1),
        ("gpus: *nothing\n", 1),
        ("gpus: []\n---\ngpus: []\n", 2),
        ("gpus: \x00", 1),
        ("{", 2),
        ("%YAML 9.9\n---\n", 1),
    ],
)
def test_bad_yaml_is_told_with_its_line(text: str, line: int) -> None:
    catalog = read(text)
    (problem,) = catalog.problems
    assert "not YAML" in problem.message
    assert problem.line == line
    assert "\n" not in problem.message
    assert catalog.models == BASE.models


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpus: &me [*me]\n", "an alias contains itself"),
        ("gpus: !!python/object/apply:os.system ['true']\n", "the tag"),
        ("gpus: [!!python/name:os.system '']\n", "the tag"),
        ("gpus: [{<<: {sku: L40}}]\n", "merge keys"),
        ("gpus: [{[1, 2]: 3}]\n", "a key must be a word"),
        ("gpus: [2026-99-99]\n", "the object is '2026-99-99'"),
        ("gpus: [!!int abc]\n", "cannot be read as tag:yaml.org,2002:int"),
        ("gpus: !!set {a, b}\n", "the tag"),
        ("gpus: [!!binary aGk=]\n", "the tag"),
        ("[" * 3000, "not YAML"),
        ("gpus: " + "[" * 90 + "]" * 90, "too large"),
    ],
)
def test_yaml_that_is_dangerous_or_odd(text: str, said: str) -> None:
    assert any(said in message for message in problems(text))


def test_deep_nesting_is_stopped_without_libyaml_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlnodes, "_Loader", yaml.SafeLoader)
    assert "nested too deeply" in only("gpus: " + "[" * 5000 + "]" * 5000)
    assert read(BOTH).problems == ()


def test_aliases_that_multiply_are_stopped() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert any("too large" in message for message in problems("\n".join(lines)))


def test_a_text_that_is_too_long() -> None:
    assert "split it" in only("#" * (LONGEST_TEXT + 1))


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["models", "gpus", "engines", "sku", "name", "nodeLabels", "architecture", "text"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=20,
)


@given(JUNK)
def test_no_document_raises(document: Any) -> None:
    catalog = read(yaml.safe_dump({"gpus": document, "models": [document]}))
    assert set(BASE.gpus) <= set(catalog.gpus)
    assert all("\n" not in problem.message for problem in catalog.problems)


@given(st.text(max_size=200))
def test_no_text_raises(text: str) -> None:
    assert read(text).models == BASE.models
