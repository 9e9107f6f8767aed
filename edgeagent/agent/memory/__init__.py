"""Learning from interactions: solved traces, kept in a file of the user's, shown as examples."""
