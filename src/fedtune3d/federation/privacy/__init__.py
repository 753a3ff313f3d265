"""Control of what leaves a site: the policy gate and the egress log, all that a hospital's reviewer must read."""
