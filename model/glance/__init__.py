"""The glance at a cascade's windows, which spares the verifier most of them, and its training."""
