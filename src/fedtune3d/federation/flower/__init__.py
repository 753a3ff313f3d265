"""The same rounds on Flower's deployment engine: the sites are other machines, and Flower is the way to reach them."""
