"""IAM's own search endpoints under `/iam`: find by name, label, group and username, and UI search.

All need the scope `iam:admin.read`. `filter` on a by-group find is played with IAM's fault: the
conditions are joined without brackets, so it returns people who are not in the group, and each of
them once per group they are in (INDIGO IAM 1.12 repository query). Never send it.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .access import ADMIN_READ, require_scim_accepted, require_scope
from .directory import Directory
from .errors import scim_error
from .instance import Instance
from .listing import answer_list, scim_answer
from .paging import read_page
from .records import Group, Person
from .shapes import SEARCH_ATTRIBUTES, only, single_response


async def group_by_name(instance: Instance, request: Request) -> Response:
    """`GET /iam/group/find/byname?name=`: one group by its exact path, or an empty list with 200."""
    _open(instance, request)
    found = instance.directory.find_group_by_path(_asked(request, "name"))
    return scim_answer(
        single_response(None if found is None else instance.draughtsman.group(found))
    )


async def groups_by_label(instance: Instance, request: Request) -> Response:
    """`GET /iam/group/find/bylabel?name=&value=`: groups with that label, in no order."""
    _open(instance, request)
    name, value = _asked(request, "name"), request.query_params.get("value")
    found = [
        group
        for group in instance.directory.list_groups()
        if any(label.name == name and label.value == value for label in group.labels)
    ]
    return scim_answer(answer_list(instance, request, found, instance.draughtsman.group))


async def accounts_by_group(instance: Instance, request: Request) -> Response:
    """`GET /iam/account/find/bygroup/{id}`: whole users by username; 10 unless `count` is given."""
    _open(instance, request)
    uuid = request.path_params["id"]
    read_page(request.url.path, request.query_params)
    group = instance.directory.find_group_by_id(uuid)
    if group is None:
        raise scim_error(400, f"Group does not exist: {uuid}")
    wanted = request.query_params.get("filter")
    rows = instance.directory.list_members(group)
    if wanted is not None:
        rows = _leaking_filter(instance.directory, group, wanted)
    return scim_answer(answer_list(instance, request, rows, instance.draughtsman.user))


async def account_by_username(instance: Instance, request: Request) -> Response:
    """`GET /iam/account/find/byusername?username=`: one user, or an empty list with 200."""
    _open(instance, request)
    found = instance.directory.find_person_by_username(_asked(request, "username"))
    return scim_answer(single_response(None if found is None else instance.draughtsman.user(found)))


async def search_accounts(instance: Instance, request: Request) -> Response:
    """`GET /iam/account/search`: at most 10 users by given and family name, and no `schemas`."""
    require_scope(instance, request, ADMIN_READ)
    wanted = request.query_params.get("filter", "").lower()
    found = [person for person in instance.directory.list_people() if _matches(person, wanted)]
    found.sort(key=lambda person: (person.given_name.lower(), person.family_name.lower()))
    draughtsman = instance.draughtsman
    body = answer_list(
        instance, request, found, lambda person: only(draughtsman.user(person), SEARCH_ATTRIBUTES)
    )
    del body["schemas"]
    return JSONResponse(body)


async def search_groups(instance: Instance, request: Request) -> Response:
    """`GET /iam/group/search`: at most 10 groups by path, and no `schemas`."""
    require_scope(instance, request, ADMIN_READ)
    wanted = request.query_params.get("filter", "").lower()
    found = [group for group in instance.directory.list_groups() if wanted in group.path.lower()]
    found.sort(key=lambda group: group.path)
    body = answer_list(instance, request, found, instance.draughtsman.group)
    del body["schemas"]
    return JSONResponse(body)


def _open(instance: Instance, request: Request) -> None:
    require_scope(instance, request, ADMIN_READ)
    require_scim_accepted(request)


def _asked(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if value is None:
        raise scim_error(400, f"Required parameter '{name}' is not present")
    return value


def _leaking_filter(directory: Directory, group: Group, wanted: str) -> list[Person]:
    """Rows of `in this group and username like … or email like … or name like …`.

    One row per person and membership, because the query joins memberships.
    """
    needle = wanted.lower()
    rows: list[Person] = []
    for person in sorted(directory.list_people(), key=lambda person: person.username):
        elsewhere = (person.email, person.given_name, person.family_name)
        matches_elsewhere = any(needle in text.lower() for text in elsewhere)
        for membership in person.groups:
            in_group = membership == group.id and needle in person.username.lower()
            if in_group or matches_elsewhere:
                rows.append(person)
    return rows


def _matches(person: Person, wanted: str) -> bool:
    texts = (person.username, person.email, person.given_name, person.family_name)
    return any(wanted in text.lower() for text in texts)
