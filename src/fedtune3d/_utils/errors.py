"""The one kind of error that a user can mend."""


class InputError(ValueError):
    """The user's input is at fault.

    The message is one line: which file or key, what was expected, what came, what to do. The command line prints it
    and exits with 2; nothing was half-written.
    """


class ScanError(InputError):
    """One scan is at fault; with ``on_bad_scan: skip`` it is left out, counted and listed instead."""
