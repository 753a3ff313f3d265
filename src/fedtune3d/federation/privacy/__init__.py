"""What may leave a site: the policy gate and the egress log; everything a reviewer at a hospital must read."""
