/** The nodes of the graph, one a row with its wires, drawn as far as they are seen. */
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { NodeRow } from '../engine/node-rows.ts';
import { ask } from '../engine-client.ts';
import { set, settings } from '../settings.ts';
import { short } from '../text.ts';
import { Scroll } from './scroll.tsx';

const ROW = 40;
const HEIGHT = 440;
/** Asked for at once, beyond what is seen. */
const MARGIN = 20;
const LANE = 14;

interface Loaded {
  readonly from: number;
  readonly lanes: number;
  readonly rows: readonly NodeRow[];
}

export function GraphList({ total }: { readonly total: number }): VNode {
  const [top, setTop] = useState(0);
  const [loaded, setLoaded] = useState<Loaded>({ from: 0, lanes: 1, rows: [] });
  const first = Math.floor(top / ROW);
  const last = Math.min(total, first + Math.ceil(HEIGHT / ROW) + 1);
  const missing = first < loaded.from || last > loaded.from + loaded.rows.length;
  useEffect(() => {
    if (!missing) return undefined;
    let stale = false;
    const from = Math.max(0, first - MARGIN);
    ask('nodes', { from, to: last + MARGIN }).then(
      ({ rows, lanes }) => stale || setLoaded({ from, rows, lanes }),
      // Another network is being opened; it comes with a list of its own.
      () => {},
    );
    return () => {
      stale = true;
    };
  }, [missing, first, last]);
  return (
    <section class="card" aria-labelledby="graph">
      <h2 id="graph">
        Graph <span class="muted">{total} nodes</span>
      </h2>
      <Scroll kind="nodes" label="Nodes of the graph" style={{ maxHeight: `${HEIGHT}px` }} onScroll={setTop}>
        <ol style={{ height: `${total * ROW}px` }}>
          {loaded.rows.map((row, i) => (
            <Row key={loaded.from + i} row={row} index={loaded.from + i} total={total} lanes={loaded.lanes} />
          ))}
        </ol>
      </Scroll>
    </section>
  );
}

interface RowProps {
  readonly row: NodeRow;
  readonly index: number;
  readonly total: number;
  readonly lanes: number;
}

function Row({ row, index, total, lanes }: RowProps): VNode {
  const { layer } = row;
  const name = <span class="node-name">{row.name}</span>;
  return (
    <li
      class={layer >= 0 && layer === settings.value.layer ? 'selected' : ''}
      style={{ top: `${index * ROW}px`, height: `${ROW}px` }}
      aria-setsize={total}
      aria-posinset={index + 1}
    >
      <Wires row={row} lanes={lanes} />
      <span class={`op ${layer >= 0 ? 'weighted' : ''}`}>{row.op}</span>
      {layer >= 0 ? (
        <button type="button" class="link" onClick={() => set({ layer })}>
          {name}
        </button>
      ) : (
        name
      )}
      <span class="node-shape">{row.shape}</span>
      <span class="node-work">{row.macs ? short(row.macs) : ''}</span>
    </li>
  );
}

function Wires({ row, lanes }: { readonly row: NodeRow; readonly lanes: number }): VNode {
  const x = (lane: number) => LANE / 2 + LANE * lane;
  const middle = ROW / 2;
  const curve = (from: number, y0: number, to: number, y1: number) =>
    `M${x(from)} ${y0}C${x(from)} ${(y0 + y1) / 2} ${x(to)} ${(y0 + y1) / 2} ${x(to)} ${y1}`;
  // Lanes of values that are read here and go on, too, are among those that pass by.
  return (
    <svg class="wires" width={LANE * lanes} height={ROW} aria-hidden="true">
      {row.passing.map((lane) => (
        <path key={`p${lane}`} d={`M${x(lane)} 0V${ROW}`} />
      ))}
      {row.reads.map((lane) => (
        <path key={`r${lane}`} d={curve(lane, 0, row.lane, middle)} />
      ))}
      {row.writes.map((lane) => (
        <path key={`w${lane}`} d={curve(row.lane, middle, lane, ROW)} />
      ))}
      <circle cx={x(row.lane)} cy={middle} r={row.layer >= 0 ? 4.5 : 3} class={row.layer >= 0 ? 'weighted' : ''} />
    </svg>
  );
}
