"""Single-line faults of a module: what a tired hand could have written instead.

Left out: docstrings, messages (f-strings, what is raised or logged), annotations, decorators, ``__all__``,
names of files, tolerances up to 1e-6, hexadecimal code points, tags of seeds, and what could not run at all:
a call without a keyword that it needs, or with two arguments of different types in one another's places.
"""

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from mutants.rooms import OPERATORS

OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
TWINS = [("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("any", "all"), ("floor", "ceil")]
TWINS += [
    ("sum", "mean"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
    ("nanmin", "nanmax"),
    ("left", "right"),
]
RENAMED = dict(TWINS) | {right: left for left, right in TWINS}
UNWRAPPED = {"clip", "round", "abs", "sqrt", "log", "exp", "cumsum", "sorted", "softmax", "square"}
UNWRAPPED |= {
    "minimum",
    "maximum",
    "min",
    "max",
    "reversed",
    "unique",
    "within_ceiling",
    "rounded",
    "log2",
    "tanh",
}
SILENT = {
    "strict",
    "dtype",
    "encoding",
    "exist_ok",
    "parents",
    "missing_ok",
    "copy",
    "indent",
    "set_to_none",
    "flush",
}
MESSAGES = {"warn", "debug", "info", "warning", "error", "echo", "print", "progress", "log_progress"}
SYMMETRIC = {"min", "max", "minimum", "maximum"}
TOLERANCE = 1e-6
Replacements = Iterator[tuple[ast.expr | ast.stmt, str]]


@dataclass(frozen=True)
class Fault:
    """One fault in one line.

    Attributes:
        module: ``room/module.py``.
        function: dotted name of the function or class around it, ``""`` at the module's level.
        old, new: source of what is replaced, and what replaces it.
        number: which of the function's places that read so.
        line: where it is now.
        span: offsets in the module's bytes of what is replaced.
    """

    module: str
    function: str
    old: str
    new: str
    number: int
    line: int
    span: tuple[int, int]

    @property
    def key(self) -> str:
        """What names it across runs, as long as its function says the same there."""
        again = f" #{self.number + 1}" if self.number else ""
        return f"{self.module} {self.function}{again}: {self.old} -> {self.new}"

    def applied(self, source: bytes) -> bytes:
        """A module's source with the fault in it."""
        return source[: self.span[0]] + self.new.encode() + source[self.span[1] :]


def faults(module: str) -> list[Fault]:
    """Every fault that can be planted in a module."""
    source = (OPERATORS / "mashbill" / module).read_bytes()
    return list(_Finder(module, source).found())


def sample(candidates: list[Fault], seed: int, count: int) -> list[Fault]:
    """The faults drawn by a seed: one a line at most, and a line drawn stays drawn when others change."""

    def lot(fault: Fault) -> str:
        return hashlib.sha256(f"{seed} {fault.key}".encode()).hexdigest()

    drawn: dict[tuple[str, int], Fault] = {}
    for fault in sorted(candidates, key=lot):
        drawn.setdefault((fault.module, fault.line), fault)
    return list(drawn.values())[:count]


class _Finder:
    """Walks a module and yields its faults."""

    def __init__(self, module: str, source: bytes) -> None:
        self.module = module
        self.source = source
        self.tree = ast.parse(source)
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.counts: dict[tuple[str, str, str], int] = {}

    def found(self) -> Iterator[Fault]:
        """Every fault, in the order of the source."""
        for fault in self._inside(self.tree, "", returns=""):
            if fault.old != fault.new and not fault.old.startswith("0x"):
                yield fault

    def _inside(self, node: ast.AST, function: str, returns: str) -> Iterator[Fault]:
        for name, child in _children(node):
            if name in ("annotation", "returns", "decorator_list") or _message(child):
                continue
            if isinstance(node, ast.ExceptHandler) and name == "type":
                continue
            if isinstance(node, ast.keyword) and node.arg in SILENT:
                continue
            below, result = function, returns
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                below = f"{function}.{child.name}".strip(".")
                result = _returns(child)
            for old, new in _replacements(child, result):
                yield self._fault(function, old, new)
            yield from self._inside(child, below, result)

    def _fault(self, function: str, old: ast.expr | ast.stmt, new: str) -> Fault:
        first, last = (
            self._offset(old.lineno, old.col_offset),
            self._offset(old.end_lineno or 0, old.end_col_offset or 0),
        )
        text = " ".join(self.source[first:last].decode().split())
        place = (function, text, new)
        number = self.counts.get(place, 0)
        self.counts[place] = number + 1
        return Fault(self.module, function, text, new, number=number, line=old.lineno, span=(first, last))

    def _offset(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield name, child


def _returns(node: ast.AST) -> str:
    return ast.unparse(node.returns) if isinstance(node, ast.FunctionDef) and node.returns else ""


def _message(node: ast.AST) -> bool:
    """Whether a node and all in it is text for people, or says nothing about numbers."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
        return True
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("__all__", "OUTPUTS"):
        return True
    if isinstance(node, ast.Assign) and "_TAG" in ast.unparse(node.targets[0]):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    return isinstance(node, ast.Call) and (
        _called(node) in MESSAGES or _called(node).endswith(("Error", "TypeVar", "Field"))
    )


def _called(node: ast.Call) -> str:
    """The last part of what is called."""
    return ast.unparse(node.func).rsplit(".", 1)[-1]


def _replacements(node: ast.AST, returns: str) -> Replacements:  # noqa: PLR0912
    """Places within a node, each with a text to put there."""
    match node:
        case ast.BinOp() if not _text_or_path(node):
            if type(node.op) in OPERATIONS:
                yield node, _with(node, op=OPERATIONS[type(node.op)]())
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
            yield node, f"({ast.unparse(node.operand)})"
        case ast.Compare(ops=[op]):
            for other in COMPARISONS[type(op)]:
                yield node, _with(node, ops=[other()])
        case ast.BoolOp():
            yield node, _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.Constant():
            for value in _other_constants(node.value):
                yield node, value
        case ast.IfExp():
            yield node, _with(node, body=node.orelse, orelse=node.body)
        case ast.If(test=ast.Name() | ast.Attribute() | ast.Call()):
            yield node.test, f"(not {ast.unparse(node.test)})"
        case ast.Call():
            yield from _other_calls(node)
        case ast.Slice():
            if node.upper is not None and not isinstance(node.upper, ast.Constant):
                yield node.upper, f"({ast.unparse(node.upper)}) + 1"
            if node.lower is not None and not isinstance(node.lower, ast.Constant):
                yield node.lower, f"({ast.unparse(node.lower)}) + 1"
        case ast.Tuple(elts=[first, second], ctx=ast.Load()) if not isinstance(first, ast.Slice):
            if isinstance(first, ast.Name | ast.Attribute) and isinstance(second, ast.Name | ast.Attribute):
                yield node, f"({ast.unparse(second)}, {ast.unparse(first)})"
        case _:
            yield from _other_statements(node, returns)


def _other_statements(node: ast.AST, returns: str) -> Replacements:
    constants = {"float": "0.0", "int": "0", "bool": "True"}
    match node:
        case ast.Expr(value=ast.Call() as call) if not _message(call):
            yield node, "pass"
        case ast.AugAssign():
            yield node, "pass"
            if type(node.op) in OPERATIONS:
                yield node, _with(node, op=OPERATIONS[type(node.op)]())
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            if returns in constants:
                yield value, constants[returns]
            elif returns == "np.ndarray":
                yield value, f"({ast.unparse(value)}) * 0"
        case ast.Break() | ast.Continue():
            yield node, "pass"


def _other_constants(value: object) -> list[str]:
    if isinstance(value, bool):
        return [str(not value)]
    if isinstance(value, int):
        other = value + 1 if value <= 10 else value // 2
        return [str(other), "0"] if value > 1 else [str(1 - value)]
    if isinstance(value, float) and abs(value) > TOLERANCE:
        return [repr(value * 2), repr(value / 2)]
    return []


def _other_calls(node: ast.Call) -> Replacements:
    name = _called(node)
    if name in RENAMED:
        if isinstance(node.func, ast.Attribute):
            yield node, _with(node, func=ast.Attribute(node.func.value, RENAMED[name], ast.Load()))
        elif isinstance(node.func, ast.Name):
            yield node, _with(node, func=ast.Name(RENAMED[name], ast.Load()))
    if name in UNWRAPPED and len(node.args) > 0:
        for argument in node.args if name in SYMMETRIC else node.args[:1]:
            if not isinstance(argument, ast.Starred | ast.GeneratorExp) and (
                name not in SYMMETRIC or node.args[1:]
            ):
                yield node, f"({ast.unparse(argument)})"
    if _exchangeable(node, name):
        yield node, _with(node, args=[node.args[1], node.args[0], *node.args[2:]])
    for index, keyword in enumerate(node.keywords):
        if keyword.arg == "seed":
            yield keyword.value, "0"
        elif keyword.arg and keyword.arg not in SILENT and keyword.arg not in signatures().required[name]:
            yield node, _with(node, keywords=node.keywords[:index] + node.keywords[index + 1 :])


def _exchangeable(node: ast.Call, name: str) -> bool:
    """Whether a call would run, and say something else, with its first two arguments swapped."""
    names = ast.Name | ast.Attribute | ast.Subscript
    by_name = len(node.args) > 1 and isinstance(node.args[0], names) and isinstance(node.args[1], names)
    return by_name and name not in {"isinstance", "getattr", "zip", *SYMMETRIC} and signatures().alike(name)


def _text_or_path(node: ast.BinOp) -> bool:
    """Whether it joins text or paths, not numbers."""
    sides = (node.left, node.right)
    if any(isinstance(side, ast.JoinedStr | ast.List | ast.Tuple | ast.Dict) for side in sides):
        return True
    if any(isinstance(side, ast.Constant) and isinstance(side.value, str | bytes) for side in sides):
        return True
    words = ("path", "folder", "root", "scratch", "output", "home", "_file", "name")
    text = [ast.unparse(side) for side in sides]
    by_name = text[0].lower().split("(")[0].endswith(words) or text[1].isupper() or "NAME" in text[1]
    return isinstance(node.op, ast.Div) and by_name


class _Signatures:
    """What functions and classes of the package ask for, by their bare names."""

    def __init__(self) -> None:
        self.required: dict[str, set[str]] = defaultdict(set)
        self.types: dict[str, list[str]] = {}
        for path in (OPERATORS / "mashbill").rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.FunctionDef):
                    self.required[node.name] |= _without_default(node.args)
                    by_place = [
                        argument for argument in node.args.args if argument.arg not in ("self", "cls")
                    ]
                    self.types[node.name] = [ast.unparse(a.annotation) for a in by_place if a.annotation]
                elif isinstance(node, ast.ClassDef):
                    fields = [
                        part for part in node.body if isinstance(part, ast.AnnAssign) and not part.value
                    ]
                    self.required[node.name] |= {ast.unparse(part.target) for part in fields}
                    self.types[node.name] = [ast.unparse(part.annotation) for part in fields]

    def alike(self, name: str) -> bool:
        """Whether a call's first two arguments have the same type, as far as is known."""
        types = self.types.get(name, [])
        return len(types) < 2 or types[0] == types[1]


@cache
def signatures() -> _Signatures:
    """The package's."""
    return _Signatures()


def _without_default(arguments: ast.arguments) -> set[str]:
    by_place = [*arguments.posonlyargs, *arguments.args]
    bare = by_place[: len(by_place) - len(arguments.defaults)]
    by_name = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {argument.arg for argument in bare} | {
        argument.arg for argument, value in by_name if value is None
    }


def _with(node: ast.expr | ast.stmt, **parts: Any) -> str:
    """A node's source with some of its parts others, in brackets where it is an expression."""
    fields: dict[str, Any] = {name: parts.get(name, value) for name, value in ast.iter_fields(node)}
    text = ast.unparse(ast.copy_location(type(node)(**fields), node))
    return text if isinstance(node, ast.stmt | ast.Call) else f"({text})"
