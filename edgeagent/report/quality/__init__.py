"""What was solved: per category, relative to the base model, and why the rest was not."""
