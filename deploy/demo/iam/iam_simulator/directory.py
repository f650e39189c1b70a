"""The people and groups of the simulated instance, and IAM's rules for membership.

Two rules hold after every change (INDIGO IAM: group membership):

- a member of a group is a member of each of its ancestors, so joining a child joins the parents;
- leaving a group leaves its descendants, so nobody is in a child without being in the parent.

Lists that IAM sorts are sorted here and kept until they change, so a page of a group of 100,000 costs a slice. This
module does not page, authorise or print.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from .records import EPOCH, Group, GroupId, Label, Person, PersonId, group_id


class UnknownRecord(LookupError):
    """No person or group by that name or UUID."""


class NameTaken(ValueError):
    """A person or group by that name or UUID exists already."""


class Directory:
    """All records of one instance, by UUID and by name."""

    def __init__(self) -> None:
        self._people: dict[PersonId, Person] = {}
        self._groups: dict[GroupId, Group] = {}
        self._usernames: dict[str, PersonId] = {}
        self._paths: dict[str, GroupId] = {}
        self._sorted_members: dict[GroupId, list[Person]] = {}
        self._people_list: list[Person] | None = None

    # Reading.

    def list_people(self) -> list[Person]:
        """Everybody, in the order they were created. The caller must not change the list."""
        if self._people_list is None:
            self._people_list = list(self._people.values())
        return self._people_list

    def list_groups(self) -> list[Group]:
        """Every group, in the order they were created."""
        return list(self._groups.values())

    def find_person(self, name_or_id: str) -> Person | None:
        """The person with that username or UUID, if any; the username wins."""
        key = self._usernames.get(name_or_id, PersonId(name_or_id))
        return self._people.get(key)

    def find_person_by_id(self, uuid: str) -> Person | None:
        """The person with that UUID, if any."""
        return self._people.get(PersonId(uuid))

    def find_person_by_username(self, username: str) -> Person | None:
        """The person with exactly that username, if any."""
        key = self._usernames.get(username)
        return None if key is None else self._people[key]

    def get_person(self, name_or_id: str) -> Person:
        """The person with that username or UUID. Raises `UnknownRecord`."""
        person = self.find_person(name_or_id)
        if person is None:
            raise UnknownRecord(f"no person {name_or_id!r}")
        return person

    def find_group_by_id(self, uuid: str) -> Group | None:
        """The group with that UUID, if any."""
        return self._groups.get(GroupId(uuid))

    def find_group_by_path(self, path: str) -> Group | None:
        """The group at exactly that path, if any."""
        key = self._paths.get(path)
        return None if key is None else self._groups[key]

    def get_group(self, path_or_id: str) -> Group:
        """The group at that path (a leading slash is allowed) or with that UUID. Raises `UnknownRecord`."""
        group = self.find_group_by_path(path_or_id.removeprefix("/"))
        group = group or self.find_group_by_id(path_or_id)
        if group is None:
            raise UnknownRecord(f"no group {path_or_id!r}")
        return group

    def list_members(self, group: Group) -> list[Person]:
        """Members of `group`, inactive ones too, by username ascending. The caller must not change the list."""
        members = self._sorted_members.get(group.id)
        if members is None:
            people = (self._people[member] for member in group.members)
            members = sorted(people, key=lambda person: person.username)
            self._sorted_members[group.id] = members
        return members

    def list_subgroups(self, group: Group) -> list[Group]:
        """Direct children of `group`, by path ascending."""
        return sorted((self._groups[child] for child in group.children), key=lambda g: g.path)

    def list_groups_of(self, person: Person) -> list[Group]:
        """Every group of `person`, ancestors included, by path ascending."""
        return sorted((self._groups[key] for key in person.groups), key=lambda g: g.path)

    # Changing.

    def add_group(
        self,
        path: str,
        *,
        uuid: str | None = None,
        description: str | None = None,
        labels: tuple[Label, ...] = (),
    ) -> Group:
        """Create the group at `path` and whatever ancestors are missing. Raises `NameTaken`."""
        path = path.removeprefix("/")
        key = GroupId(uuid) if uuid else group_id(path)
        if path in self._paths or key in self._groups:
            raise NameTaken(f"group {path!r} or its UUID exists")
        parent_path = path.rpartition("/")[0]
        parent = None
        if parent_path:
            parent = self.find_group_by_path(parent_path) or self.add_group(parent_path)
        created = EPOCH + timedelta(seconds=len(self._groups))
        parent_id = None if parent is None else parent.id
        group = Group(key, path, parent_id, created, created, description, labels)
        self._groups[key] = group
        self._paths[path] = key
        if parent is not None:
            parent.children.add(key)
        return group

    def rename_group(self, group: Group, new_path: str) -> None:
        """Move `group` and its descendants to `new_path` under the same parent. UUIDs stay. Raises `NameTaken`."""
        new_path = new_path.removeprefix("/")
        if new_path in self._paths:
            raise NameTaken(f"group {new_path!r} exists")
        if new_path.rpartition("/")[0] != group.path.rpartition("/")[0]:
            raise ValueError("a rename keeps the parent")
        old = group.path
        for member in (group, *self._descendants(group)):
            del self._paths[member.path]
            member.path = new_path + member.path.removeprefix(old)
            self._paths[member.path] = member.id

    def add_person(self, person: Person) -> None:
        """Take in a person who is in no group yet. Raises `NameTaken`."""
        if person.username in self._usernames or person.id in self._people:
            raise NameTaken(f"person {person.username[:64]!r} or their UUID exists")
        self._people[person.id] = person
        self._usernames[person.username] = person.id
        self._people_list = None

    def remove_person(self, person: Person) -> None:
        """Delete a person for good, as IAM does after its grace period: the username is free again."""
        for key in person.groups:
            self._groups[key].members.discard(person.id)
            self._sorted_members.pop(key, None)
        del self._people[person.id]
        del self._usernames[person.username]
        self._people_list = None

    def join(self, person: Person, group: Group) -> None:
        """Make `person` a member of `group` and of each of its ancestors."""
        for key in self._with_ancestors(group):
            self._groups[key].members.add(person.id)
            person.groups.add(key)
            self._sorted_members.pop(key, None)

    def leave(self, person: Person, group: Group) -> None:
        """Take `person` out of `group` and of each of its descendants; ancestors stay."""
        for member_of in (group, *self._descendants(group)):
            member_of.members.discard(person.id)
            person.groups.discard(member_of.id)
            self._sorted_members.pop(member_of.id, None)

    def set_active(self, person: Person, active: bool, now: datetime) -> None:
        """Activate or deactivate; memberships stay either way, as in IAM."""
        person.active = active
        person.last_modified = now

    def _with_ancestors(self, group: Group) -> Iterable[GroupId]:
        key: GroupId | None = group.id
        while key is not None:
            yield key
            key = self._groups[key].parent

    def _descendants(self, group: Group) -> list[Group]:
        found: list[Group] = []
        open_groups = [group]
        while open_groups:
            children = [self._groups[key] for key in open_groups.pop().children]
            found.extend(children)
            open_groups.extend(children)
        return found
