"""Predicting the accuracy of archs from measured ones."""
