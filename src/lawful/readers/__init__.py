"""Readers of what run trackers and trainers write, one file each; the base class is lawful.plugins.Reader."""
