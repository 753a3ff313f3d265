"""Federation over Flower's deployment engine: the same rounds, with sites on other machines."""
