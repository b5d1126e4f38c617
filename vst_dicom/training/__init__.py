"""Cohorts, folds, features, fit, baselines and evaluation."""
