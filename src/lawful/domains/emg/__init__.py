"""Typing by surface EMG of two wrists: files in the layout of emg2qwerty, read, written and made up, and a study."""
