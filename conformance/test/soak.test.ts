/** A small part of `npm run soak`: models in turn keep their bits, on one thread and on two. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { loadModel } from '@grim/runtime';
import { loadModel as loadThreads } from '@grim/runtime/threads';
import { describe, expect, it } from 'vitest';
import { soakModels } from '../soak/models.ts';
import { growth, soak } from '../soak/soak.ts';

const DATA = process.env['GRIM_DATA'] ?? '';

describe('four models in turn', () => {
  const worker = () => new Worker(new URL(import.meta.resolve('@grim/runtime/threads-worker')));
  it.for([
    [1, (grim: Uint8Array) => loadModel(grim)],
    [2, (grim: Uint8Array) => loadThreads(grim, { threads: 2, worker })],
  ] as const)('keep their bits, and buffers stay, on threads: %i', async ([threads, load], ctx) => {
    if (!existsSync(join(DATA, 'models'))) ctx.skip('GRIM_DATA is not there: no models');
    const models = soakModels(DATA, { threads, pieceCycles: 5000 });
    const { different, memory } = await soak(models, { runs: 400, every: 40, load });
    expect(different).toBe(0);
    expect(memory).toHaveLength(11);
    expect(growth(memory, 'external')).toBeLessThan(0.05);
  });
});
