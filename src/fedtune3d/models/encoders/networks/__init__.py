"""Networks from which encoders are built; they have no specification of their own."""
