"""Rankwise where scikit-learn's estimators are used: pipelines, cross-validation, searches, joblib."""

from rankwise.estimators.classifier import RankwiseClassifier as RankwiseClassifier

__all__ = ["RankwiseClassifier"]
