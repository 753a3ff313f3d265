"""Local training, the feature cache and prediction at one site."""
