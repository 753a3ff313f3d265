"""From a head with its skull to a brain in MNI152 space."""
