"""Runs code and says in one sentence what went wrong; all of it inside the sandbox."""

from __future__ import annotations

import _ast
import errno
import os
import sys
from types import TracebackType
from typing import NamedTuple, cast

FILE_NAME = "<code>"
_MAX_SENTENCE_CHARS = 300

_NOT_HERE = {errno.EPERM, errno.EACCES, errno.ENOENT, errno.ENOSYS, errno.EROFS}


class Result(NamedTuple):
    """What code comes to beside what it prints.

    Attributes:
        value: The value of a last expression, as text.
        variable: The variable that the last statement sets, for code that printed nothing.
    """

    value: str = ""
    variable: str = ""


def evaluate(code: str) -> Result:
    """Run code and return what it comes to."""
    tree = cast("_ast.Module", compile(code, FILE_NAME, "exec", _ast.PyCF_ONLY_AST))
    names: dict[str, object] = {"__name__": "__main__", "__builtins__": __builtins__}
    last = tree.body[-1] if tree.body else None
    if isinstance(last, _ast.Expr):
        tree.body.pop()
        exec(compile(tree, FILE_NAME, "exec"), names)
        value = eval(compile(_ast.Expression(last.value), FILE_NAME, "eval"), names)
        return Result() if value is None else Result(value=_shown(value))
    exec(compile(tree, FILE_NAME, "exec"), names)
    name = _assigned_name(last)
    if name is None or name not in names:
        return Result()
    return Result(variable=f"{name} = {_shown(names[name])}")


def sentence(error: BaseException, code: str, memory_bytes: int) -> str:
    """Return what a model needs to know of an error: kind, message, line, and a hint."""
    kind = type(error).__name__
    if isinstance(error, SyntaxError):
        text, line = str(error.msg), error.lineno
    else:
        text, line = _message(error), _line(error.__traceback__)
    where = ""
    lines = code.splitlines()
    if line is not None and 0 < line <= len(lines):
        where = f" in line {line}: {lines[line - 1].strip()[:80]}"
    parts = (f"{kind}: {text}" if text else kind, where, _hint(error, memory_bytes))
    return " ".join("".join(parts).split())[:_MAX_SENTENCE_CHARS]


def _shown(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def _assigned_name(statement: object) -> str | None:
    target: object = None
    if isinstance(statement, _ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, _ast.AnnAssign | _ast.AugAssign):
        target = statement.target
    return target.id if isinstance(target, _ast.Name) else None


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the code's own class may do anything
        return ""


def _line(traceback: TracebackType | None) -> int | None:
    """Return the innermost line of the code itself."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == FILE_NAME:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _hint(error: BaseException, memory_bytes: int) -> str:
    if isinstance(error, MemoryError):
        return f"; more than {memory_bytes >> 20} MiB cannot be used"
    if isinstance(error, ModuleNotFoundError):
        standard = (error.name or "").partition(".")[0] in sys.stdlib_module_names
        return "" if standard else "; only Python's standard library is installed"
    if isinstance(error, EOFError):
        return "; there is no input, write the values into the code"
    if isinstance(error, OSError) and error.errno in _NOT_HERE:
        return "; there are no files but those the code makes, no network and no other programs"
    if isinstance(error, RuntimeError) and "new thread" in _message(error):
        return "; there are no threads"
    return ""


def write_all(descriptor: int, text: str) -> None:
    """Write text to a file descriptor without any buffer that code could have replaced."""
    data = text.encode("utf-8", "replace")
    while data:
        data = data[os.write(descriptor, data) :]
