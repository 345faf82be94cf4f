"""The command line, one module for each group of commands. It computes nothing; it calls what the other folders do."""
