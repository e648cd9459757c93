"use strict";
// Plays the page's pieces with the browser's own oscillators: nothing is fetched, nothing is stored.
(() => {
  const pieces = JSON.parse(document.getElementById("pieces").textContent);
  const buttons = [...document.querySelectorAll("button.play")];
  const AHEAD = 0.5; // seconds of notes handed to the audio clock at a time
  let audio = null;
  let playing = null;

  function tone(note, start, volume) {
    const [, length, pitch] = note;
    const oscillator = audio.createOscillator();
    const gain = audio.createGain();
    oscillator.type = "triangle";
    oscillator.frequency.value = 440 * 2 ** ((pitch - 69) / 12);
    gain.gain.setValueAtTime(0, start);
    gain.gain.linearRampToValueAtTime(volume, start + 0.01);
    gain.gain.setValueAtTime(volume, start + Math.max(0.02, length * 0.7));
    gain.gain.linearRampToValueAtTime(0, start + Math.max(0.04, length));
    oscillator.connect(gain).connect(playing.out);
    oscillator.start(start);
    oscillator.stop(start + Math.max(0.05, length) + 0.02);
  }

  function step() {
    const now = audio.currentTime - playing.zero;
    while (playing.next < playing.notes.length && playing.notes[playing.next][0] < now + AHEAD) {
      const note = playing.notes[playing.next++];
      tone(note, playing.zero + Math.max(note[0], now), 0.12);
    }
    if (playing.head) playing.head.setAttribute("transform", `translate(${now * playing.scale} 0)`);
    if (now > playing.end) stop();
    else playing.frame = setTimeout(step, 40);
  }

  function stop() {
    if (!playing) return;
    clearTimeout(playing.frame);
    playing.out.disconnect();
    playing.button.textContent = "Play";
    if (playing.head) playing.head.removeAttribute("transform");
    playing = null;
  }

  function play(button) {
    audio = audio || new AudioContext();
    audio.resume();
    const notes = pieces[Number(button.dataset.piece)];
    const head = button.closest("figure")?.querySelector(".head");
    const out = audio.createGain();
    out.connect(audio.destination);
    const end = notes.reduce((last, [onset, length]) => Math.max(last, onset + length), 0);
    playing = { button, notes, out, head, scale: head ? Number(head.dataset.scale) : 0, next: 0, end, zero: audio.currentTime + 0.1 };
    button.textContent = "Stop";
    step();
  }

  for (const button of buttons) {
    button.addEventListener("click", () => {
      const wasThis = playing && playing.button === button;
      stop();
      if (!wasThis) play(button);
    });
  }
})();
