"""Ready-made profiles: what is known of an identity provider before a site says anything, as data.

Each is a part of an issuer's document (`issuer_document`): members that the site does not write are taken from here.
Audiences are never part of it (law 13), and neither is what only the site can know: the namespace of an INDIGO
IAM's URNs is a setting of that instance. The shapes are those of tokens seen in 2026 (research: iam-provisioning §2.6,
§3, §4). For a profile saved by an older version, members it did not know take the value given here.

Sources of the namespaces and authorities, which are compared byte for byte; looked at in November 2026:

- EGI Check-in: its documentation (github.com/EGI-Federation/documentation, content/en/users/aai/check-in/vos/
  expressing-vo-information) gives `urn:mace:egi.eu:group:vo.example.eu:role=member#aai.egi.eu`. A person's claims of
  2026 agree, with `typ: Bearer`; they hold `urn:mace:egi.eu:res:…` with and without the authority, and those without
  do not count.
- Helmholtz ID: another's of 2026 hold `urn:geant:helmholtz.de:group:…#login.helmholtz.de`, a form that
  hifis.net/doc/service-integration/roles/roles-datahub describes. Two more namespaces are in use and left out here:
  `urn:geant:h-df.de`, an older one, and `urn:geant:helmholtz.de:<centre>`, with the centre's own authority.
- Both are in github.com/dianagudu/motley_cue, tests/real_issuers.py: userinfo, introspection and claims, merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from idmap.domain.issuers import GroupsDialect, ProfileName


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """One ready-made profile."""

    summary: str
    members: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    """Members that only the site can know, besides `issuer` and `audiences`."""


_JWT: Final = ["", "at+jwt", "jwt"]
"""INDIGO IAM and WLCG send no `typ`, Keycloak `JWT`, RFC 9068 `at+jwt`."""

_RSA_OR_EC: Final = ["ES256", "RS256"]
"""WLCG profile 1.3: both must be supported."""

_ENTITLEMENTS: Final = {
    "entitlements": GroupsDialect.ENTITLEMENT,
    "eduperson_entitlement": GroupsDialect.ENTITLEMENT,
}
"""AARC-G069; both names are live."""


def _members(groups: Mapping[str, GroupsDialect], **others: Any) -> Mapping[str, Any]:
    """Members as they stand in a document."""
    base = {
        "subject_claim": "sub",
        "algorithms": _RSA_OR_EC,
        "accepted_types": _JWT,
        "groups_claims": {name: str(dialect) for name, dialect in groups.items()},
    }
    return MappingProxyType({**base, **others})


READY_MADE: Final[Mapping[ProfileName, ReadyMade]] = MappingProxyType(
    {
        ProfileName.INDIGO_IAM: ReadyMade(
            "INDIGO IAM, profiles `iam` (its default) and `wlcg`",
            _members({"groups": GroupsDialect.PATH, "wlcg.groups": GroupsDialect.PATH}),
        ),
        ProfileName.INDIGO_IAM_AARC: ReadyMade(
            "INDIGO IAM, profile `aarc`: entitlement URNs without authority",
            _members(_ENTITLEMENTS, urn_authorities=[""]),
            needs=("urn_namespace",),
        ),
        ProfileName.INDIGO_IAM_KC: ReadyMade(
            "INDIGO IAM, profile `kc`: group paths in `roles`",
            _members({"roles": GroupsDialect.PATH}),
        ),
        ProfileName.WLCG: ReadyMade(
            "any issuer of WLCG common JWT profile 1.x",
            _members({"wlcg.groups": GroupsDialect.PATH}, required_claims=["wlcg.ver"]),
        ),
        ProfileName.EGI_CHECKIN: ReadyMade(
            "EGI Check-in: entitlement URNs with roles, as in `vo.example.eu:role=member`",
            _members(
                _ENTITLEMENTS,
                urn_namespace="urn:mace:egi.eu",
                urn_authorities=["aai.egi.eu"],
                accepted_type_claims=["Bearer"],
            ),
        ),
        ProfileName.HELMHOLTZ: ReadyMade(
            "Helmholtz AAI (Unity): entitlement URNs, some names with blanks",
            _members(
                _ENTITLEMENTS,
                urn_namespace="urn:geant:helmholtz.de",
                urn_authorities=["login.helmholtz.de"],
            ),
        ),
        ProfileName.KEYCLOAK: ReadyMade(
            "Keycloak with a group mapper of full paths, and its realm roles",
            _members(
                {
                    "groups": GroupsDialect.KEYCLOAK_PATH,
                    "realm_access": GroupsDialect.ROLES,
                },
                accepted_type_claims=["Bearer"],
            ),
        ),
        ProfileName.GENERIC: ReadyMade(
            "RFC 9068 access tokens, `typ` required, plain paths in `groups`",
            _members({"groups": GroupsDialect.PATH}, accepted_types=["at+jwt"]),
        ),
    }
)
