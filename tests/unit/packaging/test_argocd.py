"""Runs the Lua scripts for Argo CD on their test cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lupa.lua51 as lua
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hack.argocd_configmap import SCRIPTS, TARGET, argocd_configmap
from tests.argocd import SANDBOX, health, load, run
from videollm_operator.api.conditions import ConditionType
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1 import VideoLLMDeployment

ACTIONS = SCRIPTS / "actions"
HEALTH_CASES = yaml.safe_load((SCRIPTS / "health_test.yaml").read_text())["tests"]
ACTION_CASES = yaml.safe_load((ACTIONS / "action_test.yaml").read_text())


def test_sandbox_has_no_string_library() -> None:
    runtime = lua.LuaRuntime(register_eval=False)
    runtime.execute(SANDBOX)
    with pytest.raises(lua.LuaError):
        runtime.execute('return ("a"):upper()')


@pytest.mark.parametrize("case", HEALTH_CASES, ids=lambda case: Path(case["inputPath"]).stem)
def test_health_case(case: dict[str, Any]) -> None:
    assert health(load(SCRIPTS / case["inputPath"])) == case["healthStatus"]


def test_every_object_of_testdata_has_a_case() -> None:
    used = {SCRIPTS / case["inputPath"] for case in HEALTH_CASES}
    assert used == set((SCRIPTS / "testdata").glob("*.yaml"))


@pytest.mark.parametrize(
    "path",
    sorted([*SCRIPTS.glob("testdata/*.yaml"), *ACTIONS.glob("testdata/*.yaml")]),
    ids=lambda path: path.stem,
)
def test_testdata_are_objects_as_the_operator_writes_them(path: Path) -> None:
    parsed = VideoLLMDeployment.from_object(load(path))
    for condition in parsed.status.conditions:
        assert condition.type in list(ConditionType)
        assert condition.reason in list(Reason)


conditions = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from([*ConditionType, "Unheard"]),
            "status": st.sampled_from(["True", "False", "Unknown"]),
            "reason": st.sampled_from(list(Reason)),
        },
        optional={"message": st.sampled_from(["", "1 of 2 replicas answer."])},
    ),
    max_size=8,
    unique_by=lambda condition: condition["type"],
)


@given(
    generation=st.integers(1, 3),
    observed=st.integers(-1, 3),
    conditions=conditions,
    spec=st.fixed_dictionaries(
        {}, optional={"replicas": st.integers(0, 2), "paused": st.booleans()}
    ),
)
def test_any_status_gives_a_health_and_only_stalled_is_degraded(
    generation: int, observed: int, conditions: list[dict[str, Any]], spec: dict[str, Any]
) -> None:
    plain = [{key: str(value) for key, value in each.items()} for each in conditions]
    answer = health(
        {
            "metadata": {"name": "a", "generation": generation},
            "spec": spec,
            "status": {"observedGeneration": observed, "conditions": plain},
        }
    )
    true = {each["type"] for each in plain if each["status"] == "True"}
    assert answer["status"] in {"Healthy", "Progressing", "Degraded", "Suspended"}
    assert answer["message"]
    assert (answer["status"] == "Degraded") == (observed == generation and "Stalled" in true)
    if answer["status"] == "Healthy":
        assert observed == generation
        assert "Ready" in true


@pytest.mark.parametrize(
    "case", ACTION_CASES["discoveryTests"], ids=lambda case: Path(case["inputPath"]).stem
)
def test_buttons_offered(case: dict[str, Any]) -> None:
    offered = run(ACTIONS / "discovery.lua", load(ACTIONS / case["inputPath"]))
    assert [{"name": name, **offered[name]} for name in sorted(offered)] == case["result"]


@pytest.mark.parametrize("case", ACTION_CASES["actionTests"], ids=lambda case: case["action"])
def test_action_case(case: dict[str, Any]) -> None:
    script = ACTIONS / case["action"] / "action.lua"
    changed = run(script, load(ACTIONS / case["inputPath"]))
    assert changed == load(ACTIONS / case["expectedOutputPath"])


def test_restart_sets_a_token_and_nothing_else() -> None:
    before = load(ACTIONS / "testdata" / "running.yaml")
    after = run(ACTIONS / "restart" / "action.lua", before)
    token = after["spec"].pop("rollout")["restartToken"]
    assert len(token) == len("2026-11-24T09:12:31Z")
    assert after == before
    VideoLLMDeployment.from_object(
        {**after, "spec": {**after["spec"], "rollout": {"restartToken": token}}}
    )


def test_every_offered_button_has_a_script() -> None:
    offered = run(ACTIONS / "discovery.lua", load(ACTIONS / "testdata" / "running.yaml"))
    assert set(offered) == {path.parent.name for path in ACTIONS.glob("*/action.lua")}


def test_configmap_is_made_from_the_scripts() -> None:
    assert TARGET.read_text() == argocd_configmap(), "run `make generate`"


def test_configmap_holds_the_scripts_unchanged() -> None:
    data = load(TARGET)["data"]
    key = "resource.customizations.{}.videollm.io_VideoLLMDeployment"
    assert data[key.format("health")] == (SCRIPTS / "health.lua").read_text()
    actions = yaml.safe_load(data[key.format("actions")])
    assert actions["discovery.lua"] == (ACTIONS / "discovery.lua").read_text()
    assert {each["name"]: each["action.lua"] for each in actions["definitions"]} == {
        path.parent.name: path.read_text() for path in ACTIONS.glob("*/action.lua")
    }
