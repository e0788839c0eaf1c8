"""Python of a workflow's author, looked at and never run: that it can be read, and that it defines `main(inputs)`."""

import ast
import warnings
from collections.abc import Iterator

_DEEPEST = 300


def check_python(source: str) -> list[str]:
    """What keeps the code from being run, each naming its line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the author's code, not about ours
            tree = ast.parse(source)
    except SyntaxError as broken:
        return [f"line {broken.lineno or 1}: {broken.msg}"]
    except (RecursionError, MemoryError):
        return ["the code is nested too deeply: take it apart"]
    except ValueError as broken:  # a NUL, or half of a surrogate pair
        return [f"the code cannot be read: {broken}"]
    too_deep = _too_deep(tree)
    return [f"line {too_deep}: nested too deeply: take it apart"] if too_deep else list(_check_main(tree))


def _too_deep(tree: ast.Module) -> int:
    """The line where the code is nested deeper than it may be; 0 if nowhere."""
    level: list[tuple[ast.AST, int]] = [(tree, 1)]
    for _ in range(_DEEPEST):
        level = [
            (child, getattr(child, "lineno", line)) for node, line in level for child in ast.iter_child_nodes(node)
        ]
        if not level:
            return 0
    return level[0][1]


def _check_main(tree: ast.Module) -> Iterator[str]:
    named = [each for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    main = next((each for each in reversed(named) if each.name == "main"), None)
    if main is None:
        yield "define a function main(inputs): what it returns is the output"
    elif isinstance(main, ast.AsyncFunctionDef):
        yield f"line {main.lineno}: main must not be async"
    elif not _takes_one(main.args):
        yield f"line {main.lineno}: main takes one argument, the inputs: write def main(inputs)"


def _takes_one(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    named_only = any(default is None for default in arguments.kw_defaults)
    return (positional >= 1 or arguments.vararg is not None) and required <= 1 and not named_only
