"""Surface EMG of two wrists while typing: files in the layout of emg2qwerty, read, written, and made up."""
