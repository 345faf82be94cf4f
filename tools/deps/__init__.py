"""How the native dependencies are found, fetched and adapted. Standard library only."""
