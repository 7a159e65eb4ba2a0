"""What Shopify's connector says and knows is of the published contract, where that is at hand.

The documents are checked against the sandbox's own schema always, and that against the vendor's where the vendor's is there.
"""

import gzip
from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate
from graphql.type import GraphQLEnumType, GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType

from evenstock.connectors.shopify.documents import ALL
from evenstock.connectors.shopify.sandbox import SCHEMA
from evenstock.connectors.shopify.translate import (
    CAME_BACK,
    CANCELLED,
    NOT_SHIPPED,
    READERS,
    SHIPPED,
    SILENT,
    STAYED,
)

CONTRACT = Path(__file__).parents[3] / "shared" / "specs" / "shopify" / "admin_2026-10.graphql.gz"
at_hand = pytest.mark.skipif(not CONTRACT.is_file(), reason=f"{CONTRACT} is absent")


def values_of(enum: str) -> set[str]:
    """The values of an enum of the contract, descriptions left out."""
    found: set[str] = set()
    inside = quoted = False
    with gzip.open(CONTRACT, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(f"enum {enum} {{"):
                inside = True
            elif inside and not quoted and line.startswith("}"):
                return found
            elif inside and '"""' in line:
                quoted ^= line.count('"""') % 2 == 1
            elif inside and not quoted and line.strip():
                found.add(line.split("@")[0].strip())
    raise AssertionError(f"the contract has no enum {enum}")


@at_hand
def test_every_restock_type_is_known_but_the_one_that_says_not_where_the_goods_are() -> None:
    known = {word.upper() for word in {CAME_BACK, *STAYED}}
    assert values_of("RefundLineItemRestockType") - known == {"LEGACY_RESTOCK"}


@at_hand
def test_every_status_of_a_fulfillment_is_known() -> None:
    known = {word.upper() for word in {SHIPPED, *NOT_SHIPPED, CANCELLED}}
    assert values_of("FulfillmentStatus") == known


@at_hand
def test_every_topic_is_one_that_can_be_subscribed() -> None:
    topics = {topic.upper().replace("/", "_") for topic in {*READERS, *SILENT}}
    assert topics <= values_of("WebhookSubscriptionTopic")


# GraphQL ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vendors() -> GraphQLSchema:
    with gzip.open(CONTRACT, "rt", encoding="utf-8") as text:
        return build_schema(text.read(), assume_valid=True)


@pytest.mark.parametrize("document", ALL, ids=lambda document: document.split()[1].partition("(")[0])
def test_every_question_is_one_that_the_sandbox_understands(document: str) -> None:
    assert validate(SCHEMA, parse(document)) == []


@at_hand
@pytest.mark.parametrize("document", ALL, ids=lambda document: document.split()[1].partition("(")[0])
def test_every_question_is_one_that_the_vendor_understands(document: str, vendors: GraphQLSchema) -> None:
    assert validate(vendors, parse(document)) == []


@at_hand
def test_the_sandboxs_schema_is_a_part_of_the_vendors(vendors: GraphQLSchema) -> None:
    ours = {name: kind for name, kind in SCHEMA.type_map.items() if not name.startswith("__")}
    assert ours.keys() <= vendors.type_map.keys()
    for name, kind in ours.items():
        theirs = vendors.type_map[name]
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            assert isinstance(theirs, GraphQLObjectType | GraphQLInterfaceType)
            for field, what in kind.fields.items():
                assert str(what.type) == str(theirs.fields[field].type), f"{name}.{field}"
                for argument, given in what.args.items():
                    assert str(given.type) == str(theirs.fields[field].args[argument].type), (
                        f"{name}.{field}({argument})"
                    )
                needed = {
                    arg for arg, given in theirs.fields[field].args.items() if str(given.type).endswith("!")
                }
                assert needed <= what.args.keys()
        elif isinstance(kind, GraphQLInputObjectType):
            assert isinstance(theirs, GraphQLInputObjectType)
            for field, what in kind.fields.items():
                assert str(what.type) == str(theirs.fields[field].type), f"{name}.{field}"
            needed = {field for field, what in theirs.fields.items() if str(what.type).endswith("!")}
            assert needed <= kind.fields.keys()
        elif isinstance(kind, GraphQLEnumType):
            assert isinstance(theirs, GraphQLEnumType)
            assert kind.values.keys() <= theirs.values.keys()
