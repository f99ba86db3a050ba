"""No field, however odd, changes any other part of a rendered object.

One field is set to something odd, past all validation; the object is rendered with and without
that; nothing may differ but the places where the field belongs, and there it must stand as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.render import everything
from tests.unit.render.examples import few, texts, values
from videollm_operator.api.problem import Refused
from videollm_operator.render.manifests import render

Path = tuple[Any, ...]
Manifests = tuple[dict[str, Any], ...]

TEMPLATE = ("StatefulSet", "llava", "spec", "template")
POD = (*TEMPLATE, "spec")
ENGINE = (*POD, "containers", 0)
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
TERMS = (
    *(*POD, "affinity", "nodeAffinity"),
    *("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"),
)


@dataclass(frozen=True)
class Field:
    """Where a value is set, and where it belongs in what is rendered."""

    spec: Path = ()
    """In the deployment's spec, or ..."""
    plan: Path = ()
    """... in the plan."""
    at: tuple[Path, ...] = ()
    exact: bool = True
    """Whether it must stand there as it is."""


WORDS = {
    "image": Field(plan=("launch", "image"), at=((*ENGINE, "image"),)),
    "argument": Field(plan=("launch", "args", 1), at=((*ENGINE, "args", 1),)),
    "command": Field(plan=("launch", "command", 0), at=((*ENGINE, "command", 0),)),
    "variable": Field(plan=("launch", "env", 0, "name"), at=((*ENGINE, "env", 0, "name"),)),
    "value": Field(plan=("launch", "env", 0, "value"), at=((*ENGINE, "env", 0, "value"),)),
    "secret": Field(
        plan=("launch", "env", 1, "value_from", "secret_key_ref", "name"),
        at=((*ENGINE, "env", 1, "valueFrom", "secretKeyRef", "name"),),
    ),
    "secret key": Field(
        plan=("launch", "env", 1, "value_from", "secret_key_ref", "key"),
        at=((*ENGINE, "env", 1, "valueFrom", "secretKeyRef", "key"),),
    ),
    "probe": Field(
        plan=("launch", "startup", "path"), at=((*ENGINE, "startupProbe", "httpGet", "path"),)
    ),
    "home": Field(plan=("launch", "home"), at=((*ENGINE, "volumeMounts", 2, "mountPath"),)),
    "cache": Field(plan=("launch", "cache_path"), at=((*ENGINE, "volumeMounts", 3, "mountPath"),)),
    "weights claim": Field(
        spec=("model", "source", "persistent_volume_claim", "claim_name"),
        at=((*POD, "volumes", 4, "persistentVolumeClaim", "claimName"),),
    ),
    "storage class": Field(
        spec=("cache", "storage_class_name"),
        at=(("PersistentVolumeClaim", "llava-cache", "spec", "storageClassName"),),
    ),
    "priority class": Field(
        spec=("scheduling", "priority_class_name"), at=((*POD, "priorityClassName"),)
    ),
    "runtime class": Field(
        spec=("scheduling", "runtime_class_name"), at=((*POD, "runtimeClassName"),)
    ),
    "restart token": Field(
        spec=("rollout", "restart_token"),
        at=((*TEMPLATE, "metadata", "annotations", "videollm.io/restart-token"),),
    ),
    "annotation": Field(
        spec=("pod_template", "annotations", "note"),
        at=((*TEMPLATE, "metadata", "annotations", "note"),),
    ),
    "label": Field(
        spec=("pod_template", "labels", "team"), at=((*TEMPLATE, "metadata", "labels", "team"),)
    ),
    "node selector": Field(
        spec=("scheduling", "node_selector", "pool"), at=((*POD, "nodeSelector", "pool"),)
    ),
    "pull secret": Field(
        spec=("pod_template", "image_pull_secrets", 0, "name"),
        at=((*POD, "imagePullSecrets", 0, "name"),),
    ),
    "pull policy": Field(
        spec=("pod_template", "image_pull_policy"), at=((*ENGINE, "imagePullPolicy"),)
    ),
    "volume": Field(
        spec=("pod_template", "extra_volumes", 0, "name"), at=((*POD, "volumes", 5, "name"),)
    ),
    "mount": Field(
        spec=("pod_template", "extra_volume_mounts", 0, "name"),
        at=((*ENGINE, "volumeMounts", 5, "name"),),
    ),
    "mount path": Field(
        spec=("pod_template", "extra_volume_mounts", 0, "mount_path"),
        at=((*ENGINE, "volumeMounts", 5, "mountPath"),),
    ),
}  # fmt: skip

WEIGHTS = Field(plan=("launch", "model_mount"), at=((*ENGINE, "volumeMounts", 4, "mountPath"),))
RESOURCE = Field(
    plan=("resolved", "gpu", "resource_name"),
    at=(
        (*ENGINE, "resources", "limits"),
        (*ENGINE, "resources", "requests"),
        (*POD, "tolerations", 0, "key"),
        TERMS,
    ),
    exact=False,
)
NODE_LABEL = Field(
    # The other set names the product, which all sets need: it is what shared nodes are told by.
    plan=("resolved", "gpu", "node_labels", 1),
    at=((*TERMS, 2, "matchExpressions"), (*TERMS, 3, "matchExpressions")),
)

NASTY = [
    "",
    "null",
    "a\nb: c",
    "\n---\nkind: Secret",
    "{{ 7 * 7 }}",
    "{% for x in y %}",
    "{{ x",
    "#}",
    "!!python/object/apply:os.system [id]",
    "&a *a",
    '", "privileged": true, "x": "',
    "'",
    "\\",
    "\u2028\u2029\x85\x00\x7f\ufeff",
    "@0@",
    "é" * 5000,
    "😀",
]
odd = st.one_of(st.sampled_from(NASTY), texts)
short = odd.filter(lambda text: len(text) < 150)
"""For keys, which the API bounds; the longest that YAML takes are tested with `literal`."""


def put(holder: Any, path: Path, value: Any) -> Any:
    """`holder` with one value replaced, whatever validation would say."""
    if not path:
        return value
    step, *rest = path
    if isinstance(holder, dict):
        return {**holder, step: put(holder[step], tuple(rest), value)}
    if isinstance(holder, (list, tuple)):
        changed = list(holder)
        changed[step] = put(holder[step], tuple(rest), value)
        return type(holder)(changed)
    inner = put(getattr(holder, step), tuple(rest), value)
    if is_dataclass(holder) and not isinstance(holder, type):
        return replace(holder, **{step: inner})
    return holder.model_copy(update={step: inner})


def leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    """Every value that is no collection (or an empty one), by its path."""
    if isinstance(value, dict) and value:
        return {p: v for key, item in value.items() for p, v in leaves(item, (*path, key)).items()}
    if isinstance(value, list) and value:
        return {p: v for i, item in enumerate(value) for p, v in leaves(item, (*path, i)).items()}
    return {path: value}


def by_name(manifests: Manifests) -> dict[Path, Any]:
    return {
        path: value
        for manifest in manifests
        for path, value in leaves(
            manifest, (manifest["kind"], manifest["metadata"]["name"])
        ).items()
    }


def at(manifests: Manifests, path: Path) -> Any:
    kind, name, *rest = path
    found: Any = next(m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name)
    for step in rest:
        found = found[step]
    return found


def changed(before: Manifests, after: Manifests) -> set[Path]:
    old, new = by_name(before), by_name(after)
    missing = object()
    return {p for p in old.keys() | new.keys() if old.get(p, missing) != new.get(p, missing)}


def only_below(paths: set[Path], places: tuple[Path, ...]) -> bool:
    return all(any(path[: len(place)] == place for place in places) for path in paths)


def render_changed(field: Field, value: Any) -> Manifests:
    deployment, planned = everything.deployment(), everything.planned()
    if field.plan:
        planned = put(planned, field.plan, value)
    else:
        deployment = put(deployment, ("spec", *field.spec), value)
    return render(deployment, planned)


BEFORE = render(everything.deployment(), everything.planned())


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("value", NASTY)
def test_a_nasty_word_changes_only_its_own_place(name, value):
    check_word(WORDS[name], value)


@pytest.mark.parametrize("name", WORDS)
@given(value=texts)
@few
def test_an_odd_word_changes_only_its_own_place(name, value):
    check_word(WORDS[name], value)


def check_word(field: Field, value: str) -> None:
    try:
        after = render_changed(field, value)
    except Refused:
        return

    assert only_below(changed(BEFORE, after), field.at)
    if field.exact and value:
        assert [at(after, place) for place in field.at] == [value] * len(field.at)


@given(odd.filter(bool))
@few
def test_an_odd_mount_of_the_weights_changes_only_its_own_place(value):
    check_word(WEIGHTS, value)


@given(short)
@few
def test_an_odd_resource_changes_only_what_names_it(value):
    check_word(RESOURCE, value)


@given(key=short, value=odd)
@few
def test_an_odd_node_label_changes_only_the_terms_of_its_family(key, value):
    after = render_changed(NODE_LABEL, {key: [value]})

    assert only_below(changed(BEFORE, after), NODE_LABEL.at)
    first = at(after, (*TERMS, 2, "matchExpressions", 0))
    assert first == {"key": key, "operator": "In", "values": [value]}


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        (("pod_template", "labels"), (*TEMPLATE, "metadata", "labels")),
        (("pod_template", "annotations"), (*TEMPLATE, "metadata", "annotations")),
        (("scheduling", "node_selector"), (*POD, "nodeSelector")),
    ],
)
@given(key=short, value=odd)
@few
def test_an_odd_key_changes_only_its_own_place(spec, place, key, value):
    try:
        after = render_changed(Field(spec=spec), {key: value})
    except Refused:
        return
    before = render_changed(Field(spec=spec), {})

    ours = at(before, place) if place != (*POD, "nodeSelector") else {}
    assert at(after, place) == {key: value, **ours}
    assert only_below(changed(before, after), (place,))


FREE_FORM = {
    "affinity": (("scheduling", "affinity"), (*POD, "affinity")),
    "pod affinity": (
        ("scheduling", "affinity", "podAntiAffinity"),
        (*POD, "affinity", "podAntiAffinity"),
    ),
    "preferred": (
        ("scheduling", "affinity", "nodeAffinity", PREFERRED),
        (*POD, "affinity", "nodeAffinity", PREFERRED),
    ),
    "toleration": (("scheduling", "tolerations"), (*POD, "tolerations")),
    "spread": (("scheduling", "topology_spread_constraints"), (*POD, "topologySpreadConstraints")),
}  # fmt: skip


@pytest.mark.parametrize("name", FREE_FORM)
@given(value=values)
@few
def test_an_odd_structure_changes_only_its_own_place(name, value):
    spec, place = FREE_FORM[name]
    if name in {"toleration", "spread"}:
        value = [{"key": value}]
    if name == "affinity":
        value = {"podAffinity": value}
    try:
        after = render_changed(Field(spec=spec), value)
    except Refused:
        return

    assert only_below(changed(BEFORE, after), (place,))


@given(key=st.one_of(st.sampled_from(["emptyDir", "name", "<<", "configMap"]), texts), value=values)
@few
@example(key="name", value="other")
def test_an_odd_volume_changes_only_itself(key, value):
    deployment = everything.deployment()
    (volume,) = deployment.spec.pod_template.extra_volumes
    odd_one = volume.model_copy()
    odd_one.__pydantic_extra__.clear()
    odd_one.__pydantic_extra__[key] = value
    try:
        after = render_changed(Field(spec=("pod_template", "extra_volumes", 0)), odd_one)
    except Refused:
        return

    assert only_below(changed(BEFORE, after), ((*POD, "volumes", 5),))


@given(odd.filter(bool))
@few
def test_an_odd_namespace_changes_only_namespaces(namespace):
    deployment = put(everything.deployment(), ("metadata", "namespace"), namespace)

    after = render(deployment, everything.planned())

    assert {manifest["metadata"]["namespace"] for manifest in after} == {namespace}
    assert {path[2:] for path in changed(BEFORE, after)} <= {("metadata", "namespace")}


@given(odd)
@few
def test_an_odd_uid_changes_only_owners(uid):
    after = render(put(everything.deployment(), ("metadata", "uid"), uid), everything.planned())

    assert {path[2:4] for path in changed(BEFORE, after)} <= {("metadata", "ownerReferences")}


NAMED = {
    ("metadata", "name"),
    ("metadata", "labels", "app.kubernetes.io/instance"),
    ("metadata", "ownerReferences", 0, "name"),
    ("spec", "selector", "app.kubernetes.io/instance"),
    ("spec", "selector", "matchLabels", "app.kubernetes.io/instance"),
    ("spec", "serviceName"),
    ("spec", "template", "metadata", "labels", "app.kubernetes.io/instance"),
    ("spec", "template", "spec", "serviceAccountName"),
    ("spec", "template", "spec", "volumes", 2, "persistentVolumeClaim", "claimName"),
}


@given(odd.filter(bool))
@few
def test_an_odd_name_changes_only_names(name):
    after = render(put(everything.deployment(), ("metadata", "name"), name), everything.planned())

    for before, now in zip(BEFORE, after, strict=True):
        old, new = leaves(before), leaves(now)
        assert {p for p in old.keys() | new.keys() if old.get(p) != new.get(p)} <= NAMED


def test_every_value_that_a_template_writes_is_in_the_object_of_these_tests():
    """Else a test above would pass for a place that is never rendered."""
    for name, field in WORDS.items():
        if field.exact:
            for place in field.at:
                assert at(BEFORE, place) is not None, name
