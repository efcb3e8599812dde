"""Scores pictures of faces with a trained model: found, cut out, predicted, and shown with the model's attention."""
