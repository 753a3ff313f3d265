"""Secure aggregation: the server learns the sum of the sites' updates and nothing else about them."""
