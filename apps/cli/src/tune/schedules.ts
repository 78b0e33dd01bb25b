/** The file behind `--schedules`: a report of `grim tune --json FILE`, or its `schedules` alone. */
import type { Schedules } from '@grim/codegen';
import { type CompiledModel, GrimError } from '@grim/ir';
import { about } from '../errors.ts';
import { readRegularFile } from '../files.ts';

const MOST_BYTES = 64 * 2 ** 20;

/** @throws {GrimError} GRIM_CLI_READ, GRIM_CLI_SCHEDULES. What a schedule says is checked when it is used */
export function readSchedules(path: string): Schedules {
  return about(path, () => {
    const bad = (found: string): never => {
      throw new GrimError(
        'GRIM_CLI_SCHEDULES',
        `${found}, the report of a search is needed. Write one with grim tune --json FILE.`,
      );
    };
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder().decode(readRegularFile(path, MOST_BYTES)));
    } catch (error) {
      if (error instanceof SyntaxError) bad('this is no JSON');
      throw error;
    }
    const report = isObject(value) && Object.hasOwn(value, 'schedules') ? value['schedules'] : value;
    if (!isObject(report) || !Object.values(report).every((one) => isObject(one) && typeof one['form'] === 'string'))
      bad('there are no schedules in it');
    return report as unknown as Schedules;
  });
}

/**
 * How many of them are of a layer of the model.
 * @throws {GrimError} GRIM_CLI_SCHEDULES when none is
 */
export function checkUsed(path: string, schedules: Schedules, { calls = [] }: CompiledModel): number {
  const given = Object.keys(schedules);
  const products = new Set(calls.map(({ product }) => product));
  const used = given.filter((key) => products.has(key)).length;
  if (used === 0 && given.length > 0)
    about(path, () => {
      throw new GrimError(
        'GRIM_CLI_SCHEDULES',
        `none of the ${given.length} schedules is of a layer of this model. Tune the model as it is compiled here.`,
      );
    });
  return used;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
