"""Faults of a database, and of what it is asked to store."""


class StorageFault(Exception):  # noqa: N818 - the fault is the database's, not the code's.
    """The database cannot be used as it is. The message names the file and says what would help."""


class StorageLost(StorageFault):
    """The database was lost while it was served: nothing that this process does can bring it back."""


class ConstraintFault(Exception):  # noqa: N818 - the database found it, and is well.
    """The schema refuses what a command writes, such as an id that is taken. Nothing was written.

    The fault is the command's or the rules', and returns with that command. The database is well, and the
    other commands of the batch may be tried without it.
    """
