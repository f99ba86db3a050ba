"""Stand-ins for the CUDA libraries that PyPI's Linux build of torch links against.

PyPI has only the CUDA build of torch for Linux. It links against 0.5 GB of its own CUDA code
(`libtorch_cuda.so` ...) and about 4 GB of NVIDIA libraries, of which nothing runs when an engine
merely reads its command line. The dynamic linker wants every named library to exist and every
symbol to resolve, no more than that. So this module reads what torch's CPU libraries ask for
and writes:

* one library that defines every missing symbol: functions as "return 0" (so `device_count()`
  is 0), constructors as "set an empty vtable", objects as zeroed memory, C++ type descriptions
  for real (torch's Python bindings read their names);
* an empty library for each other missing name.

All symbols sit in **one** file on purpose: glibc asserts when a *versioned* symbol
(`cudaFree@libcudart.so.13`) is found without version in the very file that the version names.

What runs on the CPU runs as on a CPU build (vLLM serves, tensor and pipeline parallel too, and
answers about a video); a program that calls CUDA must not be run on these.
"""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assembly import AARCH64, X86_64, construct, return_address, return_zero
from elf import (
    DT_HASH,
    DT_NEEDED,
    DT_NULL,
    DT_RELA,
    DT_RELAENT,
    DT_RELASZ,
    DT_SONAME,
    DT_STRSZ,
    DT_STRTAB,
    DT_SYMENT,
    DT_SYMTAB,
    DYNAMIC,
    FUNCTION,
    HEADER,
    NOTYPE,
    OBJECT,
    SYMBOL,
    ElfError,
    read,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PROGRAM = struct.Struct("<IIQQQQQQ")
_RELA = struct.Struct("<QQq")
_PAGE = 0x10000  # 64 KiB: the largest page size that AArch64 kernels use
_OBJECT_SIZE = 4096  # all objects share one zeroed block; nobody writes there
_CODE_SIZE = 16  # room of one function
_VTABLE_LENGTH = 64  # entries; more than any of torch's classes has
_TYPE_INFO, _TYPE_INFO_SIZE = "_ZTI", 32
_TYPE_INFO_VTABLE = "_ZTVN10__cxxabiv117__class_type_infoE"
_RUNTIME = "libstdc++.so.6"
_RELOCATIONS = {X86_64: (1, 8), AARCH64: (257, 1027)}  # "symbol + addend", "base + addend"
_SYSTEM = frozenset({"libc", "libm", "libdl", "librt", "libpthread", "libgcc_s", "libstdc++"}) | {
    "libgomp",
    "ld-linux-x86-64",
    "ld-linux-aarch64",
}
# Functions that hand out a reference through which torch writes while it is being loaded.
_RETURNS_REFERENCE = frozenset({"_ZN4c10d15get_gil_checkerEv"})


def complete(folder: Path, modules: Iterable[Path]) -> dict[str, int]:
    """Make the libraries of `folder` loadable: write a stand-in for each one they lack.

    Args:
        folder: where torch's libraries are (`torch/lib`).
        modules: further libraries whose wishes count (torch's and torchvision's Python modules).

    Returns:
        The libraries written, with the number of symbols each defines; empty if none was missing
        (a CPU build of torch).
    """
    present = {path.name: read(path) for path in sorted(folder.iterdir()) if ".so" in path.name}
    libraries = [*present.values(), *map(read, modules)]
    provided = frozenset[str]().union(*(library.defined for library in libraries))
    missing = sorted(
        {
            name
            for library in libraries
            for name in library.needed
            if name not in present and not _of_the_system(name)
        }
    )
    if not missing:
        return {}
    # Some files ask for C++ runtime symbols without a version: see whether the runtime has them.
    runtime = ctypes.CDLL(_RUNTIME)
    symbols: dict[str, int] = {}
    for library in libraries:
        for name, wish in library.undefined.items():
            if name in provided or name.startswith(("Py", "_Py")) or hasattr(runtime, name):
                continue
            if wish.provider is None or not _of_the_system(wish.provider):
                symbols[name] = _kind(name) if wish.kind == NOTYPE else wish.kind
    carrier = "libtorch_cuda.so" if "libtorch_cuda.so" in missing else missing[0]
    classes = {name: _class_of(name) for name in symbols if _class_of(name) in provided}
    machine = libraries[0].machine
    for soname in missing:
        image = _Image(soname, machine)
        if soname == carrier:
            image = _Image(soname, machine, symbols, classes)
        (folder / soname).write_bytes(image.build())
    return {soname: len(symbols) if soname == carrier else 0 for soname in missing}


def _of_the_system(soname: str) -> bool:
    """Whether the machine's C and C++ runtime has this library."""
    return soname.split(".so", 1)[0] in _SYSTEM


def _kind(name: str) -> int:
    """Vtables, type descriptions and guards are data; anything else untyped is code."""
    return OBJECT if name.startswith(("_ZTV", "_ZTI", "_ZTS", "_ZGV")) else FUNCTION


def _class_of(constructor: str) -> str:
    """The type description of a constructor's class: `_ZN1a1BC1Eb` to `_ZTIN1a1BE`; else ""."""
    for mark in ("C1E", "C2E"):
        head, found, _ = constructor.rpartition(mark)
        if found and head.startswith("_ZN"):
            return f"{_TYPE_INFO}N{head[3:]}E"
    return ""


@dataclass
class _Image:
    """The bytes of a shared library that defines symbols.

    Layout: headers, symbols, hash table, relocations, strings, code | next page | dynamic section,
    type descriptions, vtables, the shared object. File offsets are addresses.
    """

    soname: str
    machine: int
    symbols: dict[str, int] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    """Constructor to the type description of its class, which another library defines."""

    def __post_init__(self) -> None:
        if self.machine not in _RELOCATIONS:
            raise ElfError(f"no stand-ins for ELF machine {self.machine}: x86-64 or AArch64 only")
        odd = [name for name, kind in self.symbols.items() if kind not in (OBJECT, FUNCTION)]
        if odd:
            raise ElfError(f"no stand-in for {odd}: neither functions nor objects")
        self.foreign = [_TYPE_INFO_VTABLE, *sorted(set(self.classes.values()))]
        self.own = sorted(self.symbols)
        self.types = [name for name in self.own if name.startswith(_TYPE_INFO)]
        self.functions = [name for name in self.own if self.symbols[name] == FUNCTION]
        self.strings = bytearray(b"\0")
        self.name_at = {
            name: self._text(name) for name in (self.soname, _RUNTIME, *self.foreign, *self.own)
        }
        self.buckets = max(1, len(self.own) // 2)
        self.count = 1 + len(self.foreign) + len(self.own)
        self.symbols_at = HEADER.size + 4 * _PROGRAM.size
        self.hash_at = self.symbols_at + SYMBOL.size * self.count
        self.relocations_at = (self.hash_at + 4 * (2 + self.buckets + self.count) + 7) & ~7
        entries = 2 * len(self.types) + (1 + _VTABLE_LENGTH) * len(self.classes)
        self.strings_at = self.relocations_at + _RELA.size * entries
        self.code_at = (self.strings_at + len(self.strings) + 15) & ~15
        self.text_end = self.code_at + _CODE_SIZE * (1 + len(self.functions))
        self.data_at = (self.text_end + _PAGE - 1) & ~(_PAGE - 1)
        self.types_at = self.data_at + DYNAMIC.size * 11
        self.vtables_at = self.types_at + _TYPE_INFO_SIZE * len(self.types)
        self.object_at = self.vtables_at + 8 * (2 + _VTABLE_LENGTH) * len(self.classes)
        self.vtables = {
            name: self.vtables_at + 8 * (2 + _VTABLE_LENGTH) * index
            for index, name in enumerate(sorted(self.classes))
        }
        self.addresses = {
            name: self.types_at + _TYPE_INFO_SIZE * index for index, name in enumerate(self.types)
        } | {
            name: self.code_at + _CODE_SIZE * index
            for index, name in enumerate(self.functions, start=1)  # the first one: "return 0"
        }

    def _text(self, value: str) -> int:
        at = len(self.strings)
        self.strings.extend(value.encode() + b"\0")
        return at

    def build(self) -> bytes:
        size = self.object_at - self.data_at
        image = bytearray(
            HEADER.pack(
                b"\x7fELF\x02\x01\x01", 3, self.machine, 1, 0, 64, 0, 0, 64, 56, 4, 64, 0, 0
            )
        )
        at = self.data_at
        image += _PROGRAM.pack(1, 5, 0, 0, 0, self.text_end, self.text_end, _PAGE)  # load r-x
        image += _PROGRAM.pack(1, 6, at, at, at, size, size + _OBJECT_SIZE, _PAGE)  # load rw-
        image += _PROGRAM.pack(2, 6, at, at, at, size, size, 8)  # dynamic section
        image += _PROGRAM.pack(0x6474E551, 6, 0, 0, 0, 0, 0, 16)  # stack: not executable
        image += self._symbol_table() + self._hash_table()
        image = image.ljust(self.relocations_at, b"\0") + self._relocations() + self.strings
        image = image.ljust(self.code_at, b"\0") + self._code()
        image = image.ljust(self.data_at, b"\0") + self._dynamic()
        return bytes(image.ljust(self.object_at, b"\0"))

    def _symbol_table(self) -> bytearray:
        table = bytearray(SYMBOL.size)
        for name in self.foreign:
            table += SYMBOL.pack(self.name_at[name], 0x10 | OBJECT, 0, 0, 0, 0)
        for name in self.own:
            at = self.addresses.get(name, self.object_at)
            table += SYMBOL.pack(self.name_at[name], 0x10 | self.symbols[name], 0, 1, at, 8)
        return table

    def _hash_table(self) -> bytes:
        heads, chains = [0] * self.buckets, [0] * self.count
        for index, name in enumerate(self.own, start=1 + len(self.foreign)):
            bucket = _sysv_hash(name) % self.buckets
            chains[index], heads[bucket] = heads[bucket], index
        words = [self.buckets, self.count, *heads, *chains]
        return struct.pack(f"<{len(words)}I", *words)

    def _relocations(self) -> bytearray:
        absolute, relative = _RELOCATIONS[self.machine]
        number = {name: index for index, name in enumerate(self.foreign, start=1)}
        table = bytearray()
        for name in self.types:  # a class_type_info: the runtime's vtable, and the name
            at, text = self.addresses[name], self.name_at[name] + len(_TYPE_INFO)
            table += _RELA.pack(at, number[_TYPE_INFO_VTABLE] << 32 | absolute, 16)
            table += _RELA.pack(at + 8, relative, self.strings_at + text)
        for name, at in self.vtables.items():  # offset to top (0), type, functions
            table += _RELA.pack(at + 8, number[self.classes[name]] << 32 | absolute, 0)
            for entry in range(_VTABLE_LENGTH):
                table += _RELA.pack(at + 16 + 8 * entry, relative, self.code_at)
        return table

    def _code(self) -> bytearray:
        code = bytearray(return_zero(self.machine).ljust(_CODE_SIZE, b"\0"))
        for name in self.functions:
            at = self.addresses[name]
            if name in self.vtables:
                body = construct(self.machine, self.vtables[name] + 16 - at)
            elif name in _RETURNS_REFERENCE:
                body = return_address(self.machine, self.object_at - at)
            else:
                body = return_zero(self.machine)
            code += body.ljust(_CODE_SIZE, b"\0")
        return code

    def _dynamic(self) -> bytearray:
        table = bytearray()
        for entry in (
            (DT_NEEDED, self.name_at[_RUNTIME]),
            (DT_SONAME, self.name_at[self.soname]),
            (DT_HASH, self.hash_at),
            (DT_STRTAB, self.strings_at),
            (DT_SYMTAB, self.symbols_at),
            (DT_STRSZ, len(self.strings)),
            (DT_SYMENT, SYMBOL.size),
            (DT_RELA, self.relocations_at),
            (DT_RELASZ, self.strings_at - self.relocations_at),
            (DT_RELAENT, _RELA.size),
            (DT_NULL, 0),
        ):
            table += DYNAMIC.pack(*entry)
        return table


def _sysv_hash(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value
