"""Gans data platform: collects what moves people and keeps it, with its history, in MySQL.

``sources`` speak HTTP and a provider's format; ``collect`` says what one refresh of one table means;
``tables`` is the database model; ``storage`` writes frames to databases; ``defs`` is the Dagster side;
``sandbox`` stands in for every provider on a laptop.
"""
