/**
 * The second pass of a product whose K is split: adds the sums of all ranges in their order, so that a result has the same
 * bits in every run, then residual and activation.
 */
import { type Epilogue, epilogueName } from '../kernels/family.ts';
import { finishText } from './epilogue.ts';
import { type Dispatch, float, groupsFor, INVOCATION, shaderText } from './shader.ts';

interface Partials {
  readonly n: number;
  readonly m: number;
  /** Words, as all that follow. */
  readonly y: number;
  /** From one row of C to the next. */
  readonly yRow: number;
  readonly residual: number;
  /** [parts, m, n] */
  readonly partial: number;
  readonly parts: number;
}

export function addPartials(epilogue: Epilogue, sizes: Partials): Dispatch {
  const { n, m, y, yRow, residual, partial, parts } = sizes;
  const name = `f32_add_partials${epilogueName(epilogue)}`;
  const code = () =>
    shaderText(name, ['n', 'm', 'y', 'yRow', 'residual', 'partial', 'parts'], {
      body: [
        `let i = ${INVOCATION};`,
        'if (i >= args.n * args.m) { return; }',
        'var sum = 0.0;',
        `for (var p = 0; p < args.parts; p++) { sum += ${float('arena', 'args.partial + p * args.n * args.m + i')}; }`,
        'let at = i / args.n * args.yRow + i % args.n;',
        ...(epilogue.residual ? [`sum += ${float('arena', 'args.residual + at')};`] : []),
        ...finishText(epilogue, 'sum'),
        'arena[args.y + at] = bitcast<u32>(sum);',
      ],
    });
  const cost = {
    bytes: 4 * n * m * (parts + 1 + (epilogue.residual ? 1 : 0)),
    products: 0,
    loads: 0,
    memory: 0,
    invocations: 64,
    sums: 1,
  };
  return { shader: { name, code }, groups: groupsFor(n * m), args: [n, m, y, yRow, residual, partial, parts], cost };
}
