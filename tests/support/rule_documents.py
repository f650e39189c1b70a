"""Rule documents of format 2 for tests: one with every member there is, and what makes small worlds of people."""

from __future__ import annotations

from typing import Any, Final

FIRST, SECOND = "https://iam.example/", "https://second.example/"

FULL: Final[dict[str, Any]] = {
    "format": 2,
    "groups": {"range": "groups"},
    "classes": {
        "personal": {
            "range": "people",
            "primary_group": "/lhc",
            "shell": "/bin/bash",
            "home": "/home/{username}",
            "grace_days": 14,
            "membership_grace_days": 2,
            "approval": "none",
            "username": [
                "preferred",
                {"template": "{given:1}{family}"},
                {"prefix": "hpc", "digits": 4},
            ],
            "username_suffixes": 9,
            "expires": "2030-12-04",
            "node_classes": ["login", "gpu"],
            "local_groups": ["fuse"],
            "slurm": {"account": "lhc", "qos": ["normal"]},
        },
        "course": {
            "kind": "pool",
            "range": "pools",
            "primary_group": {"private": True},
            "shell": "/bin/sh",
            "home": "/home/{username}",
            "username": {"prefix": "course", "digits": 3},
            "size": 40,
        },
        "production": {
            "kind": "shared",
            "name": "atlasprd",
            "range": "people",
            "primary_group": {"issuer": FIRST, "group": "/atlas"},
            "shell": "/bin/bash",
            "home": "/home/{username}",
            "approval": "required",
        },
        "project": {
            "kind": "project",
            "name": "p_{group}",
            "range": "people",
            "primary_group": "/theory",
            "shell": "/bin/bash",
            "home": "/project/{username}",
        },
        "robot": {
            "range": "robots",
            "primary_group": "/lhc",
            "shell": "/sbin/nologin",
            "home": "/nonexistent",
        },
    },
    "rules": [
        {
            "id": "lhc",
            "effect": "account",
            "priority": 10,
            "issuer": FIRST,
            "class": "personal",
            "secondary_groups": ["/lhc/gpu", {"issuer": SECOND, "group": "/guests"}],
            "robots": False,
            "when": {
                "groups": {"any": ["/lhc"], "all": ["/site"], "none": ["/lhc/blocked"]},
                "labels": {"any": ["trained=yes"]},
                "attributes": {"none": ["left=yes"]},
                "assurance": {"any": ["https://refeds.org/assurance/IAP/medium"]},
                "email_domain": {"any": ["example.org"]},
            },
        },
        {
            "id": "urn",
            "issuer": SECOND,
            "class": "course",
            "when": {
                "entitlements": {
                    "any": [
                        "urn:mace:egi.eu:group:vo.example.eu:role=member#aai.egi.eu",
                        "urn:mace:egi.eu:res:gpu#aai.egi.eu",
                    ]
                }
            },
        },
        {"id": "prod", "issuer": FIRST, "group": "/atlas", "class": "production"},
        {"id": "theory", "issuer": FIRST, "group": "/theory", "class": "project"},
        {
            "id": "bots",
            "issuer": FIRST,
            "class": "robot",
            "robots": True,
            "subjects": ["client-1"],
        },
        {
            "id": "more",
            "effect": "add",
            "issuer": FIRST,
            "group": "/lhc/gpu",
            "secondary_groups": ["/lhc/gpu"],
            "node_classes": ["gpu"],
            "local_groups": ["matlab"],
            "slurm": {"account": "gpu", "qos": []},
        },
        {
            "id": "gone",
            "effect": "deny",
            "issuer": FIRST,
            "group": "/retired",
            "grace_days": 3,
            "reason": "left the collaboration",
        },
        {
            "id": "nogpu",
            "effect": "deny",
            "issuer": FIRST,
            "node_classes": ["gpu"],
            "when": {"labels": {"none": ["trained=yes"]}},
        },
    ],
    "demands": [
        {
            "id": "secure",
            "doors": ["ssh:gpu", "api"],
            "issuers": [FIRST],
            "acr": ["https://refeds.org/profile/mfa"],
            "assurance": ["https://refeds.org/assurance/IAP/high"],
            "capabilities": ["compute.create"],
            "max_authentication_age": 3600,
            "keys": "admit",
        }
    ],
    "admins": [
        {"role": "site-admin", "issuer": FIRST, "subject": "anna"},
        {"role": "group-manager", "issuer": FIRST, "group": "/lhc/leads", "manages": ["/lhc"]},
    ],
    "examples": [
        {
            "name": "a member",
            "issuer": FIRST,
            "subject": "somebody",
            "robot": False,
            "groups": ["/lhc", "/site"],
            "entitlements": [],
            "labels": ["trained=yes"],
            "attributes": [],
            "assurance": ["https://refeds.org/assurance/IAP/medium"],
            "email_domain": ["example.org"],
            "expect": {
                "rule": "lhc",
                "secondary_groups": [],
                "node_classes": ["gpu", "login"],
                "local_groups": ["fuse"],
            },
        },
        {"name": "a stranger", "issuer": FIRST, "expect": {"refused": "no_rule_matches"}},
    ],
}
"""Every member of every table, and nothing wrong."""
