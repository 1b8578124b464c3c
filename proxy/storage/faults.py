"""What can be wrong with a database, or with what it is told to store."""


class StorageFault(Exception):  # noqa: N818 - it is what is wrong with the database, not with the code.
    """The database cannot be used as it is. The message names the file and says what would help."""


class ConstraintFault(Exception):  # noqa: N818 - it is what the database found, not an error of its own.
    """The schema does not allow what a command would write, such as an id that is taken. Nothing was written.

    It is the command's fault or the rules', and comes again with that command. The database is well, and the
    other commands of the batch may be tried without it.
    """
