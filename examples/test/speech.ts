/** WAV files of 16 kHz, mono, 16 bits, one after the other. */

const HEADER = 44;

/** @param clips  each with the shortest header there is */
export function speech(clips: readonly Uint8Array[]): Uint8Array {
  const [first] = clips;
  if (!first) throw new Error('no clips');
  const sounds = clips.map((clip) => clip.subarray(HEADER));
  const bytes = sounds.reduce((sum, { length }) => sum + length, 0);
  const whole = new Uint8Array(HEADER + bytes);
  whole.set(first.subarray(0, HEADER));
  const view = new DataView(whole.buffer);
  view.setUint32(4, HEADER - 8 + bytes, true);
  view.setUint32(HEADER - 4, bytes, true);
  let at = HEADER;
  for (const sound of sounds) {
    whole.set(sound, at);
    at += sound.length;
  }
  return whole;
}
