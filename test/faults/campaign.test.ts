import { describe, expect, test } from 'vitest';
import { campaign } from './campaign.js';

describe('a campaign', () => {
  test('that fails says how to replay the round, and the round has the same dice again', async () => {
    const rolled: number[] = [];
    const failing = () =>
      campaign('nothing', { short: 3, long: 3 }, async (roll, number) => {
        rolled.push(roll());
        if (number === 1) throw new Error('lost');
      });
    await expect(failing()).rejects.toThrow(/round 1 failed.*FAULTS_SEED=\d+ FAULTS_ROUND=1/);
    await expect(failing()).rejects.toThrow('round 1 failed');
    expect(rolled.slice(0, 2)).toEqual(rolled.slice(2));
    expect(rolled[0]).not.toBe(rolled[1]);
  });
});
