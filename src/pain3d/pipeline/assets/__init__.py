"""Assets that users bring: imported once into a bank of their own, drawn by `synth --assets`."""
