"""What runs a network on the device, and what it needs of arena, flash and time."""
