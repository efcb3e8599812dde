"""Learning from data: ViTPain, its evaluation and its scores."""
