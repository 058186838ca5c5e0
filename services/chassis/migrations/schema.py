"""What a migration does to the schema with: the part of `alembic.op` that is used here."""

from typing import Protocol

from alembic.runtime.migration import MigrationContext


class Schema(Protocol):
    """`alembic.op` itself: a module, so that no class of alembic's describes it."""

    def execute(self, sqltext: str, /) -> None: ...
    def get_context(self) -> MigrationContext: ...
