"""The networks that encoders are made of: blocks without a specification of their own."""
