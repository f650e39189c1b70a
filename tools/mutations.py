"""Every small way in which a check can be taken out of a module, or bent.

`mutations_of` reads a module's source and gives one `Mutation` per change: a `raise` or a bare call removed, a
comparison turned or shifted by one, an operand of `and`, `or`, `not` dropped, a whole number shifted, a member of a
closed set of words or a row of a table taken out, a hook not passed on. Texts for people (details, f-strings, slices of
what is shown) are left alone. It runs nothing; `tools/mutate.py` does.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

_TURNED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change to one module: where, what it said, what was done to it."""

    line: int
    said: str
    done: str
    source: str
    """The whole module with the change in it."""


def mutations_of(source: str, only: frozenset[str] = frozenset()) -> Iterator[Mutation]:
    """Every mutation of a module; with `only`, of these functions and constants alone."""
    tree = ast.parse(source)
    for node in _looked_at(tree, only):
        for done, replacement in _changes(node):
            yield Mutation(node.lineno, ast.unparse(node), done, _with(tree, node, replacement))


def _looked_at(tree: ast.Module, only: frozenset[str]) -> Iterator[ast.expr | ast.stmt]:
    roots: list[ast.AST] = [tree]
    if only:
        roots = [node for node in ast.walk(tree) if _name(node) in only]
    for root in roots:
        yield from _walk(root)


def _name(node: ast.AST) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case _:
            return ""


def _walk(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Depth first, without what is only shown: f-strings, slices, annotations, raised details."""
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "type_ignores"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.JoinedStr | ast.Slice) or not isinstance(child, ast.AST):
                continue
            if isinstance(child, ast.expr | ast.stmt):
                yield child
            if not isinstance(child, ast.Raise):
                yield from _walk(child)


def _changes(node: ast.expr | ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Raise():
            yield "not raised", ast.Pass()
        case ast.Expr(value=ast.Call()):
            yield "not called", ast.Pass()
        case ast.Compare():
            yield from _comparisons(node)
        case ast.BoolOp(values=values):
            for index, value in enumerate(values):
                rest = values[:index] + values[index + 1 :]
                smaller = rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
                yield f"without `{ast.unparse(value)}`", smaller
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "without `not`", operand
        case ast.AugAssign(op=ast.Add() | ast.Sub()):
            turned = copy.copy(node)
            turned.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            yield "turned", turned
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            yield "turned", ast.BinOp(node.left, op, node.right)
        case ast.Constant(value=bool()):
            yield "turned", ast.Constant(not node.value)
        case ast.Constant(value=int(number)):
            yield f"{number + 1}", ast.Constant(number + 1)
            yield f"{number - 1}", ast.Constant(number - 1)
        case ast.Set(elts=members) | ast.Tuple(elts=members, ctx=ast.Load()) if _words(members):
            for index, member in enumerate(members):
                rest = members[:index] + members[index + 1 :]
                kept = ast.Tuple(rest, ast.Load())
                yield f"without {ast.unparse(member)}", kept
        case ast.Tuple(elts=rows, ctx=ast.Load()) if _is_table(rows):
            for index, row in enumerate(rows):
                yield (
                    f"without {ast.unparse(row)}",
                    ast.Tuple(rows[:index] + rows[index + 1 :], ast.Load()),
                )
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="split")):
            words = text.split()
            for word in words:
                kept_text = ast.Constant(" ".join(other for other in words if other != word))
                yield (
                    f"without {word!r}",
                    ast.Call(ast.Attribute(kept_text, "split", ast.Load()), [], []),
                )
        case ast.Call(keywords=keywords):
            for keyword in keywords:
                if isinstance(keyword.value, ast.Name) and keyword.value.id.startswith("_"):
                    rest_of = [other for other in keywords if other is not keyword]
                    yield f"without {keyword.arg}", ast.Call(node.func, node.args, rest_of)
        case ast.Dict(keys=keys, values=values):
            for index, key in enumerate(keys):
                smaller_dict = ast.Dict(
                    keys[:index] + keys[index + 1 :], values[:index] + values[index + 1 :]
                )
                yield f"without {ast.unparse(key) if key else '**'}", smaller_dict
        case _:
            return  # no check of its own


def _comparisons(node: ast.Compare) -> Iterator[tuple[str, ast.AST]]:
    for index, op in enumerate(node.ops):
        for other in _TURNED[type(op)]:
            ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
            changed = ast.Compare(node.left, ops, node.comparators)
            yield f"`{ast.unparse(changed)}`", changed


def _words(members: list[ast.expr]) -> bool:
    return len(members) > 0 and all(
        isinstance(member, ast.Constant) and isinstance(member.value, str) for member in members
    )


def _is_table(rows: list[ast.expr]) -> bool:
    """Whether these are rows of one table: calls of one and the same constructor."""
    made_by = {ast.unparse(row.func) if isinstance(row, ast.Call) else "" for row in rows}
    return len(rows) > 1 and len(made_by) == 1 and "" not in made_by


def _with(tree: ast.Module, node: ast.AST, replacement: ast.AST) -> str:
    # Changed in place, written down, and taken back: copying the tree for each change is slow.
    parent, field, index = _place(tree, node)
    _put(parent, field, index, replacement)
    try:
        return ast.unparse(tree)
    finally:
        _put(parent, field, index, node)


def _place(tree: ast.AST, node: ast.AST) -> tuple[ast.AST, str, int | None]:
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is node:
                return parent, field, None
            if isinstance(value, list):
                for index, child in enumerate(value):
                    if child is node:
                        return parent, field, index
    raise LookupError("no such node")


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node
