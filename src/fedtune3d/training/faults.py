"""Faults of one site in one task, which a run survives; any other error is in code or data and stops the run."""


class SiteFault(RuntimeError):
    """A site cannot carry out this task; the message is one line that may leave the site."""


class DeadlineExceeded(SiteFault):
    """The time for this round was over before training was; the message says how far it had come."""


class NotFinite(SiteFault):
    """A loss, gradient or output is NaN or infinite; the message names site, round and batch."""
