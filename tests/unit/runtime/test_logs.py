from __future__ import annotations

import json
import logging

import pytest

from videollm_operator.runtime.logs import JSONLines, NoRepeats, TextLines, configure
from videollm_operator.runtime.settings import Settings


def record(message="hello", name="videollm_operator.runtime.x", level=logging.INFO, **extra):
    made = logging.LogRecord(name, level, __file__, 1, message, None, None)
    made.__dict__.update(extra)
    return made


def failed():
    try:
        raise ValueError("broken")
    except ValueError as error:
        return type(error), error, error.__traceback__


def test_a_json_line_is_one_object():
    line = JSONLines().format(record('with "quotes"\nand lines', object="team/video"))
    assert "\n" not in line
    parsed = json.loads(line)
    assert parsed["message"] == 'with "quotes"\nand lines'
    assert parsed["object"] == "team/video"
    assert parsed["level"] == "info"
    assert parsed["logger"] == "runtime.x"
    assert parsed["time"].endswith("Z")


def test_a_text_line_ends_in_what_it_is_about():
    line = TextLines().format(record(object="team/video"))
    assert line.endswith("info    runtime.x: hello object=team/video")


def test_a_bug_comes_with_its_traceback_but_a_librarys_lost_connection_does_not():
    bug = record(exc_info=failed())
    assert "Traceback" in TextLines().format(bug)
    assert "Traceback" in json.loads(JSONLines().format(bug))["error"]
    lost = record(name="kopf._core.reactor", exc_info=failed())
    assert "Traceback" not in TextLines(("kopf",)).format(lost)


def test_failing_requests_of_one_cause_are_told_once_a_minute():
    only = NoRepeats()

    def shown(message, at):
        made = record(message)
        made.created = at
        return only.filter(made)

    first = "Request attempt #1 failed; will retry: GET https://h/api/v1/pods?watch=true -> E('no')"
    second = "Request attempt #7 failed; will retry: GET https://h/api/v1/nodes -> E('no')"
    other = "Request attempt #8 failed; will retry: GET https://h/api/v1/nodes -> E('Forbidden')"
    assert shown(first, 1000)
    assert not shown(second, 1010)
    assert shown(other, 1020)
    assert shown(second, 1061)
    assert shown("something else", 1062)
    assert shown("something else", 1062)
    assert shown(first, 500)  # the clock was set back
    assert not shown(first, 510)
    for number in range(10_000):
        shown(f"Request attempt #1 failed; will retry: GET https://h/ -> E('cause {number}')", 600)
    assert len(only._said) <= 1000


@pytest.fixture
def restored():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("some_library").setLevel(logging.NOTSET)


@pytest.mark.parametrize(("level", "heard"), [("info", logging.WARNING), ("debug", logging.DEBUG)])
def test_libraries_are_quiet_unless_debugging(restored, level, heard):
    configure(Settings(log_level=level), libraries=("some_library",))
    assert logging.getLogger("some_library").level == heard
    assert len(restored.handlers) == 1


def test_the_format_is_a_setting(restored):
    configure(Settings(log_format="json"))
    assert isinstance(restored.handlers[0].formatter, JSONLines)
