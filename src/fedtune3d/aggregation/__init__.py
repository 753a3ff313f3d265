"""How updates become the next state: one file a rule."""
