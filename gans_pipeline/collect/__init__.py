"""What one refresh of one table means: which cities, concurrently, and what becomes of those that fail."""
