/**
 * Finished layers on disk, one file each, so that a run that was interrupted, even by `kill -9`, goes on where it was: a
 * file is there whole or not at all, says by its hash that it is undamaged, and by its name which run it belongs to.
 */
import nodeFs from 'node:fs';
import { join } from 'node:path';
import type { OneShotState } from '@grim/prune';
import { about } from '../errors.ts';
import { readRegularFile, writeWhole } from '../files.ts';
import { sha256 } from './examples.ts';

export interface LayerStore {
  /** The layers of that run that stand without a gap from the first one on. */
  load(fingerprint: string): OneShotState | undefined;
  /** Writes the layers that are not there yet. @throws {GrimError} GRIM_CLI_WRITE, as when the disk is full */
  save(state: OneShotState): void;
}

type Layer = OneShotState['layers'][number];

/** Names of the files that {@link layerStore} writes, and of the one that `grim train` writes. */
const KEPT_FILE = /^((\d{5}|plan|curves)-[0-9a-f]{16}\.json|training\.checkpoint)$/;

/** @param folder  made when the first layer is there */
export function layerStore(folder: string): LayerStore {
  const pathOf = (fingerprint: string, index: number) =>
    join(folder, `${String(index).padStart(5, '0')}-${fingerprint}.json`);
  let saved = 0;
  return {
    load(fingerprint) {
      const layers: Layer[] = [];
      for (;;) {
        const layer = readPart<Layer>(pathOf(fingerprint, layers.length), 'layer');
        if (!layer) break;
        layers.push(layer);
      }
      saved = layers.length;
      return layers.length > 0 ? { version: 1, fingerprint, layers } : undefined;
    },
    save({ fingerprint, layers }) {
      about(folder, () => nodeFs.mkdirSync(folder, { recursive: true }));
      for (; saved < layers.length; saved++) {
        const layer = JSON.stringify(layers[saved]);
        const content = `{\n"schema": "grim.prune-layer/1",\n"sha256": "${sha256(layer)}",\n"layer": ${layer}\n}\n`;
        const path = pathOf(fingerprint, saved);
        about(path, () => writeWhole(path, content, { kind: 'report', force: true, inputs: [] }));
      }
    },
  };
}

/** What a search found, kept as layers are: a second search would time the machine anew, and find another plan. */
interface PartStore<T> {
  load(): T | undefined;
  save(part: T): void;
}

/** @param key  of all that the search depends on */
export function partStore<T>(folder: string, kind: 'plan' | 'curves', key: string): PartStore<T> {
  const path = join(folder, `${kind}-${sha256(key).slice(0, 16)}.json`);
  return {
    load: () => readPart<T>(path, kind),
    save(part) {
      about(folder, () => nodeFs.mkdirSync(folder, { recursive: true }));
      // A side of a block that is the whole side of a matrix is infinite, which JSON cannot say.
      const text = JSON.stringify(part, (_, value: unknown) => (value === Number.POSITIVE_INFINITY ? 'whole' : value));
      const content = `{\n"schema": "grim.prune-${kind}/1",\n"sha256": "${sha256(text)}",\n"${kind}": ${text}\n}\n`;
      about(path, () => writeWhole(path, content, { kind: 'report', force: true, inputs: [] }));
    },
  };
}

/** Undefined where there is none, or a damaged one: the layer is then computed again. */
function readPart<T>(path: string, name: string): T | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readRegularFile(path));
    const { sha256: hash, [name]: part } = JSON.parse(text) as Record<string, unknown>;
    if (sha256(JSON.stringify(part)) !== hash) return undefined;
    return JSON.parse(JSON.stringify(part), (_, value: unknown) =>
      value === 'whole' ? Number.POSITIVE_INFINITY : value,
    ) as T;
  } catch {
    return undefined;
  }
}

/** Removes the files of finished layers, or the checkpoint, and the folder unless something else lies there. */
export function removeLayers(folder: string): void {
  try {
    for (const name of nodeFs.readdirSync(folder)) if (KEPT_FILE.test(name)) nodeFs.unlinkSync(join(folder, name));
    nodeFs.rmdirSync(folder);
  } catch {
    // What stays is in nobody's way.
  }
}
