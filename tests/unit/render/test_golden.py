"""What is rendered, to look at: a change of it shows in the diff of a file.

`UPDATE_GOLDEN=1 pytest tests/unit/render/test_golden.py` writes the files anew.
"""

import os
from pathlib import Path

import pytest
import yaml

from tests.unit.render.cases import CASES

FOLDER = Path(__file__).parent / "golden"
HEADER = "# Made by tests/unit/render/test_golden.py; see there.\n"


@pytest.mark.parametrize("name", CASES)
def test_what_is_rendered_is_what_was_looked_at(name):
    file = FOLDER / f"{name}.yaml"
    text = HEADER + yaml.safe_dump_all(CASES[name](), sort_keys=False, explicit_start=True)
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)

    assert file.read_text() == text, "look at the difference, then run with UPDATE_GOLDEN=1"


def test_there_is_a_file_for_every_case_and_no_other():
    assert {file.stem for file in FOLDER.iterdir()} == set(CASES)
