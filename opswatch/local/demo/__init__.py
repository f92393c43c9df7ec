"""The demo: the app with Azurite, a simulated ARM and a receiver, through every outcome."""
