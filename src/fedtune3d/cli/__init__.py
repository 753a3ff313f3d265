"""The commands: parse, call, print; one file per group of commands, terminal tables next to them."""
