"""How the quantum hidden state is carried from step to step: fused, carried, replayed."""
