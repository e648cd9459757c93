"""What tests of a domain share with the contracts."""

from lawful.testing.conftest import empty_cache  # noqa: F401
