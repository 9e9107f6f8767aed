"""Validated configuration: model recipes, device profiles, suites, engine settings and budgets."""
