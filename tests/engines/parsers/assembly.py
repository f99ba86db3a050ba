"""The three functions that `standins` consist of, for the two machines that torch has wheels for.

Machines are ELF's `e_machine` numbers; distances are bytes from a function's first byte.
"""

from __future__ import annotations

import struct

X86_64, AARCH64 = 62, 183


def return_zero(machine: int) -> bytes:
    """A function that returns 0."""
    if machine == X86_64:  # xor eax, eax; ret
        return bytes.fromhex("31c0c3")
    return bytes.fromhex("000080d2c0035fd6")  # mov x0, #0; ret


def return_address(machine: int, distance: int) -> bytes:
    """A function that returns the address `distance` bytes after its own."""
    if machine == X86_64:  # lea rax, [rip + d]; ret
        return struct.pack("<3sis", b"\x48\x8d\x05", distance - 7, b"\xc3")
    return struct.pack("<I4s", _adr(0, distance), bytes.fromhex("c0035fd6"))  # adr x0, d; ret


def construct(machine: int, distance: int) -> bytes:
    """A constructor that only sets the vtable, `distance` bytes after the function."""
    if machine == X86_64:  # lea rax, [rip + d]; mov [rdi], rax; ret
        return struct.pack("<3si4s", b"\x48\x8d\x05", distance - 7, bytes.fromhex("488907c3"))
    # adr x1, d; str x1, [x0]; ret
    return struct.pack("<I8s", _adr(1, distance), bytes.fromhex("010000f9c0035fd6"))


def _adr(register: int, distance: int) -> int:
    return 0x10000000 | (distance & 3) << 29 | (distance >> 2 & 0x7FFFF) << 5 | register
