"""Images and their classes, and the batches that training takes."""
