// The package as a stranger takes it: its types compile in strict code, and say what its modules have. No browser.

import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import ts from 'typescript';

import * as exported from '../npm/index.js';

const near = (path) => fileURLToPath(new URL(path, import.meta.url));
const OPTIONS = {
  strict: true,
  noEmit: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
  types: [],
};

let program;
let checker;
/** A file of the program, by the end of its name. */
const source = (end) => program.getSourceFiles().find(({ fileName }) => fileName.endsWith(end));

/** A folder of someone who has installed the package, with a page of theirs and the examples of its README. */
before(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'firefall-'));
  const installed = join(folder, 'node_modules/firefall');
  await mkdir(installed, { recursive: true });
  for (const file of ['package.json', 'index.d.ts', 'index.js']) await cp(near(`../npm/${file}`), join(installed, file));
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  await cp(near('consumer.ts'), join(folder, 'consumer.ts'));
  const readme = await readFile(near('../npm/README.md'), 'utf8');
  const examples = [...readme.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);
  assert.ok(examples.length >= 2, 'the README has examples');
  await writeFile(join(folder, 'readme.ts'), ['declare const context: CanvasRenderingContext2D;', ...examples].join('\n'));
  program = ts.createProgram([join(folder, 'consumer.ts'), join(folder, 'readme.ts')], OPTIONS);
  checker = program.getTypeChecker();
});

for (const file of ['consumer.ts', 'readme.ts', 'firefall/index.d.ts']) {
  test(`${file} compiles in strict TypeScript`, () => {
    const found = ts.getPreEmitDiagnostics(program, source(file));
    const host = { getCurrentDirectory: () => '/', getCanonicalFileName: (name) => name, getNewLine: () => '\n' };
    assert.equal(ts.formatDiagnostics(found, host), '');
  });
}

/** What the types export, by name. */
const types = () => {
  const exports = checker.getExportsOfModule(checker.getSymbolAtLocation(source('firefall/index.d.ts')));
  return new Map(exports.map((symbol) => [symbol.name, symbol]));
};
const membersOf = (type) => type.getProperties().map(({ name }) => name);
/** The names of an interface's fields. */
const fieldsOf = (name) => membersOf(checker.getDeclaredTypeOfSymbol(types().get(name)));

test('the types name what the module exports, and nothing else', () => {
  const values = [...types().values()].filter(({ flags }) => flags & ts.SymbolFlags.Value).map(({ name }) => name);
  assert.deepEqual(values.sort(), Object.keys(exported).sort());
});

test('the types name what a client has, and nothing else', () => {
  const symbol = types().get('FirefallClient');
  const own = (object, without) => Object.getOwnPropertyNames(object).filter((name) => !without.includes(name)).sort();
  const { FirefallClient } = exported;
  assert.deepEqual(fieldsOf('FirefallClient').sort(), own(FirefallClient.prototype, ['constructor']));
  const statics = membersOf(checker.getTypeOfSymbolAtLocation(symbol, source('firefall/index.d.ts')));
  assert.deepEqual(statics.filter((name) => name !== 'prototype').sort(), own(FirefallClient, ['length', 'name', 'prototype']));
});

test('every option that the types name is one that a client knows', async () => {
  const client = new exported.FirefallClient({ assets: 'http://x/' });
  // Without a worker it ends soon, whatever is asked.
  const said = async (params) => (await client.generate({ prompt: 'a', ...params }).promise).message;
  const unknown = /There is no option/;
  assert.match(await said({ colour: undefined }), unknown);
  assert.match(await said({ paint: { colour: undefined } }), unknown);
  const [params, paint] = ['GenerateParams', 'Paint'].map(fieldsOf);
  assert.ok(params.includes('seed') && paint.includes('mask'));
  for (const key of params) assert.doesNotMatch(await said({ [key]: undefined }), unknown, key);
  for (const key of paint) assert.doesNotMatch(await said({ paint: { [key]: undefined } }), unknown, key);
});

test('every reason that is told is in the types, and every one there is told', async () => {
  const files = ['index', 'weights', 'worker'].map((name) => `../npm/${name}.js`);
  const rust = ['engine', 'failure', 'paint', 'picture'].map((name) => `../src/${name}.rs`);
  const code = (await Promise.all([...files, ...rust].map((file) => readFile(near(file), 'utf8')))).join('\n');
  const told = /(?:(?:failed|refused|failure)\(\s*|name(?: =|:) |=> )['"]([a-z_]+)['"]/g;
  const reasons = checker.getDeclaredTypeOfSymbol(types().get('Reason')).types.map(({ value }) => value);
  const all = new Set([...code.matchAll(told)].map(([, reason]) => reason));
  assert.deepEqual([...all].sort(), reasons.sort());
});
