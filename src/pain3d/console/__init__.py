"""What every command of pain3d has in common: how it refuses, shows progress, stops, and draws a page."""
