"""What each stage costs, against the limit of what it must do: ``make bench``."""
