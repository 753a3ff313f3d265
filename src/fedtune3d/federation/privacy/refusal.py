"""The answer of a site that will not."""

from fedtune3d._utils.errors import InputError


class Refusal(InputError):
    """What a site's policy does not allow. The line names keys of the policy only, so it may leave the site."""
