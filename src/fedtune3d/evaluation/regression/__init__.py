"""Statistics of a model that predicts a number, such as age."""
