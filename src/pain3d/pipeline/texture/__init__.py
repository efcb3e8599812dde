"""From a head to a texture that a painter made: views, painting, back-projection, fusing, completing, de-lighting."""
