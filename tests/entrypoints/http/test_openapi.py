"""The OpenAPI document says everything of every route: what it takes, what it answers, how it fails."""

from __future__ import annotations

import pytest

from idmap.domain import introspection, issuer_document
from idmap.domain.reasons import Reason
from idmap.entrypoints.http.app import surface
from idmap.entrypoints.http.problems import STATUS
from tests.entrypoints.http.test_entrances import TABLE

OPEN_DOCUMENTS = {
    "ChangeDocument.body",
    "RunDocument.plan",
    "RulesDocument.document",
    "SavedRulesDocument.document",
    "RulesSchemaDocument.if",
    "RulesSchemaDocument.then",
    "RulesSchemaDocument.else",
    "RulesSchemaDocument.$defs",
    "KeyDocument.key",
}
"""Members that are objects of somebody else's: a change's, a plan's, the site's rules, an issuer's key."""


def test_every_answer_has_a_schema_whose_members_are_all_known() -> None:
    """A route that answers with just any object fails here, and so does a document that is not `exact`."""
    document = surface().openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                if status == "304":
                    assert "content" not in answer
                    continue
                for content in answer["content"].values():
                    schema = content["schema"]
                    known = {"$ref", "anyOf"} & schema.keys() or schema.get("type") == "string"
                    assert known, f"{method} {path} {status}"
    given = {n: s for n, s in document["components"]["schemas"].items() if s["type"] == "object"}
    assert [
        n for n, schema in given.items() if schema.get("additionalProperties") is not False
    ] == []
    free = {
        f"{name}.{member}"
        for name, schema in given.items()
        if not name.endswith("Request")
        for member, value in schema["properties"].items()
        if any(one.get("additionalProperties") is True for one in (value, *value.get("anyOf", ())))
    }
    assert free == OPEN_DOCUMENTS


def test_an_issuers_document_says_every_member_of_a_profile() -> None:
    """One table reads profiles; OpenAPI's type of them has the same members, and the same may be missing."""
    schemas = surface().openapi()["components"]["schemas"]
    profile = schemas["IssuerDocument"]
    assert profile["properties"].keys() == issuer_document._READERS.keys()
    assert profile["properties"].keys() - profile["required"] == issuer_document._ADDED_LATER.keys()
    assert schemas["IntrospectionDocument"]["properties"].keys() == introspection._MEMBERS


@pytest.mark.parametrize("entrance", TABLE)
def test_every_operation_says_what_opens_it(entrance: str) -> None:
    """The table of entrances is the one that people review."""
    names = {"api": "token", "admin": "administrator"}
    paths = surface().openapi()["paths"]
    for line in TABLE[entrance]:
        method, path = line.split()
        if path == "/openapi.json":
            continue
        security = paths[path][method.lower()].get("security")
        wanted = None if entrance == "open" else [{names.get(entrance, entrance): []}]
        assert security == wanted, line


def test_a_status_has_the_codes_of_the_one_table() -> None:
    """As many schemas of problems as there are statuses; each code in that of its status."""
    schemas = surface().openapi()["components"]["schemas"]
    for reason in Reason:
        status = STATUS[reason]
        if f"Problem{status}" in schemas:
            assert str(reason) in schemas[f"Problem{status}"]["properties"]["code"]["enum"]
    assert schemas["Problem404"]["properties"]["code"]["enum"] == ["not_found"]
    assert schemas["Problem413"]["properties"]["code"]["enum"] == ["request_invalid"]


def test_the_openapi_document_describes_every_route() -> None:
    """A summary each, and no route is hidden."""
    document = surface().openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), f"{method} {path}"
            assert operation.get("description"), f"{method} {path}"
