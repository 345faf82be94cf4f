"""Graph modules: compiled models as files, called from Python."""
