"""Estimators in the conventions of scikit-learn and sktime; they train as `qrnn train` does."""
