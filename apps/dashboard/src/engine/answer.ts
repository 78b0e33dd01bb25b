/** One answer of the network that is open, for what a camera or a microphone gives: many a second, from one loaded model. */
import { GrimError, show } from '@grim/ir';
import { loadModel, type Model } from '@grim/runtime';
import type { Which } from './messages.ts';
import { largest } from './run.ts';
import { classesOf, soundFeatures } from './samples.ts';
import { type Compiled, networkOf, theSession } from './session.ts';

export interface AnswerAsk {
  readonly which: Which;
  /** Pixels as the network takes them, or one second of sound at 8 kHz. */
  readonly values: Float32Array<ArrayBuffer>;
  readonly kind: 'picture' | 'sound';
}

export interface AnswerAnswer {
  readonly ms: number;
  /** Shares by softmax, largest first. */
  readonly classes: readonly { readonly name: string; readonly share: number }[];
}

let loaded: { readonly compiled: Compiled; readonly model: Promise<Model> } | undefined;

/** @throws {GrimError} GRIM_DASHBOARD_BAD_SAMPLE where the network takes something else */
export async function answer({ which, values, kind }: AnswerAsk): Promise<AnswerAnswer> {
  const session = theSession();
  const { compiled } = networkOf(session, which);
  if (loaded?.compiled !== compiled) {
    loaded?.model.then((old) => old.dispose()).catch(() => {});
    loaded = { compiled, model: loadModel(compiled.file) };
  }
  const model = await loaded.model;
  const [[name, info] = []] = Object.entries(model.inputs);
  const given = kind === 'sound' ? soundFeatures(values) : values;
  const wanted = info?.shape.reduce((all, length) => all * length, 1);
  if (name === undefined || wanted !== given.length)
    throw new GrimError(
      'GRIM_DASHBOARD_BAD_SAMPLE',
      `The network takes ${wanted ?? 'no'} values, there are ${given.length}. Open the built-in network for this.`,
    );
  const start = performance.now();
  const outputs = await model.run({ [name]: given });
  const ms = performance.now() - start;
  const [scores = new Float32Array()] = Object.values(outputs);
  const top = largest(scores, scores.length);
  const best = Number(scores[top[0] ?? 0]);
  const weights = top.map((at) => Math.exp(Number(scores[at]) - best));
  const sum = weights.reduce((all, weight) => all + weight, 0);
  const names = classesOf(session.samples.kind);
  return {
    ms,
    classes: top.slice(0, 10).map((at, i) => ({ name: show(names?.[at] ?? `#${at}`), share: (weights[i] ?? 0) / sum })),
  };
}
