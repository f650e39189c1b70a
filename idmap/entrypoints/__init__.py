"""The processes: serve (http), work, sign, agent, verify, and the command line."""
