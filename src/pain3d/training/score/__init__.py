"""Asks a trained model about pictures of faces: found, cut out, scored, and shown with what the model looked at."""
