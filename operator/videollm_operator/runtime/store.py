"""A cache of facts about objects that only moves forward.

Events, answers to our own writes and lists arrive in any order. What counts is the resource
version: an older one never replaces a newer one, and an object that was seen to go does not come
back by a late event. Objects are found by identity, and by groups (their owner, their labels).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Id = TypeVar("Id", bound=Hashable)
F = TypeVar("F")

Group = Hashable

_REMEMBERED_GONE = 10_000
"""Objects whose end is remembered; late events are late by seconds."""


@dataclass(slots=True)
class Stored(Generic[F]):
    """One object.

    Attributes:
        facts: what is kept of it.
        uid: its identity in time.
        version: its resource version.
        groups: by what else it is found.
    """

    facts: F
    uid: str
    version: int
    groups: tuple[Group, ...]


class Store(Generic[Id, F]):
    """Objects of one or several kinds by identity.

    Args:
        same: whether two facts about an object mean the same, so that nothing need be done.
    """

    def __init__(self, same: Callable[[F, F], bool]) -> None:
        self._same = same
        self._items: dict[Id, Stored[F]] = {}
        self._groups: dict[Group, tuple[Id, ...]] = {}
        self._gone: OrderedDict[str, int] = OrderedDict()
        self.newest = 0
        """Highest resource version seen."""

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, identity: object) -> bool:
        return identity in self._items

    def get(self, identity: Id) -> Stored[F] | None:
        """An object; None if it is not there."""
        return self._items.get(identity)

    def items(self) -> Iterator[tuple[Id, Stored[F]]]:
        """All objects, as they are now."""
        return iter(list(self._items.items()))

    def group(self, group: Group) -> tuple[Id, ...]:
        """Identities of the objects of a group."""
        return self._groups.get(group, ())

    def knows(self, identity: Id, uid: str, version: int) -> bool:
        """Whether an object was seen at this resource version or later, or was seen to go."""
        stored = self._items.get(identity)
        if stored is not None and version and stored.version >= version:
            return True
        return self._gone.get(uid, -1) >= version

    def put(self, identity: Id, stored: Stored[F]) -> frozenset[Group]:
        """Takes in an object, unless a newer state of it is known.

        Returns:
            The groups that it is or was in, if it means something else than before; else none.
        """
        old = self._items.get(identity)
        self.newest = max(self.newest, stored.version)
        if stored.version:
            if old is not None and stored.version <= old.version:
                return frozenset()
            if self._gone.get(stored.uid, -1) >= stored.version:
                return frozenset()
        self._items[identity] = stored
        if old is None:
            self._join(identity, stored.groups)
            return frozenset(stored.groups)
        if old.groups != stored.groups:
            self._leave(identity, old.groups)
            self._join(identity, stored.groups)
        elif old.uid == stored.uid and self._same(old.facts, stored.facts):
            return frozenset()
        return frozenset((*old.groups, *stored.groups))

    def remove(self, identity: Id, uid: str, version: int) -> frozenset[Group]:
        """Takes note that an object went at a resource version.

        Returns:
            The groups that it was in, if it was there.
        """
        self.newest = max(self.newest, version)
        self._gone[uid] = max(version, self._gone.pop(uid, 0))
        if len(self._gone) > _REMEMBERED_GONE:
            self._gone.popitem(last=False)
        old = self._items.get(identity)
        if old is None or old.uid != uid or (version and old.version > version):
            return frozenset()
        del self._items[identity]
        self._leave(identity, old.groups)
        return frozenset(old.groups)

    def exists_after_all(self, uid: str) -> None:
        """Takes note that an object was read that was seen to go: it left only what we watch."""
        self._gone.pop(uid, None)

    def _join(self, identity: Id, groups: tuple[Group, ...]) -> None:
        for group in groups:
            self._groups[group] = (*self._groups.get(group, ()), identity)

    def _leave(self, identity: Id, groups: tuple[Group, ...]) -> None:
        for group in groups:
            rest = tuple(member for member in self._groups.get(group, ()) if member != identity)
            if rest:
                self._groups[group] = rest
            else:
                self._groups.pop(group, None)


def version(text: str) -> int:
    """A resource version as the number that it is; 0 for none."""
    return int(text) if text.isdigit() else 0
