"""The Flower app: the installed package's two halves under the names that Flower looks for."""

from fedtune3d.federation.flower.client_app import app as client
from fedtune3d.federation.flower.server_app import app as server

__all__ = ["client", "server"]
