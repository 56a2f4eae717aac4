"""A local stand-in for all providers, over real HTTP: real geography, invented weather and flights.

Clients reach it by base URL only. It speaks the providers' contracts: their formats, limits, errors and missing fields;
the same seed and clock give the same answers. Nothing here is imported by the rest of the package but these three.
"""

from gans_pipeline.sandbox.app import create_app
from gans_pipeline.sandbox.server import running, serve

__all__ = ["create_app", "running", "serve"]
