"""Faults of one site in one task, after which a run continues; any other error stops the run."""


class SiteFault(RuntimeError):
    """A site cannot carry out this task; the message is one line that may leave the site."""


class DeadlineExceeded(SiteFault):
    """The deadline passed before training finished; the message says how much was left."""


class NotFinite(SiteFault):
    """A loss, gradient or output is NaN or infinite; the message names site, round and batch."""
