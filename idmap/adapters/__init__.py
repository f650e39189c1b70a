"""One folder per outside system. Adapters implement the application's ports and never import each other."""
