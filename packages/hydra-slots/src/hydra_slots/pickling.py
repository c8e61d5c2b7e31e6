"""A task as bytes for its workers, also where it is defined in the main program, with the file names of its code."""

import io
import types
from collections import ChainMap
from collections.abc import Callable
from typing import Any, ClassVar

import cloudpickle


def dumps(value: Any) -> bytes:
    """Like `cloudpickle.dumps`, which drops file names since 3.1.3, so that tracebacks would show no lines of code."""
    with io.BytesIO() as file:
        _Pickler(file).dump(value)
        return file.getvalue()


def _reduced(code: types.CodeType) -> tuple[Any, ...]:
    make, arguments = cloudpickle.CloudPickler.dispatch_table[types.CodeType](code)
    return _restored, (make, arguments, code.co_filename)


def _restored(make: Callable[..., types.CodeType], arguments: tuple[Any, ...], file: str) -> types.CodeType:
    return make(*arguments).replace(co_filename=file)


class _Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
    dispatch_table: ClassVar[Any] = ChainMap({types.CodeType: _reduced}, cloudpickle.CloudPickler.dispatch_table)
