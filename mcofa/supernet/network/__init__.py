"""The supernet and its subnets as torch modules."""
