"""The Flower app: the installed package's two halves under the names that Flower looks for."""

from fedtune3d.federation.flower.client_app import make_client_app
from fedtune3d.federation.flower.server_app import make_server_app
from fedtune3d.workflows.run import run_across
from fedtune3d.workflows.sites import make_hosted_site

client = make_client_app(make_hosted_site)
server = make_server_app(lambda experiment, reach, resume: run_across(experiment, reach, resume=resume, progress=None))

__all__ = ["client", "server"]
