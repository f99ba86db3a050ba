"""Runs the Lua scripts for Argo CD in a sandbox like Argo CD's own.

Argo CD opens only the libraries `base`, `package`, `table` and an `os` of two functions
(argo-cd util/lua/lua.go, oslib_safe.go). The sandbox below has no more than that, so a script
that works here works there; strings have no methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lupa.lua51 as lua
import yaml

from hack.argocd_configmap import SCRIPTS

if TYPE_CHECKING:
    from pathlib import Path

SANDBOX = """
local date, time = os.date, os.time
getmetatable("").__index = nil
for _, name in ipairs({"string", "math", "io", "debug", "coroutine", "os", "python"}) do
  _G[name] = nil
  package.loaded[name] = nil
end
package.preload.os = function() return { date = date, time = time } end
"""


def to_lua(runtime: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return runtime.table_from({k: to_lua(runtime, v) for k, v in value.items()})
    if isinstance(value, list):
        return runtime.table_from([to_lua(runtime, item) for item in value])
    return value


def from_lua(value: Any) -> Any:
    if lua.lua_type(value) != "table":
        return value
    keys = list(value.keys())
    if keys and keys == list(range(1, len(keys) + 1)):
        return [from_lua(value[key]) for key in keys]
    return {key: from_lua(value[key]) for key in keys}


def run(script: Path, obj: dict[str, Any]) -> Any:
    runtime = lua.LuaRuntime(unpack_returned_tuples=True, register_eval=False)
    runtime.execute(SANDBOX)
    runtime.globals().obj = to_lua(runtime, obj)
    return from_lua(runtime.execute(script.read_text()))


def health(obj: dict[str, Any]) -> Any:
    return run(SCRIPTS / "health.lua", obj)


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded
