"""What a route of the admin door asks of its caller's roles: said beside the route, checked before the body is read.

    @router.post("/v1/bans", summary="…")
    @needs(Permission.BAN)
    def post_ban(…): …

A route that says nothing cannot be made: its module does not load. OpenAPI shows the permission as
`x-idmap-permission`, and the roles that have it as `x-idmap-roles` and in words.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, TypeVar

from idmap.domain.errors import Refused
from idmap.domain.reasons import Reason
from idmap.domain.roles import ROLE_MEANS, Held, Permission, roles_with

E = TypeVar("E", bound=Callable[..., Any])

_MARK: Final = "idmap_permission"

ROLES_IN_WORDS: Final = "Roles at the admin door: " + "; ".join(
    f"`{role}` {means}" for role, means in ROLE_MEANS.items()
)


def needs(permission: Permission) -> Callable[[E], E]:
    """For the endpoint of an admin route, directly above `def`."""

    def mark(endpoint: E) -> E:
        setattr(endpoint, _MARK, permission)
        return endpoint

    return mark


def permission_of(endpoint: Callable[..., Any]) -> Permission:
    """What was said of it. Raises TypeError when nothing was."""
    permission = getattr(endpoint, _MARK, None)
    if not isinstance(permission, Permission):
        name = getattr(endpoint, "__name__", repr(endpoint))
        raise TypeError(f"{name}: an admin route needs @needs(Permission.…) below its path")
    return permission


def require(held: Held, permission: Permission) -> None:
    """Raises Refused(ROLE_MISSING), which names the roles that would do."""
    if not held.may(permission):
        raise Refused(Reason.ROLE_MISSING, f"for {' or '.join(roles_with(permission))}")


def with_permission(
    endpoint: Callable[..., Any], permission: Permission, options: dict[str, Any]
) -> dict[str, Any]:
    """The options of a route, with what OpenAPI says of its permission."""
    roles = roles_with(permission)
    said = options.get("description") or inspect.cleandoc(endpoint.__doc__ or "")
    extra = {
        "x-idmap-permission": str(permission),
        "x-idmap-roles": [str(role) for role in roles],
        **(options.get("openapi_extra") or {}),
    }
    return {
        **options,
        "description": f"{said}\n\nFor {', '.join(roles)}.",
        "openapi_extra": extra,
    }
