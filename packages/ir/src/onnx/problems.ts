/** Everything wrong with a model, gathered before anything is thrown: a person wants to hear it all at once. */
import { GrimError, quote } from '../errors.ts';

/** An operator that the table does not have. */
export interface UnsupportedOp {
  readonly op: string;
  readonly domain: string;
  /** Nodes that use it. */
  readonly count: number;
  /** Names of up to 8 of them. */
  readonly nodes: readonly string[];
  /** Multiply-accumulates of those nodes where they can be told from a weight and the declared output. */
  readonly macs?: number;
}

interface Tally {
  readonly op: string;
  readonly domain: string;
  readonly nodes: string[];
  count: number;
  macs: number | undefined;
}

/** What a person reads at most; a file can be wrong in a million places, and each error takes time to make. */
const MOST_ERRORS = 1000;

/** Ends the reading of a model that has {@link MOST_ERRORS}. */
class TooMany extends Error {}

export class Problems {
  readonly errors: GrimError[] = [];
  /** Multiply-accumulates of the nodes that were lost, but for the unsupported ones; undefined: not to be told. */
  lostMacs: number | undefined = 0;
  private readonly tallies = new Map<string, Tally>();

  /** @throws what only {@link attemptAll} catches, when there are enough of them */
  add(error: GrimError): void {
    this.errors.push(error);
    if (this.errors.length >= MOST_ERRORS) throw new TooMany();
  }

  /** {@link attempt} of the whole reading, which ends early when there are too many problems. */
  attemptAll<T>(run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      if (error instanceof GrimError) this.errors.push(error);
      else if (error instanceof TooMany)
        this.errors.push(new GrimError('GRIM_IR_LIMIT', `More than ${MOST_ERRORS} problems: the rest was not read.`));
      else throw error;
      return undefined;
    }
  }

  /** Runs what may fail; what it throws is noted, and undefined returned. */
  attempt<T>(run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof GrimError)) throw error;
      this.add(error);
      return undefined;
    }
  }

  addUnsupported(op: string, domain: string, node: string, macs: number | undefined): void {
    const key = JSON.stringify([domain, op]);
    const tally = this.tallies.get(key) ?? { op, domain, nodes: [], count: 0, macs: undefined };
    tally.count++;
    if (tally.nodes.length < 8) tally.nodes.push(node);
    if (macs !== undefined) tally.macs = (tally.macs ?? 0) + macs;
    this.tallies.set(key, tally);
  }

  /** A supported node that cannot be read for want of what it needs; `macs` undefined: not to be told. */
  addLost(macs: number | undefined): void {
    this.lostMacs = macs === undefined || this.lostMacs === undefined ? undefined : this.lostMacs + macs;
  }

  /** How many have been noted. */
  get count(): number {
    let count = this.errors.length;
    for (const tally of this.tallies.values()) count += tally.count;
    return count;
  }

  get unsupported(): readonly UnsupportedOp[] {
    return Array.from(this.tallies.values(), ({ macs, ...rest }) => (macs === undefined ? rest : { ...rest, macs }));
  }

  /** One error for all unsupported operators, or undefined. */
  get unsupportedError(): GrimError | undefined {
    const operators = this.unsupported;
    if (operators.length === 0) return undefined;
    const shown = operators.slice(0, 20).map(({ op, domain, count, nodes }) => {
      const name = domain === '' ? op : `${domain}.${op}`;
      return `${quote(name)} ×${count} (${nodes.map(quote).join(', ')}${count > nodes.length ? ', …' : ''})`;
    });
    const rest = operators.length > shown.length ? ` and ${operators.length - shown.length} more` : '';
    return new GrimError(
      'GRIM_IR_UNSUPPORTED_OP',
      `${operators.length === 1 ? 'An operator is' : `${operators.length} operators are`} not supported: ${shown.join('; ')}${rest}. Replace them before the export, or express them with operators of the ONNX standard.`,
      { operators, ...this.others(this.errors) },
    );
  }

  private others(errors: readonly GrimError[]): { problems?: readonly unknown[] } {
    if (errors.length === 0) return {};
    return { problems: errors.slice(0, 100).map(({ code, message }) => ({ code, message })) };
  }

  /** @throws {GrimError} the unsupported operators if there are any, else the first problem; `details.problems` has the others */
  throwIfAny(): void {
    if (this.unsupportedError) throw this.unsupportedError;
    const [first, ...others] = this.errors;
    if (!first) return;
    if (others.length === 0) throw first;
    const more = others.length === 1 ? 'one more problem' : `${others.length} more problems`;
    throw new GrimError(first.code, `${first.message} And ${more}: see details.problems.`, {
      ...first.details,
      ...this.others(others),
    });
  }
}
