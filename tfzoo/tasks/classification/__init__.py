"""Classes, several labels or a number for texts."""
