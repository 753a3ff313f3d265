"""Faults of one site in one task, after which a run continues; any other error stops the run."""


class SiteFault(RuntimeError):
    """A site cannot carry out this task; the message is one line for the site's own log."""

    @property
    def public(self) -> str:
        """The line that may leave the site, with no number that follows from its scans."""
        return str(self)


class DeadlineExceeded(SiteFault):
    """The deadline passed before training finished; the message says how much was left, from which counts follow."""

    public = "the deadline passed before the training was done"


class NotFinite(SiteFault):
    """A loss, gradient or output is NaN or infinite; the message names site, round and batch, or the scan."""

    public = "a loss, gradient or output is NaN or infinite; lower the learning rate or check the scans"
