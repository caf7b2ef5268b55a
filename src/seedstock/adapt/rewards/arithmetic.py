"""Arithmetic in text, evaluated without `eval`: integers, + - * / and parentheses, within bounds."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from fractions import Fraction

_MAX_CHARS = 300  # also bounds how deep it nests, for the parser and for us
_MAX_DIGITS = 12
_ALLOWED = re.compile(r"[0-9+\-*/() ]+")
_LONG_NUMBER = re.compile(rf"[0-9]{{{_MAX_DIGITS + 1}}}")
_OPERATIONS: dict[type[ast.operator], tuple[str, Callable[[Fraction, Fraction], Fraction]]] = {
    ast.Add: ("+", lambda left, right: left + right),
    ast.Sub: ("-", lambda left, right: left - right),
    ast.Mult: ("*", lambda left, right: left * right),
    ast.Div: ("/", lambda left, right: left / right),
}


class NotArithmetic(ValueError):
    """The text is not an expression of the allowed kind."""


def evaluate(
    text: str, *, operators: str = "+-*/", low: float | None = None, high: float | None = None
) -> tuple[Fraction, list[int]]:
    """The value of an expression, exact, and the numbers it uses, in order. Raises NotArithmetic.

    `low` and `high` bound the result of every operation. A sign before a number is no operation and is refused.
    """
    text = " ".join(text.replace("×", "*").replace("÷", "/").replace("−", "-").split())
    if len(text) > _MAX_CHARS or not _ALLOWED.fullmatch(text):
        raise NotArithmetic("not an expression of whole numbers")
    if "**" in text or "//" in text or _LONG_NUMBER.search(text):
        raise NotArithmetic("an expression out of bounds")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise NotArithmetic("not an expression") from error
    used: list[int] = []

    def value_of(node: ast.expr) -> Fraction:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            used.append(node.value)
            return Fraction(node.value)
        if not isinstance(node, ast.BinOp) or type(node.op) not in _OPERATIONS:
            raise NotArithmetic("something else than numbers and operations")
        sign, operation = _OPERATIONS[type(node.op)]
        left, right = value_of(node.left), value_of(node.right)
        if sign not in operators or (sign == "/" and right == 0):
            raise NotArithmetic(f"an operation that is not allowed: {sign}")
        value = operation(left, right)
        if (low is not None and value < low) or (high is not None and value > high):
            raise NotArithmetic("an intermediate result out of bounds")
        return value

    return value_of(tree), used
