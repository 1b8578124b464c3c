"""The functions that carry out batches: one to load and one to write, of the schema's version each.

They hold lists of columns, so that each version of the schema has its own, with the version in their names.
They are made when a database is brought up to that version, and those of earlier versions stay: a process
that was started before goes on calling the functions it knows, while newer ones call newer functions on the
same tables. So a migration must leave the functions of the version before at work: a new column has a
default, and none is renamed or dropped that they name.
"""

import hashlib
from typing import Final

import asyncpg
import msgspec

from proxy.storage.faults import StorageFault
from proxy.storage.placeholders import filled
from proxy.storage.postgres.rare import with_rare
from proxy.storage.queries import FOLDER

TEMPLATE: Final = (FOLDER / "postgres/sql/functions.sql").read_text("utf-8")
"""The text of the functions, but for their version and for lists of columns."""

_DIGEST_OF: Final = "SELECT sha256 FROM batch_functions WHERE version = $1"
_NOTE: Final = "INSERT INTO batch_functions (version, sha256) VALUES ($1, $2)"


class Functions(msgspec.Struct, frozen=True):
    """The functions of one version: the SQL that makes them, and the statements that call them.

    `load` takes the parameters of `load.question`. `write` begins a statement that ends with a change as a
    quoted literal and a closing parenthesis.
    """

    version: int
    sql: str
    sha256: str
    load: str
    write: str

    @classmethod
    def of(cls, version: int, template: str = TEMPLATE) -> "Functions":
        """The functions of a version of the schema."""
        sql = filled(with_rare(template).replace("{version}", str(version)))
        arguments = ", ".join(f"{name} => ${place}" for place, name in enumerate(_LOAD_ARGUMENTS, 1))
        return cls(
            version,
            sql,
            hashlib.sha256(sql.encode()).hexdigest(),
            f"SELECT ledger_load_v{version}({arguments})",
            f"SELECT ledger_write_v{version}(_change => ",
        )

    async def create(self, connection: asyncpg.Connection) -> None:
        """Make them unless they are there, within a transaction in which nobody else changes the schema.

        Raises StorageFault when those of this version have another text: it is frozen with the version.
        """
        found = await connection.fetchval(_DIGEST_OF, self.version)
        if found is None:
            await connection.execute(self.sql)
            await connection.execute(_NOTE, self.version, self.sha256)
        elif found != self.sha256:
            raise StorageFault(
                f"its batch functions of version {self.version} are not those of this version: their text "
                "must never be edited without a migration; run the version they were made with"
            )


_LOAD_ARGUMENTS: Final = (
    *("_owner", "_accounts", "_key_accounts", "_key_ids", "_hold_ids"),
    *("_scope_accounts", "_scope_ids", "_days", "_latest_us", "_rare"),
)
