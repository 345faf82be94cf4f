"""From Relax to Relax: what makes a program faster and no other, and the kernels of our own that it calls."""
