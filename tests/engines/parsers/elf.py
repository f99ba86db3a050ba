"""Just enough ELF to see what the shared libraries of a wheel ask of the dynamic linker.

Only ELF64 little endian (x86-64 and AArch64 Linux), only what `standins` needs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
DYNAMIC = struct.Struct("<qQ")

DT_NULL, DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB = 0, 1, 4, 5, 6
DT_RELA, DT_RELASZ, DT_RELAENT, DT_STRSZ, DT_SYMENT, DT_SONAME = 7, 8, 9, 10, 11, 14
NOTYPE, OBJECT, FUNCTION = 0, 1, 2  # symbol types
_SHT_DYNAMIC, _SHT_DYNSYM, _SHT_VERNEED, _SHT_VERSYM = 6, 11, 0x6FFFFFFE, 0x6FFFFFFF
_LOCAL, _WEAK = 0, 2  # symbol bindings


class ElfError(Exception):
    """A file is not an ELF library of a kind this module understands."""


@dataclass(frozen=True)
class Wish:
    """A symbol that a library expects from another one."""

    kind: int
    """Symbol type: NOTYPE, OBJECT or FUNCTION."""
    provider: str | None
    """Library that must define it with a version; None if any library may."""


@dataclass(frozen=True)
class Library:
    """What the dynamic linker reads from one shared library."""

    machine: int
    needed: tuple[str, ...]
    defined: frozenset[str]
    undefined: dict[str, Wish]


def read(path: Path) -> Library:
    """Names and symbols of the shared library at `path`.

    Raises ElfError when the file is not a 64-bit little-endian ELF library.
    """
    data = memoryview(path.read_bytes())
    if bytes(data[:6]) != b"\x7fELF\x02\x01":
        raise ElfError(f"{path}: expected a 64-bit little-endian ELF file")
    header = HEADER.unpack_from(data)
    machine, offset, entry, count = header[2], header[6], header[11], header[12]
    sections = [SECTION.unpack_from(data, offset + i * entry) for i in range(count)]
    bodies = [data[section[4] : section[4] + section[5]] for section in sections]
    by_kind = {
        section[1]: (body, bytes(bodies[section[6]]))
        for section, body in zip(sections, bodies, strict=True)
        if section[1] in (_SHT_DYNAMIC, _SHT_DYNSYM, _SHT_VERNEED, _SHT_VERSYM)
    }
    if _SHT_DYNAMIC not in by_kind or _SHT_DYNSYM not in by_kind:
        raise ElfError(f"{path}: no dynamic section, so not a shared library")
    table, names = by_kind[_SHT_DYNAMIC]
    needed = [_text(names, at) for tag, at in DYNAMIC.iter_unpack(table) if tag == DT_NEEDED]
    versions = _needed_versions(*by_kind[_SHT_VERNEED]) if _SHT_VERNEED in by_kind else {}
    numbers = by_kind[_SHT_VERSYM][0] if _SHT_VERSYM in by_kind else None
    defined, undefined = _symbols(*by_kind[_SHT_DYNSYM], numbers, versions)
    return Library(machine, tuple(needed), frozenset(defined), undefined)


def _symbols(
    table: memoryview, names: bytes, numbers: memoryview | None, versions: dict[int, str]
) -> tuple[set[str], dict[str, Wish]]:
    """Defined names, and undefined ones with what is known of them (weak ones are optional)."""
    defined: set[str] = set()
    undefined: dict[str, Wish] = {}
    for index, (at, info, _other, section, _value, _size) in enumerate(SYMBOL.iter_unpack(table)):
        if info >> 4 == _LOCAL:
            continue
        if section:
            defined.add(_text(names, at))
        elif info >> 4 != _WEAK:
            number = struct.unpack_from("<H", numbers, 2 * index)[0] if numbers else 0
            undefined[_text(names, at)] = Wish(info & 15, versions.get(number & 0x7FFF))
    return defined, undefined


def _needed_versions(section: memoryview, names: bytes) -> dict[int, str]:
    """Version number to the library that must provide it (`.gnu.version_r`)."""
    found: dict[int, str] = {}
    offset = 0
    while True:
        _, count, file, aux, following = struct.unpack_from("<HHIII", section, offset)
        at = offset + aux
        for _ in range(count):
            _, _, number, _, step = struct.unpack_from("<IHHII", section, at)
            found[number & 0x7FFF] = _text(names, file)
            at += step
        if not following:
            return found
        offset += following


def _text(names: bytes, at: int) -> str:
    return names[at : names.index(0, at)].decode()
