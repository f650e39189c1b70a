"""The SCIM endpoints: `/scim/Users`, `/scim/Me`, `/scim/Groups` and their members and subgroups.

All need the scope `scim:read`. `filter` is ignored, as up to IAM 1.12. Writing is not played.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from .access import SCIM_READ, require_scim_accepted, require_scope
from .errors import scim_error
from .instance import Instance
from .listing import answer_list, scim_answer
from .records import Group
from .shapes import ALWAYS_SHOWN, Json, only


async def users(instance: Instance, request: Request) -> Response:
    """`GET /scim/Users`: everybody, in no order."""
    _open(instance, request)
    everybody = instance.directory.list_people()
    return _listed(request, answer_list(instance, request, everybody, instance.draughtsman.user))


async def user(instance: Instance, request: Request) -> Response:
    """`GET /scim/Users/{id}`."""
    _open(instance, request)
    uuid = request.path_params["id"]
    person = instance.directory.find_person_by_id(uuid)
    if person is None:
        raise scim_error(404, f"No user mapped to id '{uuid}'")
    return scim_answer(_selected(request, instance.draughtsman.user(person, single=True)))


async def me(instance: Instance, request: Request) -> Response:
    """`GET /scim/Me`: the person behind a user's token; a client's own token has none."""
    grant = require_scope(instance, request, SCIM_READ)
    require_scim_accepted(request)
    person = instance.directory.find_person_by_id(grant.sub) if grant.is_for_person else None
    if person is None:
        raise scim_error(404, "No user linked to the current token")
    return scim_answer(instance.draughtsman.user(person, single=True))


async def groups(instance: Instance, request: Request) -> Response:
    """`GET /scim/Groups`: every group, in no order, without members."""
    _open(instance, request)
    every_group = instance.directory.list_groups()
    return _listed(request, answer_list(instance, request, every_group, instance.draughtsman.group))


async def group(instance: Instance, request: Request) -> Response:
    """`GET /scim/Groups/{id}`: without members."""
    _open(instance, request)
    return scim_answer(_selected(request, instance.draughtsman.group(_group(instance, request))))


async def members(instance: Instance, request: Request) -> Response:
    """`GET /scim/Groups/{id}/members`: references by username ascending, inactive people too."""
    _open(instance, request)
    people = instance.directory.list_members(_group(instance, request))
    return scim_answer(answer_list(instance, request, people, instance.draughtsman.member))


async def subgroups(instance: Instance, request: Request) -> Response:
    """`GET /scim/Groups/{id}/subgroups`: direct children by path ascending."""
    _open(instance, request)
    children = instance.directory.list_subgroups(_group(instance, request))
    return scim_answer(answer_list(instance, request, children, instance.draughtsman.subgroup))


def _open(instance: Instance, request: Request) -> None:
    require_scope(instance, request, SCIM_READ)
    require_scim_accepted(request)


def _group(instance: Instance, request: Request) -> Group:
    uuid = request.path_params["id"]
    found = instance.directory.find_group_by_id(uuid)
    if found is None:
        raise scim_error(404, f"No group mapped to id '{uuid}'")
    return found


def _listed(request: Request, body: Json) -> Response:
    body["Resources"] = [_selected(request, row) for row in body["Resources"]]
    return scim_answer(body)


def _selected(request: Request, drawn: Json) -> Json:
    """The attributes the request names, or all of them."""
    asked = request.query_params.get("attributes", "")
    names = {name.strip() for name in asked.split(",") if name.strip()}
    return only(drawn, names | ALWAYS_SHOWN) if names else drawn
