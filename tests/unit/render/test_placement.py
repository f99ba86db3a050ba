"""Which nodes a rendered affinity takes: judged as the scheduler judges."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.render import builders
from videollm_operator.api.problem import Refused
from videollm_operator.render.placement import affinity, label_keys, recogniser, tolerations

GFD = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
GKE = {"cloud.google.com/gke-accelerator": "nvidia-a100-80gb"}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def takes(wanted: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether the required node affinity takes a node (component-helpers, nodeaffinity.go)."""
    required = wanted.get("nodeAffinity", {}).get(REQUIRED)
    return required is None or any(_term(term, labels) for term in required["nodeSelectorTerms"])


def _term(term: dict[str, Any], labels: dict[str, str]) -> bool:
    expressions = term.get("matchExpressions", [])
    return bool(expressions) and all(_holds(expression, labels) for expression in expressions)


def _holds(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    value = labels.get(expression["key"])
    return {
        "In": value in expression.get("values", []),
        "NotIn": value not in expression.get("values", []),
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression["operator"]]


def rendered(entry: Any = None, **scheduling: Any) -> dict[str, Any]:
    spec = builders.deployment(scheduling=scheduling).spec
    return affinity(spec, entry or builders.gpu())


@pytest.mark.parametrize(
    "labels",
    [
        GFD,
        {"nvidia.com/gpu.product": "NVIDIA-A100-80GB-PCIe"},
        GKE,
        {**GFD, **GKE},
        {**GFD, "nvidia.com/gpu.sharing-strategy": "none"},
        {**GFD, "nvidia.com/mig.strategy": "single", "nvidia.com/mig.capable": "true"},
    ],
)
def test_nodes_with_whole_gpus_of_the_sku_are_taken(labels):
    assert takes(rendered(), labels)


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"nvidia.com/gpu.product": "NVIDIA-L40"},
        {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-SHARED"},
        {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb"},
        {**GFD, "nvidia.com/gpu.sharing-strategy": "time-slicing"},
        {**GFD, "nvidia.com/gpu.sharing-strategy": "mps"},
        {**GKE, "cloud.google.com/gke-gpu-sharing-strategy": "time-sharing"},
        {**GKE, "cloud.google.com/gke-gpu-partition-size": "1g.10gb"},
        {**GKE, "nvidia.com/gpu.slices.gi": "1"},
        {**GKE, "nvidia.com/gpu.sharing-strategy": "mps"},
        {**GKE, "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-SHARED"},
    ],
)
def test_other_gpus_and_parts_of_gpus_are_not_taken(labels):
    assert not takes(rendered(), labels)


def test_every_label_of_a_set_must_match():
    entry = builders.gpu(
        nodeLabels=[{"cloud/name": ["a100"], "cloud/memory": ["81920"]}, {"other": ["yes"]}]
    )

    assert takes(rendered(entry), {"cloud/name": "a100", "cloud/memory": "81920"})
    assert not takes(rendered(entry), {"cloud/name": "a100", "cloud/memory": "40960"})
    assert takes(rendered(entry), {"other": "yes"})


def test_a_slice_that_is_the_sku_is_taken():
    slices = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb"}
    entry = builders.gpu(
        nodeLabels=[{key: [value] for key, value in slices.items()}], gpusPerNode=1
    )

    assert takes(rendered(entry), {**slices, "nvidia.com/gpu.slices.gi": "3"})
    assert not takes(rendered(entry), {**slices, "nvidia.com/gpu.sharing-strategy": "mps"})


def test_an_entry_may_ask_for_a_label_that_would_be_excluded():
    entry = builders.gpu(
        nodeLabels=[
            {
                **{k: [v] for k, v in GKE.items()},
                "cloud.google.com/gke-gpu-partition-size": ["7g.80gb"],
            }
        ],
        gpusPerNode=1,
    )

    sliced = {**GKE, "cloud.google.com/gke-gpu-partition-size": "7g.80gb"}
    assert takes(rendered(entry), sliced)
    assert takes(rendered(entry), {**sliced, "nvidia.com/gpu.slices.gi": "7"})
    assert not takes(rendered(entry), {**sliced, "nvidia.com/gpu.sharing-strategy": "mps"})


def test_a_label_that_is_too_long_for_any_node_is_not_asked_for():
    product = "NVIDIA-" + "x" * 50
    entry = builders.gpu(nodeLabels=[{"nvidia.com/gpu.product": [product]}, {"gpu": ["x"]}])

    assert f"{product}-SHARED" not in str(rendered(entry))


@pytest.mark.parametrize("resource", ["amd.com/gpu", "nvidia.com/mig-3g.40gb"])
def test_resources_that_are_no_whole_nvidia_gpu_exclude_nothing(resource):
    entry = builders.gpu(resourceName=resource, nodeLabels=[{"gpu": ["x"]}], gpusPerNode=1)

    (term,) = rendered(entry)["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert term == {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["x"]}]}


def test_values_have_one_order_whatever_the_catalogue_has():
    one = builders.gpu(nodeLabels=[{"a": ["2", "1"], "b": ["3"]}])
    other = builders.gpu(nodeLabels=[{"b": ["3"], "a": ["1", "2", "1"]}])

    assert rendered(one) == rendered(other)


def test_node_selection_none_adds_nothing():
    given = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchFields": []}]}}, "x": {}}
    spec = builders.deployment(
        gpu={"sku": "A100-80GB", "nodeSelection": "None"}, scheduling={"affinity": given}
    ).spec

    assert affinity(spec, builders.gpu()) == {
        "nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{}]}},
        "x": {},
    }
    assert (
        affinity(
            builders.deployment(gpu={"sku": "A100-80GB", "nodeSelection": "None"}).spec,
            builders.gpu(),
        )
        == {}
    )


def test_the_users_other_affinity_is_kept():
    pods = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}
    preferred = [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}
    ]

    found = rendered(affinity={"podAntiAffinity": pods, "nodeAffinity": {PREFERRED: preferred}})

    assert found["podAntiAffinity"] == pods
    assert found["nodeAffinity"][PREFERRED] == preferred
    assert takes(found, GFD)
    assert not takes(found, {})


def test_fields_of_the_users_terms_are_kept():
    fields = [{"key": "metadata.name", "operator": "In", "values": ["n"]}]

    found = rendered(
        affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchFields": fields}]}}}
    )

    terms = found["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert [term["matchFields"] for term in terms] == [fields, fields]


keys = st.sampled_from(["zone", "team", "nvidia.com/gpu.product"])
words = st.sampled_from(["a", "b", "NVIDIA-A100-SXM4-80GB"])
expressions = st.one_of(
    st.builds(lambda k, o, v: {"key": k, "operator": o, "values": v}, keys,
              st.sampled_from(["In", "NotIn"]), st.lists(words, min_size=1, unique=True)),
    st.builds(lambda k, o: {"key": k, "operator": o}, keys,
              st.sampled_from(["Exists", "DoesNotExist"])),
)  # fmt: skip
terms = st.lists(
    st.builds(
        lambda found: {"matchExpressions": found}, st.lists(expressions, min_size=1, max_size=3)
    ),
    min_size=1,
    max_size=3,
)
KEYS = label_keys(builders.gpu())
nodes = st.dictionaries(
    st.sampled_from(["zone", "team", *sorted(KEYS)]),
    st.sampled_from(["a", "b", "mps", "nvidia-a100-80gb", "NVIDIA-A100-SXM4-80GB",
                     "NVIDIA-A100-SXM4-80GB-SHARED"]),
)  # fmt: skip


@given(nodes)
def test_nodes_are_recognised_as_the_scheduler_judges_them(labels):
    assert recogniser(builders.gpu())(labels) == takes(rendered(), labels)
    assert recogniser(builders.gpu())({k: labels[k] for k in labels if k in KEYS}) == takes(
        rendered(), labels
    )


@given(terms, nodes)
def test_a_node_is_taken_if_both_the_gpu_and_the_user_take_it(theirs, labels):
    user = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": theirs}}}

    assert takes(rendered(affinity=user), labels) == (
        takes(rendered(), labels) and takes(user, labels)
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"nodeAffinity": []}, None),
        ({"nodeAffinity": "x"}, "nodeAffinity` must be a mapping"),
        ({"nodeAffinity": {REQUIRED: "x"}}, f"{REQUIRED}` must be a mapping"),
        (
            {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": "x"}}},
            "nodeSelectorTerms` must be a list",
        ),
        ({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}}, "must not be empty"),
        ({"nodeAffinity": {REQUIRED: {}}}, "must not be empty"),
        (
            {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{}]}}},
            "an empty term matches no node",
        ),
        (
            {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": ["x"]}}},
            r"nodeSelectorTerms\[0\]` must be a mapping",
        ),
        (
            {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": "x"}]}}},
            "matchExpressions` must be a list",
        ),
        ({"weight": 0.5}, "weight` must be a whole number"),
    ],
)
def test_what_is_no_affinity_is_refused(given, sentence):
    if sentence is None:
        assert takes(rendered(affinity=given), GFD)
        return
    with pytest.raises(Refused, match=sentence):
        rendered(affinity=given)


def test_gpu_nodes_are_tolerated_and_whatever_the_user_adds():
    own = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    sku = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
    spec = builders.deployment(scheduling={"tolerations": [sku, own, {**sku, "value": ""}]}).spec

    assert tolerations(spec, builders.gpu()) == [
        own,
        sku,
        {"key": "sku", "operator": "Equal", "effect": "NoSchedule"},
    ]


@pytest.mark.parametrize(
    ("resource", "key"),
    [("nvidia.com/mig-3g.40gb", "nvidia.com/gpu"), ("amd.com/gpu", "amd.com/gpu")],
)
def test_the_taint_is_the_vendors(resource, key):
    gpu = builders.gpu(resourceName=resource, gpusPerNode=1)
    (toleration,) = tolerations(builders.deployment().spec, gpu)

    assert toleration["key"] == key
