"""A document of format 2 that says everything there is to say, and edits of it at a place."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

ISSUER: Final = "https://iam.example/"
OTHER: Final = "https://other.example/"
REMOVED: Final = object()
"""In an edit: the member is taken out."""

DOCUMENT: Final[Mapping[str, Any]] = {
    "format": 2,
    "groups": {"range": "groups"},
    "classes": {
        "member": {
            "kind": "personal",
            "range": "people",
            "primary_group": "/lhc",
            "shell": "/bin/bash",
            "home": "/home/{username}",
            "grace_days": 30,
            "membership_grace_days": 7,
            "approval": "required",
            "username": ["preferred", {"prefix": "lhc", "digits": 3}],
            "username_suffixes": 9,
            "expires": "2026-12-04",
            "node_classes": ["login", "gpu"],
            "local_groups": ["gpuusers"],
            "slurm": {"account": "lhc", "qos": ["normal", "long"]},
        },
        "course": {
            "kind": "pool",
            "range": "pools",
            "primary_group": {"private": True},
            "shell": "/bin/bash",
            "home": "/course/{username}",
            "username": {"prefix": "course", "digits": 2},
            "size": 40,
        },
        "production": {
            "kind": "shared",
            "name": "atlasprd",
            "range": "people",
            "primary_group": "/lhc",
            "shell": "/bin/bash",
            "home": "/data/{username}",
        },
        "project": {
            "kind": "project",
            "name": "{group}_prj",
            "range": "people",
            "primary_group": {"issuer": OTHER, "group": "/lab"},
            "shell": "/bin/bash",
            "home": "/projects/{username}",
        },
        "robot": {
            "range": "robots",
            "primary_group": "/lhc",
            "shell": "/bin/sh",
            "home": "/robots/{username}",
        },
    },
    "rules": [
        {
            "id": "lhc",
            "issuer": ISSUER,
            "class": "member",
            "priority": 10,
            "secondary_groups": ["/lhc/gpu", {"issuer": OTHER, "group": "/lab"}],
            "when": {
                "groups": {"any": ["/lhc", "/lhc/gpu"], "all": ["/vo"], "none": ["/lhc/blocked"]},
                "entitlements": {
                    "any": [
                        "urn:mace:egi.eu:group:vo:role=member#aai.egi.eu",
                        "urn:geant:example.org:res:hpc",
                    ]
                },
                "labels": {"all": ["indigo/site=here"]},
                "attributes": {"none": ["contract=ended"]},
                "assurance": {"any": ["https://refeds.org/assurance/IAP/medium"]},
                "email_domain": {"none": ["example.com"]},
            },
        },
        {"id": "course", "issuer": ISSUER, "class": "course", "group": "/course"},
        {"id": "production", "issuer": ISSUER, "class": "production", "group": "/lhc/prod"},
        {"id": "project", "issuer": ISSUER, "class": "project", "group": "/vo"},
        {
            "id": "robots",
            "effect": "account",
            "issuer": ISSUER,
            "class": "robot",
            "robots": True,
            "subjects": ["ci"],
        },
        {
            "id": "gpu",
            "effect": "add",
            "issuer": ISSUER,
            "group": "/lhc/gpu",
            "secondary_groups": ["/lhc/gpu"],
            "node_classes": ["gpu"],
            "local_groups": ["licence"],
            "slurm": {"account": "gpu"},
        },
        {
            "id": "left",
            "effect": "deny",
            "issuer": ISSUER,
            "group": "/left",
            "grace_days": 3,
            "reason": "left the institute",
        },
        {
            "id": "insecure",
            "effect": "deny",
            "issuer": ISSUER,
            "when": {"assurance": {"none": ["https://refeds.org/assurance/IAP/high"]}},
            "node_classes": ["secure"],
        },
    ],
    "demands": [
        {
            "id": "strong",
            "doors": ["ssh:secure", "admin"],
            "issuers": [ISSUER],
            "acr": ["https://refeds.org/profile/mfa"],
            "assurance": ["https://refeds.org/assurance/IAP/high"],
            "capabilities": ["compute.read", "storage.read:/data"],
            "max_authentication_age": 3600,
            "keys": "admit",
        }
    ],
    "admins": [
        {"role": "site-admin", "issuer": ISSUER, "subject": "root-of-all"},
        {"role": "group-manager", "issuer": ISSUER, "group": "/lhc/heads", "manages": ["/lhc"]},
    ],
    "examples": [
        {
            "name": "a member with gpu",
            "issuer": ISSUER,
            "subject": "someone",
            "groups": ["/lhc", "/vo", "/lhc/gpu"],
            "entitlements": ["urn:geant:example.org:res:hpc"],
            "labels": ["indigo/site=here"],
            "attributes": ["x=y"],
            "assurance": ["https://refeds.org/assurance/IAP/medium"],
            "email_domain": ["example.org"],
            "expect": {
                "rule": "lhc",
                "secondary_groups": ["/lhc/gpu"],
                "node_classes": ["login", "gpu"],
                "local_groups": ["gpuusers", "licence"],
            },
        },
        {
            "name": "who left",
            "issuer": ISSUER,
            "groups": ["/left", "/course"],
            "expect": {"refused": "denied_by_rule"},
        },
        {
            "name": "the robot",
            "issuer": ISSUER,
            "subject": "ci",
            "robot": True,
            "expect": {"rule": "robots", "node_classes": ["*", "-secure"]},
        },
    ],
}


def document() -> dict[str, Any]:
    """The whole of it, to be edited."""
    return deepcopy(dict(DOCUMENT))


def edited(pointer: str, value: Any) -> dict[str, Any]:
    """The document with another value at the place, or without what is there."""
    found = document()
    *path, last = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    here: Any = found
    for step in path:
        here = here[int(step) if isinstance(here, list) else step]
    key: Any = int(last) if isinstance(here, list) else last
    if value is REMOVED:
        del here[key]
    elif isinstance(here, list) and key == len(here):
        here.append(value)
    else:
        here[key] = value
    return found
