/**
 * Runs mutated cases against a target and sorts what happens. A target returns or throws a GrimError; anything else is a
 * finding, and so is an error that programs or terminals could not take.
 */
import { GrimError } from '../../src/errors.ts';
import { Random } from './random.ts';
import { concat } from './wire-tree.ts';

export interface Campaign {
  readonly seed: number;
  readonly cases: number;
  /** First case; others are skipped, so that one case can be replayed. Default 0. */
  readonly first?: number;
  /** The bytes of a case, and what was done to make them. */
  readonly make: (random: Random) => { readonly bytes: Uint8Array; readonly how: readonly string[] };
  readonly target: (bytes: Uint8Array) => void;
  /** Called now and then with the number of cases done. */
  readonly onProgress?: (done: number) => void;
}

interface Finding {
  readonly index: number;
  readonly how: readonly string[];
  readonly bytes: Uint8Array;
  readonly what: string;
}

interface CampaignResult {
  /** Code of the GrimError, `ok`, or `finding` → number of cases. */
  readonly outcomes: ReadonlyMap<string, number>;
  readonly findings: readonly Finding[];
  /** The case that took longest. */
  readonly slowest: { readonly index: number; readonly ms: number; readonly bytes: number };
}

const MAX_FINDINGS = 20;

export function runCampaign(campaign: Campaign): CampaignResult {
  const outcomes = new Map<string, number>();
  const findings: Finding[] = [];
  let slowest = { index: -1, ms: 0, bytes: 0 };
  const first = campaign.first ?? 0;
  for (let index = first; index < first + campaign.cases; index++) {
    const { bytes, how } = campaign.make(new Random(campaign.seed, index));
    const began = performance.now();
    const { outcome, what } = outcomeOf(campaign.target, bytes);
    const ms = performance.now() - began;
    if (ms > slowest.ms) slowest = { index, ms, bytes: bytes.length };
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (what !== undefined) {
      const small = minimise(bytes, (candidate) => outcomeOf(campaign.target, candidate).what === what);
      findings.push({ index, how, bytes: small, what });
      if (findings.length >= MAX_FINDINGS) break;
    }
    if (index % 10_000 === 9_999) campaign.onProgress?.(index + 1 - first);
  }
  return { outcomes, findings, slowest };
}

/** `what`: why this is a finding, without anything that changes as the case shrinks. */
export function outcomeOf(
  target: (bytes: Uint8Array) => void,
  bytes: Uint8Array,
): { readonly outcome: string; readonly what?: string } {
  try {
    target(bytes);
    return { outcome: 'ok' };
  } catch (error) {
    if (!(error instanceof GrimError)) return { outcome: 'finding', what: describe(error) };
    const flaw = flawOf(error);
    return flaw === undefined ? { outcome: error.code } : { outcome: 'finding', what: `${error.code}: ${flaw}` };
  }
}

/** What is wrong with an error that is of the right class. */
function flawOf(error: GrimError): string | undefined {
  if (!/^GRIM_(IR|ONNX)_[A-Z_]+$/.test(error.code)) return 'not a code';
  if (/[\p{Cc}\p{Cf}\p{Cs}]/u.test(error.message.replaceAll('\n', ' '))) return 'message with invisible characters';
  if (error.message.length > 4000) return 'message of more than 4,000 characters';
  try {
    structuredClone(error.details);
  } catch {
    return 'details are not plain data';
  }
  return undefined;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${typeof error}`;
  const place = /\/([\w-]+\.ts:\d+)/.exec(error.stack ?? '')?.[1] ?? '';
  return `${error.name} at ${place}: ${error.message.replaceAll(/\d+/g, '#').slice(0, 80)}`;
}

const ATTEMPTS = 2000;

/** A smaller input that still shows the finding: ever smaller ranges are cut out while it does. */
function minimise(bytes: Uint8Array, shows: (candidate: Uint8Array) => boolean): Uint8Array {
  let best = bytes;
  let attempts = ATTEMPTS;
  for (let size = bytes.length >> 1; size >= 1 && attempts > 0; size >>= 1)
    for (let at = 0; at < best.length && attempts > 0; attempts--) {
      const candidate = concat([best.subarray(0, at), best.subarray(at + size)]);
      if (candidate.length < best.length && shows(candidate)) best = candidate;
      else at += size;
    }
  return best;
}
