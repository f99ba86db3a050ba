"""From a template and values to an object; no value can change anything but its own place.

A `finalize` hook writes every value as a literal (`render.literal`), undefined names raise, and
there is no filter that could write text past the hook. The text is parsed. Then the same template
is filled with plain place-holders, which are replaced by the values after parsing: both ways must
give the same object. So the claim above is checked on every object that is ever rendered.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Undefined, pass_context

from videollm_operator.render.literal import literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2.runtime import Context

_WRITE = "_write"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TemplateError(Exception):
    """A template does not say what its values say: an error in this program, never in an object."""


def render_object(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The object that template `name` (without suffix) makes of `values`.

    Raises:
        TemplateError: if text and values do not mean the same.
        jinja2.UndefinedError: if the template names a value that there is none of.
        TypeError, ValueError: for values that have no literal.
    """
    template = environment().get_template(f"{name}.yaml.j2")
    manifest = parse(template.render({**values, _WRITE: literal}))
    placed: list[Any] = []

    def place(value: Any) -> str:
        placed.append(value)
        return f'"@{len(placed) - 1}@"'

    skeleton = parse(template.render({**values, _WRITE: place}))
    if not isinstance(manifest, dict) or _text(manifest) != _text(_fill(skeleton, placed)):
        msg = f"the template '{name}' does not say what its values say"
        raise TemplateError(msg)
    return manifest


@functools.cache
def environment() -> Environment:
    """The environment of all templates."""
    made = Environment(
        loader=PackageLoader("videollm_operator.render", "templates"),
        finalize=_finalize,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - no HTML; `finalize` quotes every value
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.filters.clear()
    made.tests.clear()
    made.globals.clear()
    return made


def parse(text: str) -> Any:
    """YAML text as plain values."""
    return yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader, in C where there is one


@pass_context
def _finalize(context: Context, value: Any) -> str:
    if isinstance(value, Undefined):
        return str(value)  # raises: StrictUndefined has no text
    write: Callable[[Any], str] = context[_WRITE]
    return write(value)


def _fill(value: Any, placed: list[Any]) -> Any:
    if isinstance(value, dict):
        return {key: _fill(item, placed) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, placed) for item in value]
    if isinstance(value, str) and value.startswith("@"):
        return placed[int(value.strip("@"))]
    return value


def _text(value: Any) -> str:
    """Equal only for values of the same types: `true` is not 1."""
    return json.dumps(value, sort_keys=True, default=str)
