"""Values: records that nobody changes once they are made. mypy holds everyone to that.

A frozen dataclass checks it once more at run time, field by field, and so takes four times as long to make. One
verification makes some thirty of them on its way.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

__all__ = ["value"]

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:

    def value(*, frozen: bool, slots: bool):  # noqa: ANN201 -- its type is that of `dataclass`, above
        """`@value(frozen=True, slots=True)`: compared and hashed by its fields."""
        assert frozen
        return dataclass(slots=slots, unsafe_hash=True)
