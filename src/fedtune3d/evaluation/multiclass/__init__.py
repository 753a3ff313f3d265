"""Statistics of a model that predicts one of three or more classes."""
