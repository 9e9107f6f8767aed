"""Tools that list and read files below folders that the user named."""
