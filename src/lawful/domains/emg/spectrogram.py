"""The log spectrogram that models see: 33 bins an electrode, 125 frames a second or a whole part of that."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft

WINDOW = 64  # samples, 32 ms; these four as the emg2qwerty baseline has them (arXiv:2410.20081, section 5)
HOP = 16  # samples, 8 ms: 125 frames a second
BINS = WINDOW // 2 + 1
FLOOR = 1e-6  # added before the logarithm
_PIECE_FRAMES = 4096  # transformed at a time: 33 MB


def log_spectrogram(samples: np.ndarray, pool: int = 1) -> np.ndarray:
    """[samples, 2, 16] -> float32 [frames, 2, 16, 33]: log10(power + 1e-6), Hann window, not centred.

    The power is |STFT|^2 over the window's energy, averaged over `pool` consecutive frames before the logarithm.
    """
    frames = num_frames(len(samples), pool)
    out = np.empty((frames, *samples.shape[1:], BINS), dtype=np.float32)
    for first, piece in _pieces(samples, frames, pool):
        out[first : first + len(piece)] = piece
    return out


def num_frames(samples: int, pool: int = 1) -> int:
    return max(0, (samples - WINDOW) // HOP + 1) // pool


def _pieces(samples: np.ndarray, frames: int, pool: int) -> Iterator[tuple[int, np.ndarray]]:
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)  # periodic, as torch's
    energy = np.float32((hann**2).sum())
    views = np.lib.stride_tricks.sliding_window_view(samples, WINDOW, axis=0)[::HOP]  # [frames, 2, 16, 64]
    step = max(1, _PIECE_FRAMES // pool)
    for first in range(0, frames, step):
        last = min(first + step, frames)
        spectrum = scipy.fft.rfft(views[first * pool : last * pool] * hann, axis=-1)
        power = (spectrum.real**2 + spectrum.imag**2) / energy
        if pool > 1:
            power = power.reshape(last - first, pool, *power.shape[1:]).mean(axis=1)
        yield first, np.log10(power + np.float32(FLOOR)).astype(np.float32)
