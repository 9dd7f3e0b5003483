"""What modules add to errors: what came instead of a module, and where in the tree."""

from __future__ import annotations

from types import FunctionType
from typing import Any


def joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def described(value: Any) -> str:
    """What came instead of a module or tensor, for an error."""
    if isinstance(value, type):
        return f"the class {value.__name__}: add parentheses, {value.__name__}(...)"
    if isinstance(value, FunctionType):
        return f"the function {value.__name__}: use its module (nn.ReLU() for F.relu)"
    return type(value).__name__


def note_path(error: Exception, module: Any) -> None:
    """Add to an error a note that says in which module it arose, such as "in Net.body.2 (ReLU())".

    The innermost module writes the note; each module that the error passes on its way out, and
    that contains the one before it, puts its own name in front.
    """
    known = getattr(error, "_raised_in", None)
    if known is None:
        path, text = "", "" if module.__dict__.get("_module_names") != {} else repr(module)
        note = f"in {text or type(module).__name__}"
    else:
        inner, path, text, old_note = known
        found = next((name for name, m in module.named_modules() if m is inner), None)
        if found is None:
            return
        notes = getattr(error, "__notes__", [])
        if old_note in notes:
            notes.remove(old_note)
        path = ".".join(part for part in (found, path) if part)
        note = f"in {joined(type(module).__name__, path)}" + (f" ({text})" if text else "")
    error._raised_in = (module, path, text, note)  # type: ignore[attr-defined]
    error.add_note(note)


def name_own_init(cls: Any) -> None:
    """Give a layer that shares the __init__ of its base a copy by its own name, by which Python's
    errors about missing arguments will call it."""
    if "__init__" in vars(cls):
        return
    f = cls.__init__
    own = FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, f.__closure__)
    own.__kwdefaults__, own.__annotations__, own.__doc__ = (
        f.__kwdefaults__, f.__annotations__, f.__doc__,
    )  # fmt: skip
    own.__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = own
