import { expect, it } from 'vitest';
import { suggest } from './suggest.ts';

it('L1: suggests the nearest name, and nothing when all are far', () => {
  const names = ['image', 'state', 'sr'];
  expect(suggest('imgae', names)).toBe('image');
  expect(suggest('imagee', names)).toBe('image');
  expect(suggest('STATE', names)).toBe('state');
  expect(suggest('rs', names)).toBe('sr');
  expect(suggest('weights', names)).toBeUndefined();
  expect(suggest('', names)).toBeUndefined();
});
