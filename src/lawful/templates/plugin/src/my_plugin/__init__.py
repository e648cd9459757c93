"""A law, a reader, a corpus, a study and a section of the page for lawful; pyproject.toml names each."""
