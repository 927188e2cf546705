"""Measuring the accuracy of networks and subnets."""
