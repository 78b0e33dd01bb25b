/** Schedules that a product may have: drawn at random, changed a little, crossed with one another. */
import { knobsOf, type ProductSite, type Schedule, type ScheduleForm } from '../schedule.ts';

export type Random = () => number;

const VALUES = {
  columns: [8, 16, 24],
  tallest: [1, 2, 3, 4, 5, 6],
  cut: ['balanced', 'full'],
  merge: ['none', 'equal', 'near'],
  order: ['given', 'signature'],
  passes: [1, 2, 3, 4, 6, 8, 12],
  unroll: [2, 4, 8],
  gather: [false, true],
  groups: [1, 2, 4, 8],
  blockRows: [0, 8, 16, 32, 64],
  split: ['rows', 'columns'],
  pieces: [1, 2, 4, 8],
} as const;

export type Knob = keyof typeof VALUES;

/** What can be chosen for one product. */
export interface Space {
  readonly forms: readonly ScheduleForm[];
  /** Whether it is searched how threads share the work. */
  readonly threaded: boolean;
}

export function spaceOf({ pattern, schedule }: ProductSite, threaded: boolean): Space {
  if (schedule.form === 'lanes') return { forms: ['lanes'], threaded };
  return { forms: pattern ? ['dense', 'pairs', 'units', 'mixed', 'rows'] : ['dense', 'pairs', 'units'], threaded };
}

/** What is looked at for a form. */
export function genesOf(form: ScheduleForm, threaded: boolean): readonly Knob[] {
  return threaded ? [...knobsOf(form), 'split', 'pieces'] : knobsOf(form);
}

/** Equal for schedules that say the same. */
export function scheduleText(schedule: Schedule): string {
  const said = genesOf(schedule.form, true).flatMap((knob) => {
    const value = schedule[knob];
    return value === undefined ? [] : [`${knob}=${value}`];
  });
  return [schedule.form, ...said].join(' ');
}

export function randomSchedule(space: Space, next: Random): Schedule {
  const form = pick(space.forms, next);
  return {
    form,
    ...Object.fromEntries(genesOf(form, space.threaded).map((knob) => [knob, pick<unknown>(VALUES[knob], next)])),
  };
}

/** Each knob from one of the parents; one that neither has is drawn. */
export function crossed(a: Schedule, b: Schedule, space: Space, next: Random): Schedule {
  const form = next() < 0.5 ? a.form : b.form;
  const knobs = genesOf(form, space.threaded).map((knob) => {
    const [first, second] = next() < 0.5 ? [a, b] : [b, a];
    return [knob, first[knob] ?? second[knob] ?? pick<unknown>(VALUES[knob], next)] as const;
  });
  return { form, ...Object.fromEntries(knobs) };
}

/** One knob more often than several; the form now and then; a number mostly to a neighbour. */
export function mutated(schedule: Schedule, space: Space, next: Random): Schedule {
  if (space.forms.length > 1 && next() < 0.15) return inForm(pick(space.forms, next), schedule, space, next);
  const genes = genesOf(schedule.form, space.threaded);
  const changes = next() < 0.6 ? 1 : 2;
  let changed = schedule;
  for (let i = 0; i < changes; i++) {
    const knob = pick(genes, next);
    const values: readonly unknown[] = VALUES[knob];
    const at = values.indexOf(schedule[knob]);
    const near = [values[at - 1], values[at + 1]].filter((value) => value !== undefined);
    const value = at >= 0 && near.length > 0 && next() < 0.6 ? pick(near, next) : pick(values, next);
    changed = { ...changed, [knob]: value };
  }
  return changed;
}

/** The same in another form; what that has besides is drawn. */
function inForm(form: ScheduleForm, schedule: Schedule, { threaded }: Space, next: Random): Schedule {
  const knobs = genesOf(form, threaded).map((knob) => [knob, schedule[knob] ?? pick<unknown>(VALUES[knob], next)]);
  return { form, ...Object.fromEntries(knobs) };
}

function pick<T>(list: readonly T[], next: Random): T {
  return list[Math.floor(next() * list.length)] as T;
}

/** xorshift32. @param seed, text  different streams for different texts */
export function randomOf(seed: number, text: string): Random {
  let state = 0x811c9dc5 ^ Math.imul(seed + 1, 0x9e3779b1);
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  state = state >>> 0 || 1;
  const draw = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 8; i++) draw();
  return draw;
}
