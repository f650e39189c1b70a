"""Groups beyond giving them a gid: stable ids, renames, groups made anew, and groups of the site's own.

The row is the group and its gid and name stay with it (law 2); its path is how the issuer spells it now. What a
listing says of ids is taken as a whole: any path that belongs to another id than before stops it, so that a group that
was deleted and made anew never inherits files by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import and_, bindparam, delete, exists, insert, select, update

from idmap.adapters.sql.account_writer import AccountWriter
from idmap.adapters.sql.allocation import Wish
from idmap.adapters.sql.tables import BANS, FORMER_PATHS, GROUPS, OBSERVATIONS, POSIX_GROUPS
from idmap.domain.accounts import PosixGroup
from idmap.domain.errors import Conflict, InvalidInput, NotFound
from idmap.domain.groups import Group, local_group
from idmap.domain.identity import Issuer
from idmap.domain.names import GroupName, is_issuable
from idmap.domain.numbers import GidNumber, RangePurpose
from idmap.domain.reasons import Reason

MAX_EXTERNAL_ID: Final = 255

_SET_PATH: Final = (
    update(GROUPS).where(GROUPS.c.group_id == bindparam("which")).values(path=bindparam("new_path"))
)


class GroupWriter(AccountWriter):
    """The part of `RegistryWriter` that knows groups by more than their path."""

    def add_local_group(self, name: str, *, group_range: str) -> PosixGroup:
        if not is_issuable(name):
            raise InvalidInput(Reason.NAME_REFUSED, repr(name[:64]))
        group = local_group(name)
        if group in self._posix_group_rows() or self._allocator.is_taken(name):
            raise Conflict(Reason.NAME_TAKEN, f"{name!r} was issued before, or a node has it")
        group_id = self._group_id(group)
        number, issued = self._allocator.allocate(
            group_range,
            RangePurpose.GROUPS,
            Wish((name,)),
            f"group:{group_id}",
            None,
            self._holder(group),
        )
        self._insert(POSIX_GROUPS, {"group_id": group_id, "name": issued, "gid_number": number})
        made = PosixGroup(GroupName(issued), GidNumber(number))
        self._posix_group_rows()[group] = (group_id, made)
        self._record("add_local_group", name=issued, gid_number=number, range=group_range)
        self._nodes_must_know()
        return made

    def rebind_group(self, group: Group, external_id: str) -> None:
        if not 1 <= len(external_id) <= MAX_EXTERNAL_ID or not external_id.isprintable():
            raise InvalidInput(Reason.REQUEST_INVALID, "id: 1 to 255 characters")
        here = and_(GROUPS.c.issuer == group.issuer, GROUPS.c.path == group.path)
        row = self._db.execute(select(GROUPS).where(here)).first()
        if row is None or row.external_id is None:
            raise NotFound(f"group {group} with an id of its issuer")
        other = self._by_id(group.issuer, [external_id]).get(external_id)
        if other is not None and other[0] != row.group_id:
            raise Conflict(Reason.NAME_TAKEN, f"id {external_id!r} is that of {other[1]}")
        if row.external_id == external_id:
            return
        self._db.execute(update(GROUPS).where(here).values(external_id=external_id))
        self._record(
            "rebind_group",
            issuer=group.issuer,
            path=group.path,
            before=row.external_id,
            after=external_id,
        )

    # --- what a listing says of ids

    def _follow_ids(self, issuer: Issuer, ids: Mapping[Group, str]) -> None:
        """Binds ids seen for the first time and carries renames out. Raises Conflict(GROUP_REPLACED)."""
        if len(set(ids.values())) != len(ids):
            raise Conflict(Reason.GROUP_REPLACED, f"{issuer}: two groups have one id")
        by_id = self._by_id(issuer, list(ids.values()))
        renames: dict[int, tuple[str, Group]] = {}
        for group, external_id in sorted(ids.items()):
            found = by_id.get(external_id)
            if found is not None and found[1] != group.path:
                renames[found[0]] = (found[1], group)
        if renames:
            self._rename(renames)
        for group, external_id in sorted(ids.items()):
            if external_id not in by_id:
                self._bind(group, external_id)

    def _bind(self, group: Group, external_id: str) -> None:
        group_id = self._group_id(group)
        known = self._db.scalar(select(GROUPS.c.external_id).where(GROUPS.c.group_id == group_id))
        if known is not None:
            raise Conflict(
                Reason.GROUP_REPLACED, f"{group}: its id was {known!r} and is {external_id!r} now"
            )
        self._db.execute(
            update(GROUPS).where(GROUPS.c.group_id == group_id).values(external_id=external_id)
        )
        self._record("bind_group", issuer=group.issuer, path=group.path, id=external_id)

    def _rename(self, renames: Mapping[int, tuple[str, Group]]) -> None:
        """All at once, since groups may swap their paths."""
        version, in_force = self._newest_rules(), self.rules().version
        sitting = {group: self._sitting_on(group) for _, group in renames.values()}
        for group, row_id in sitting.items():
            if row_id is not None and row_id not in renames:
                self._require_unbound(group, row_id)
        for row_id in renames:
            self._db.execute(_SET_PATH, {"which": row_id, "new_path": f"\n{row_id}"})
        spare: dict[int, Group] = {}
        for row_id, (former, group) in renames.items():
            other = sitting[group]
            if other is not None and other not in renames:
                # Seen in tokens before any listing told of the rename: it is this group, and its row a spare one.
                self._db.execute(_SET_PATH, {"which": other, "new_path": f"\n{other}"})
                self._take_observations(other, row_id)
                self._take_bans(other, row_id)
                spare[other] = Group(group.issuer, former)
            self._db.execute(_SET_PATH, {"which": row_id, "new_path": group.path})
            self._remember(row_id, group, former, version, in_force)
            self._record("rename_group", issuer=group.issuer, before=former, after=group.path)
        for row_id, former_group in spare.items():
            if self._sitting_on(former_group) is None:
                self._db.execute(_SET_PATH, {"which": row_id, "new_path": former_group.path})
        self._group_ids = {}
        self._posix_groups = None
        self._nodes_must_know()

    def _sitting_on(self, group: Group) -> int | None:
        statement = select(GROUPS.c.group_id).where(
            GROUPS.c.issuer == group.issuer, GROUPS.c.path == group.path
        )
        found: int | None = self._db.scalar(statement)
        return found

    def _require_unbound(self, group: Group, row_id: int) -> None:
        has_gid = exists().where(POSIX_GROUPS.c.group_id == GROUPS.c.group_id).label("has_gid")
        row = self._db.execute(
            select(GROUPS.c.external_id, has_gid).where(GROUPS.c.group_id == row_id)
        ).one()
        if row.external_id is not None or row.has_gid:
            raise Conflict(
                Reason.GROUP_REPLACED,
                f"another group was renamed to {group}, which has a gid or id",
            )

    def _take_observations(self, source: int, target: int) -> None:
        """What was seen of the spare row was seen of the group."""
        held = OBSERVATIONS.alias("held")
        there = exists().where(
            held.c.group_id == target,
            held.c.identity_id == OBSERVATIONS.c.identity_id,
            held.c.source == OBSERVATIONS.c.source,
        )
        of_source = OBSERVATIONS.c.group_id == source
        self._db.execute(update(OBSERVATIONS).where(of_source, ~there).values(group_id=target))
        self._db.execute(delete(OBSERVATIONS).where(of_source))

    def _take_bans(self, source: int, target: int) -> None:
        """Who banned the spare row meant the group."""
        moved = update(BANS).where(BANS.c.group_id == source).values(group_id=target)
        if self._db.execute(moved).rowcount:
            self._bans_changed()

    def _remember(
        self, row_id: int, group: Group, former: str, version: int, in_force: int
    ) -> None:
        """What the rules in force meant by the path stays what they mean, whoever has it later. Newer ones beside a
        pin then name nobody by it, which is safe."""
        at_path = and_(FORMER_PATHS.c.issuer == group.issuer, FORMER_PATHS.c.path == former)
        meant = select(FORMER_PATHS.c.group_id).where(
            at_path, FORMER_PATHS.c.rules_version >= in_force
        )
        if self._db.scalar(meant) is not None:
            return
        self._db.execute(delete(FORMER_PATHS).where(at_path))
        self._db.execute(
            insert(FORMER_PATHS),
            {
                "issuer": group.issuer,
                "path": former,
                "group_id": row_id,
                "rules_version": version,
                "since": self._at,
            },
        )

    def _by_id(self, issuer: Issuer, ids: list[str]) -> dict[str, tuple[int, str]]:
        """External id → row and path, of those known."""
        statement = select(GROUPS.c.external_id, GROUPS.c.group_id, GROUPS.c.path).where(
            GROUPS.c.issuer == issuer, GROUPS.c.external_id.is_not(None)
        )
        wanted = set(ids)
        return {
            row.external_id: (row.group_id, row.path)
            for row in self._db.execute(statement)
            if row.external_id in wanted
        }
