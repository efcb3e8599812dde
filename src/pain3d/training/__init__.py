"""Learning from data: ViTPain and its evaluation. Empty for now; the data sets come first."""
