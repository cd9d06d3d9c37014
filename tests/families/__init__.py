"""Every family of readers that transformers has, built from a tiny checkpoint: `make families`, about ten minutes."""
