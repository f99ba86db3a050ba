"""The folder `operator/` must never become a package: it would shadow the standard library's."""

from __future__ import annotations

import operator
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_operator_folder_is_no_package() -> None:
    assert (ROOT / "operator" / "videollm_operator" / "__init__.py").is_file()
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_operator_is_the_standard_librarys() -> None:
    assert Path(operator.__file__).parent == Path(sysconfig.get_paths()["stdlib"])
