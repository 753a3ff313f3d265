"""Sites in several processes of this machine: each process holds some of the sites, and the round loop asks it."""
