"""The files of graph modules: wasm sections, metadata, weights. Nothing of them is run."""
