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
import type { FoundPlan } from './find-plan.ts';

export interface LayerStore {
  /** The layers of that run that stand without a gap from the first one on. */
  load(fingerprint: string): OneShotState | undefined;
  /** Writes the layers that are not there yet. @throws {GrimError} GRIM_CLI_WRITE, as when the disk is full */
  save(state: OneShotState): void;
}

type Layer = OneShotState['layers'][number];

/** Names of the files that {@link layerStore} writes, and of the one that `grim train` writes. */
const KEPT_FILE = /^((\d{5}|plan)-[0-9a-f]{16}\.json|training\.checkpoint)$/;

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

/** A plan that was found, kept as layers are: a second search would time the machine anew, and find another one. */
interface PlanStore {
  load(): FoundPlan | undefined;
  save(plan: FoundPlan): void;
}

/** @param key  of all that the search depends on */
export function planStore(folder: string, key: string): PlanStore {
  const path = join(folder, `plan-${sha256(key).slice(0, 16)}.json`);
  return {
    load: () => readPart<FoundPlan>(path, 'plan'),
    save(plan) {
      about(folder, () => nodeFs.mkdirSync(folder, { recursive: true }));
      const text = JSON.stringify(plan);
      const content = `{\n"schema": "grim.prune-plan/1",\n"sha256": "${sha256(text)}",\n"plan": ${text}\n}\n`;
      about(path, () => writeWhole(path, content, { kind: 'report', force: true, inputs: [] }));
    },
  };
}

/** Undefined where there is none, or a damaged one: the layer is then computed again. */
function readPart<T>(path: string, name: string): T | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readRegularFile(path));
    const { sha256: hash, [name]: part } = JSON.parse(text) as Record<string, unknown>;
    return sha256(JSON.stringify(part)) === hash ? (part as T) : undefined;
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
