"""What a question costs: points for each object that it may bring, as Shopify prices them before it answers."""

from collections.abc import Mapping
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)

MUTATION: Final = 10
CONNECTION: Final = 2
COST_MAX: Final = 1000  # of one question
FREE: Final = (
    "pageInfo",
    "quantities",
    "userErrors",
    "changes",
    "nodes",
)  # they come with what they belong to


def cost(schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]) -> int:
    """The price of the (one) operation of a valid document."""
    operation = next(node for node in document.definitions if isinstance(node, OperationDefinitionNode))
    if operation.operation is OperationType.MUTATION:
        return MUTATION
    fragments = {
        node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
    }
    return _Prices(schema, variables, fragments).of(operation.selection_set, schema.query_type)


class _Prices:
    def __init__(
        self,
        schema: GraphQLSchema,
        variables: Mapping[str, Any],
        fragments: Mapping[str, FragmentDefinitionNode],
    ) -> None:
        self._schema = schema
        self._variables = variables
        self._fragments = fragments

    def of(self, selections: SelectionSetNode | None, parent: Any) -> int:
        total = 0
        for node in selections.selections if selections else ():
            if isinstance(node, InlineFragmentNode):
                named = node.type_condition.name.value if node.type_condition else parent.name
                total += self.of(node.selection_set, self._schema.get_type(named))
            elif isinstance(node, FragmentSpreadNode):
                fragment = self._fragments[node.name.value]
                total += self.of(
                    fragment.selection_set, self._schema.get_type(fragment.type_condition.name.value)
                )
            elif isinstance(node, FieldNode):
                total += self._of_field(node, parent)
        return total

    def _of_field(self, node: FieldNode, parent: Any) -> int:
        name = node.name.value
        if node.selection_set is None:
            return 0
        kind = get_named_type(parent.fields[name].type)
        inner = self.of(node.selection_set, kind)
        if name == "nodes" and isinstance(parent, GraphQLObjectType) and parent is self._schema.query_type:
            return self._length(node, "ids") * (1 + inner)
        if name in FREE:
            return inner
        if kind.name.endswith("Connection"):
            return CONNECTION + self._number(node, "first", 50) * (1 + inner)
        if any(given.name.value == "first" for given in node.arguments or ()):  # a list with a length
            return self._number(node, "first", 50) * (1 + inner)
        return 1 + inner

    def _length(self, node: FieldNode, argument: str) -> int:
        value = next((given.value for given in node.arguments or () if given.name.value == argument), None)
        if isinstance(value, VariableNode):
            return len(self._variables.get(value.name.value) or ())
        return len(value.values) if isinstance(value, ListValueNode) else 1

    def _number(self, node: FieldNode, argument: str, otherwise: int) -> int:
        value = next((given.value for given in node.arguments or () if given.name.value == argument), None)
        if isinstance(value, VariableNode):
            return int(self._variables.get(value.name.value) or otherwise)
        return int(value.value) if isinstance(value, IntValueNode) else otherwise
