"""Music: pieces from files and archives as tokens, a study of models that write it, and what they write to be heard."""
