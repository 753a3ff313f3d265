"""What one site does: prefix cache, local training, prediction."""
