"""The snapshot on its way: where it lies, who signs it, how a node fetches and checks it."""
