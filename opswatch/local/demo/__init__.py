"""The demo: real Azurite, the simulated ARM, the app, a receiver, and every outcome there is."""
