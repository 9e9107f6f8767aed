"""Sources of energy and power: one small file each."""
