"""The error with which a site refuses a task."""

from fedtune3d._utils.errors import InputError


class Refusal(InputError):
    """A request that a site's policy does not allow. The message names only policy keys, so it may leave the site."""
