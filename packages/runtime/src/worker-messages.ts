/** What a page and the worker of a model say to one another, over a port that nobody else has. */
import type { FileManifest, TensorArray } from '@grim/ir';
import { RuntimeError, type RuntimeErrorCode } from './errors.ts';
import type { LoadOptions, LoadProgress } from './load.ts';
import type { Model, Tensors } from './model.ts';

/** An error loses its own fields when it is sent; these are put together again by {@link received}. */
export interface SentError {
  readonly code?: string | undefined;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** The options that are plain data. */
type SentOptions = Pick<LoadOptions, 'device' | 'simd' | 'module' | 'maxBytes'>;

export type ToWorker =
  | { readonly kind: 'load'; readonly options: SentOptions; readonly stage: LoadProgress['stage'] }
  /** The next bytes of the file; none at its end. */
  | { readonly kind: 'bytes'; readonly bytes?: Uint8Array | undefined; readonly error?: SentError | undefined }
  | {
      readonly kind: 'run';
      readonly id: number;
      readonly inputs: Readonly<Record<string, TensorArray>>;
      readonly paced: boolean;
    }
  | { readonly kind: 'warmup'; readonly id: number; readonly paced: boolean }
  | { readonly kind: 'abort'; readonly id: number }
  | { readonly kind: 'reset' }
  | { readonly kind: 'dispose' }
  | { readonly kind: 'ping' };

export type FromWorker =
  /** The file is read on. */
  | { readonly kind: 'more' }
  | { readonly kind: 'progress'; readonly progress: LoadProgress }
  | ({ readonly kind: 'loaded'; readonly manifest: FileManifest } & Pick<
      Model,
      'device' | 'simd' | 'threads' | 'reasons' | 'bytes'
    >)
  | { readonly kind: 'done'; readonly id: number; readonly outputs?: Tensors | undefined }
  /** Without an id: of loading. */
  | { readonly kind: 'failed'; readonly id?: number | undefined; readonly error: SentError }
  | { readonly kind: 'pong' };

/** The part of a MessagePort that both platforms have; `ref` and `unref` say in Node whether it keeps the process alive. */
export interface Port<Out, In> {
  postMessage(message: Out, transfer: Transferable[]): void;
  onmessage: ((event: { readonly data: In }) => void) | null;
  close(): void;
  ref?(): void;
  unref?(): void;
}

export function sent(error: unknown): SentError {
  const { code, message, details } = error as Partial<SentError>;
  const text = String(message ?? error);
  return typeof code === 'string' && code.startsWith('GRIM_') ? { code, message: text, details } : { message: text };
}

export function received({ code, message, details }: SentError): Error {
  return code ? new RuntimeError(code as RuntimeErrorCode, message, details) : new Error(message);
}
