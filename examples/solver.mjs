#!/usr/bin/env node
// A solver as people write them: NSGA-II (Deb et al., 2002, doi:10.1109/4235.996017) on the welded beam of
// welded_beam.problem.json. It knows nothing of optistore: it prints each design that it has evaluated, as CSV.
//
//   node examples/solver.mjs [--generations 100] [--population 40] [--ms 10] | npx optistore save KEY - --problem …
//
// --ms is how long an evaluation takes: a beam is computed in no time, what it stands for is not.
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    generations: { type: 'string', default: '100' },
    population: { type: 'string', default: '40' },
    ms: { type: 'string', default: '10' },
  },
});
const [generations, size, ms] = [values.generations, values.population, values.ms].map(Number);

const LOWER = [0.125, 0.1, 0.1, 0.125];
const UPPER = [5, 10, 10, 5];
const [LOAD, LENGTH, SHEAR_MAX, BENDING_MAX] = [6000, 14, 13_600, 30_000];

/** Cost and deflection of a beam, and its constraints, which hold up to 0. */
function evaluate([x1, x2, x3, x4]) {
  const radius = Math.sqrt((x2 ** 2 + (x1 + x3) ** 2) / 4);
  const inertia = Math.SQRT2 * x1 * x2 * (x2 ** 2 / 12 + (x1 + x3) ** 2 / 4);
  const primary = LOAD / (Math.SQRT2 * x1 * x2);
  const secondary = (LOAD * (LENGTH + x2 / 2) * radius) / inertia;
  const shear = Math.sqrt(primary ** 2 + secondary ** 2 + (primary * secondary * x2) / radius);
  const bending = (6 * LOAD * LENGTH) / (x4 * x3 ** 2);
  const buckling = 64_746.022 * (1 - 0.0282346 * x3) * x3 * x4 ** 3;
  return {
    f: [1.10471 * x1 ** 2 * x2 + 0.04811 * x3 * x4 * (14 + x2), 2.1952 / (x3 ** 3 * x4)],
    g: [
      (shear - SHEAR_MAX) / SHEAR_MAX,
      (bending - BENDING_MAX) / BENDING_MAX,
      (x1 - x4) / (5 - 0.125),
      (LOAD - buckling) / LOAD,
    ],
  };
}

const violation = ({ g }) => g.reduce((sum, value) => sum + Math.max(0, value), 0);

/** The less infeasible one is ahead, of feasible ones that which is better in one objective and worse in none. */
function isAhead(a, b) {
  if (a.violation !== b.violation) return a.violation < b.violation;
  return a.f.every((value, i) => value <= b.f[i]) && a.f.some((value, i) => value < b.f[i]);
}

/** Front by front, and within a front by the room around each. */
function ranked(designs) {
  const fronts = [];
  for (let rest = designs; rest.length > 0;) {
    const front = rest.filter((one) => !rest.some((other) => isAhead(other, one)));
    fronts.push(front);
    rest = rest.filter((one) => !front.includes(one));
  }
  return fronts.flatMap((front) => {
    for (const one of front) one.room = 0;
    for (const i of [0, 1]) {
      const along = [...front].sort((a, b) => a.f[i] - b.f[i]);
      const span = along.at(-1).f[i] - along[0].f[i] || 1;
      along.forEach((one, at) => {
        const [before, behind] = [along[at - 1], along[at + 1]];
        one.room += before && behind ? (behind.f[i] - before.f[i]) / span : Infinity;
      });
    }
    return front.sort((a, b) => b.room - a.room);
  });
}

/** Between two designs, or a little beyond them, and sometimes moved. */
function child(a, b) {
  return LOWER.map((low, i) => {
    const high = UPPER[i];
    let value = a[i] + (b[i] - a[i]) * (Math.random() * 1.5 - 0.25);
    if (Math.random() < 1 / LOWER.length) value += (high - low) * (Math.random() - 0.5) * 0.2;
    return Math.min(high, Math.max(low, value));
  });
}

/** Evaluates designs, and prints each as soon as it is known. */
async function evaluated(xs, generation) {
  const designs = [];
  for (const x of xs) {
    await sleep(ms);
    const { f, g } = evaluate(x);
    process.stdout.write(`${[generation, ...x, ...f, ...g].join(',')}\n`);
    designs.push({ x, f, violation: violation({ g }) });
  }
  return designs;
}

// Who reads along may leave.
process.stdout.on('error', () => process.exit(1));
process.stdout.write('generation,x1,x2,x3,x4,f1,f2,g1,g2,g3,g4\n');
const anywhere = () => LOWER.map((low, i) => low + (UPPER[i] - low) * Math.random());
let population = ranked(await evaluated(Array.from({ length: size }, anywhere), 1));
for (let generation = 2; generation <= generations; generation++) {
  const better = () => population[Math.floor(Math.min(Math.random(), Math.random()) * population.length)].x;
  const children = Array.from({ length: size }, () => child(better(), better()));
  population = ranked([...population, ...(await evaluated(children, generation))]).slice(0, size);
}
