"""A cache of its own, so that no test reads or writes the user's."""

from lawful.testing.conftest import cache, empty_cache, small_library  # noqa: F401
