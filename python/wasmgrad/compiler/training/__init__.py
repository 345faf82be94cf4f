"""Training steps as models: what is recorded of a torch model, its loss and its optimizer, to be compiled as any is."""
