"""A study's folder on disk: layout (paths), atomic (writes), lease (claims), json_files (reads), cache."""
