"""The round loop, and the ways to reach the sites."""
