/**
 * Sounds of one second, 8 kHz, in four classes that only their course in time tells apart: a tone that rises, one that
 * falls, two short ones, one long one; at random pitch, place, length, loudness, with overtones and noise. Seeded.
 */

export const RATE = 8000;
export const WORDS = ['falling', 'long', 'rising', 'twice'] as const;
type Word = (typeof WORDS)[number];

/** Samples from −1 to 1. */
export function sayWord(word: Word, random: () => number): Float32Array {
  const between = (low: number, high: number): number => low + (high - low) * random();
  const samples = new Float32Array(RATE);
  const noise = between(0.005, 0.05);
  for (let i = 0; i < samples.length; i++) samples[i] = noise * (2 * random() - 1);
  const loudness = between(0.2, 0.7);
  const pitch = between(250, 700);
  const overtone = between(0.1, 0.6);
  const length = between(0.45, 0.7);
  const start = between(0.05, 0.95 - length);
  const glide = between(2, 3);
  const tone = (from: number, seconds: number, low: number, high: number): void => {
    let phase = 0;
    const count = Math.floor(seconds * RATE);
    for (let i = 0; i < count; i++) {
      phase += (2 * Math.PI * low * (high / low) ** (i / count)) / RATE;
      // Half a period of a sine, so that nothing clicks.
      const swell = Math.sin((Math.PI * i) / count) ** 0.5;
      const at = Math.floor(from * RATE) + i;
      const value = Math.sin(phase) + overtone * Math.sin(2 * phase) + (overtone / 2) * Math.sin(3 * phase);
      samples[at] = (samples[at] as number) + (loudness / 2) * swell * value;
    }
  };
  if (word === 'rising') tone(start, length, pitch, pitch * glide);
  else if (word === 'falling') tone(start, length, pitch * glide, pitch);
  else if (word === 'long') tone(start, length, pitch, pitch);
  else for (const part of [0, 0.6]) tone(start + part * length, 0.4 * length, pitch, pitch);
  return samples;
}

/** As a WAV file of 16 bits. */
export function wavOf(samples: Float32Array): Uint8Array {
  const bytes = new Uint8Array(44 + 2 * samples.length);
  const view = new DataView(bytes.buffer);
  const text = (at: number, value: string): void => bytes.set(new TextEncoder().encode(value), at);
  text(0, 'RIFF');
  view.setUint32(4, bytes.length - 8, true);
  text(8, 'WAVEfmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, 'data');
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => {
    view.setInt16(44 + 2 * i, Math.round(Math.max(-1, Math.min(1, value)) * 32767), true);
  });
  return bytes;
}
