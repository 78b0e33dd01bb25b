/** Protobuf bytes by hand, for tests that need files no writer would make. */
import { expect } from 'vitest';
import { GrimError } from '../../src/errors.ts';
import { concat, varint } from '../fuzz/wire-tree.ts';

export type Bytes = Uint8Array | readonly number[];

const encoder = new TextEncoder();

export function join(...parts: readonly Bytes[]): Uint8Array {
  return concat(parts.map((part) => Uint8Array.from(part)));
}

export function tag(number: number, wireType: number): Uint8Array {
  return Uint8Array.from(varint(BigInt(number) * 8n + BigInt(wireType)));
}

export function int(number: number, value: number | bigint): Uint8Array {
  return join(tag(number, 0), varint(BigInt(value)));
}

/** A length-delimited field; text becomes UTF-8. */
export function field(number: number, ...parts: readonly (Bytes | string)[]): Uint8Array {
  const body = join(...parts.map((part) => (typeof part === 'string' ? encoder.encode(part) : part)));
  return join(tag(number, 2), varint(BigInt(body.length)), body);
}

/** The smallest model: IR version 8, a graph with the given content, opset 17. */
export function model(...graph: readonly Bytes[]): Uint8Array {
  return join(int(1, 8), field(7, ...graph), field(8, int(2, 17)));
}

/** The GrimError that `run` throws; fails the test when it throws none. */
export function errorOf(run: () => unknown): GrimError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(GrimError);
    return error as GrimError;
  }
  return expect.unreachable('nothing was thrown');
}

export function codeOf(run: () => unknown): string {
  return errorOf(run).code;
}
