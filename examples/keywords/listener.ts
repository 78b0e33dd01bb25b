/** Hears a stream of sound, 20 ms by 20 ms, and says what words are in it. */
import keywords from './keywords.grim';
import { frameMfcc, STEP, WINDOW } from './mfcc.ts';

/** The network was trained on clips of one second. */
const FRAMES = 49;
const CERTAIN = 0.9;

/**
 * Two networks begin anew each second, half a second apart: a word that the end of one cuts through lies inside the other.
 * @returns  takes the next 320 samples (16 kHz, −1 to 1); gives a word when one was heard
 */
export async function createListener(): Promise<(samples: Float32Array) => Promise<string | undefined>> {
  const ears = await Promise.all([0, FRAMES >> 1].map(async (frames) => ({ model: await keywords.load(), frames })));
  const window = new Float32Array(WINDOW);
  let silentUntil = 0;
  let now = 0;
  return async (samples) => {
    window.copyWithin(0, STEP);
    window.set(samples, WINDOW - STEP);
    const mfcc = frameMfcc(window);
    let heard: string | undefined;
    now++;
    for (const ear of ears) {
      // `before`, its state, is what its last run left.
      const { logits } = await ear.model.run({ mfcc });
      if (++ear.frames < FRAMES) continue;
      ear.frames = 0;
      ear.model.reset();
      const word = best(logits, ear.model.outputs.logits.labels);
      if (word === undefined || now < silentUntil) continue;
      heard = word;
      // The other one may hear the same word.
      silentUntil = now + FRAMES;
    }
    return heard;
  };
}

function best(logits: Float32Array, labels: readonly string[] = []): string | undefined {
  const top = Math.max(...logits);
  const sum = logits.reduce((all, logit) => all + Math.exp(logit - top), 0);
  const word = labels[logits.indexOf(top)];
  return 1 / sum > CERTAIN && word !== 'silence' && word !== 'unknown' ? word : undefined;
}
