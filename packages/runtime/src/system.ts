/**
 * All that the runtime asks of the platform: I/O, memory, compiling, time. One object, so that a test can make any
 * single call fail, and so that one file states what the runtime touches.
 */
import { fail, quote } from './errors.ts';

export interface System {
  fetch(input: string | URL | Request, init: RequestInit): Promise<Response>;
  /** The bytes of a local file; undefined where there are no local files. */
  readFile(path: string | URL): AsyncIterable<Uint8Array> | undefined;
  /** A buffer for a part of the file. */
  allocate(bytes: number): Uint8Array<ArrayBuffer>;
  /** A memory that never grows. */
  memory(pages: number): WebAssembly.Memory;
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
  compile(bytes: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module>;
  instantiate(module: WebAssembly.Module, imports: WebAssembly.Imports): Promise<WebAssembly.Instance>;
  /** Milliseconds; only differences matter, and they may be coarse or negative. */
  now(): number;
  /** Lets the event loop turn once. */
  pause(): Promise<void>;
}

/** The part of Node that is used, without naming Node: browsers have no such types. */
interface FileSystem {
  statSync(path: string | URL): { isFile(): boolean };
  openSync(path: string | URL): number;
  readSync(file: number, target: Uint8Array): number;
  closeSync(file: number): void;
}

/** Blocking reads of a piece each: a stream of Node takes longer to set up than most models take to read. */
async function* pieces(fs: FileSystem, path: string | URL): AsyncGenerator<Uint8Array> {
  const file = fs.openSync(path);
  try {
    for (let length = 1; length > 0; ) {
      const piece = new Uint8Array(2 ** 18);
      length = fs.readSync(file, piece);
      yield piece.subarray(0, length);
    }
  } finally {
    fs.closeSync(file);
  }
}

export const SYSTEM: System = {
  fetch: (input, init) => fetch(input, init),
  readFile(path) {
    // No import of node:fs, static or dynamic: bundlers and service workers refuse it.
    const { process } = globalThis as { process?: { getBuiltinModule?(name: string): FileSystem } };
    const fs = process?.getBuiltinModule?.('node:fs');
    // A pipe or device may never end.
    if (fs && !fs.statSync(path).isFile()) fail('BAD_SOURCE', `model file: ${fileName(path)} is no file.`);
    return fs && pieces(fs, path);
  },
  allocate: (bytes) => new Uint8Array(bytes),
  memory: (pages) => new WebAssembly.Memory({ initial: pages, maximum: pages }),
  validate: (bytes) => WebAssembly.validate(bytes),
  compile: (bytes) => WebAssembly.compile(bytes),
  instantiate: (module, imports) => WebAssembly.instantiate(module, imports),
  now: () => performance.now(),
  pause: () => new Promise((resolve) => setTimeout(resolve)),
};

/** The last part of a path, for messages: they may be shown to others. */
export function fileName(path: string | URL): string {
  return quote(String(path).split(/[?#]/)[0]?.split(/[/\\]/).at(-1) || path);
}
