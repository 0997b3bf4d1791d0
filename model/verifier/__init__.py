"""The verifier, which tells whether a crop holds a face, and its training."""
