"""Federated fine-tuning of 3D medical foundation models, without a scan leaving its site."""

__version__ = "0.1.0"
