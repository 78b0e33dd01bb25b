/** The ways to prune with training, at an equal number of steps, and a drawing of what happened before the cut. */
import type { Graph } from '@grim/ir';
import {
  type AdmmOptions,
  type AdmmPeriod,
  finetune,
  pruneAdmm,
  pruneReweighted,
  type ReweightedRound,
  type Target,
  type TrainedResult,
  type Trainer,
} from '@grim/prune';
import type { Io } from '../../apps/cli/src/output.ts';
import { writePlot } from '../../apps/cli/src/reram/plots.ts';
import { writeWhole } from './judge.ts';

export type History = readonly (AdmmPeriod | ReweightedRound)[];

export interface Course {
  readonly trainer: Trainer;
  readonly method: string;
  readonly target: { readonly density: number; readonly block: Exclude<Target['block'], undefined> };
  /** Pruned in one shot: where ADMM and the lasso begin. The trainer of a mask holds it already. */
  readonly start: Graph;
  readonly steps: number;
  /** The highest after the cut. */
  readonly rate: number;
  /** Constant, before the cut. Default half of that. */
  readonly before?: number;
  /** Of ADMM, one a period; default that of `pruneAdmm`. */
  readonly rho?: readonly number[];
  readonly dual?: AdmmOptions['dual'];
  /** Of the steps, before the cut. Default a half. */
  readonly share?: number;
  /** Of the lasso; default that of `pruneReweighted`. */
  readonly strength?: number;
  readonly onRound?: (round: AdmmPeriod | ReweightedRound) => void;
}

const PERIODS = 16;
const REFRESHES = 8;

export async function trained(course: Course): Promise<TrainedResult & { readonly history: History }> {
  const {
    trainer,
    method,
    target,
    start,
    steps,
    rate,
    before = rate / 2,
    rho,
    dual,
    share = 1 / 2,
    strength,
    onRound,
  } = course;
  const penalised = (parts: number) => {
    const each = Math.floor((steps * share) / parts);
    return { ...target, start, steps: each, rate: before, retrain: { steps: steps - parts * each, rate } };
  };
  if (method === 'admm')
    return pruneAdmm(trainer, {
      ...penalised(rho?.length ?? PERIODS),
      ...(rho && { rho }),
      ...(dual && { dual }),
      ...(onRound && { onPeriod: onRound }),
    });
  if (method === 'reweighted')
    return pruneReweighted(trainer, {
      ...penalised(REFRESHES),
      ...{ refreshes: REFRESHES, ...(strength !== undefined && { strength }) },
      ...(onRound && { onRefresh: onRound }),
    });
  if (method !== 'mask') throw new Error(`method ${method}: mask, admm or reweighted is needed`);
  return { ...(await finetune(trainer, { steps, rate })), history: [] };
}

/** Residuals of ADMM and the share of the mask that each projection moved; of the lasso, the share of groups that vanish. */
export async function drawHistory(path: string, title: string, history: History): Promise<void> {
  const points = history.flatMap((round, i) => {
    const values =
      'primal' in round
        ? { '‖W − Z‖ / ‖W‖': round.primal, 'dual residual': round.dual, 'mask moved': round.flipped }
        : { 'groups vanishing': round.vanishing };
    return Object.entries(values).map(([what, value]) => ({ round: i + 1, what, value }));
  });
  const shown = points.filter(({ value }) => Number.isFinite(value) && value > 0);
  const io = { write: ({ content }: { readonly content: Uint8Array | string }) => writeWhole(path, content) };
  await writePlot(
    title,
    { path, force: true, inputs: [] },
    (plot) => ({
      x: { label: 'projection' },
      y: { type: 'log', label: null, grid: true, tickFormat: '~g' },
      color: { legend: false },
      marks: [
        plot.line(shown, { x: 'round', y: 'value', stroke: 'what' }),
        plot.dot(shown, { x: 'round', y: 'value', stroke: 'what', r: 2 }),
        plot.text(
          shown,
          plot.selectLast({ x: 'round', y: 'value', z: 'what', text: 'what', dy: -10, textAnchor: 'end' }),
        ),
      ],
    }),
    io as unknown as Io,
  );
}
