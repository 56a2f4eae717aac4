"""What the domains share: resources, and what every asset reports."""
