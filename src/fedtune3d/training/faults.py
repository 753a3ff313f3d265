"""How local training fails other than by bad input."""


class DeadlineExceeded(RuntimeError):
    """The time for this round was over before training was; the message says how far it had come."""


class NotFinite(RuntimeError):
    """A loss, gradient or output is NaN or infinite; the message names site, round and batch."""
