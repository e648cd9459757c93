"""Code written by hand for speed. Each piece names the plain code that it equals, and how much faster it is."""
