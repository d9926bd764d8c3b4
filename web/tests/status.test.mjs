// The line under the picture: what it says of a load. No browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Status } from '../www/status.js';

/** A line and a bar, as far as they are used. */
const element = () => ({ textContent: '', hidden: true, value: 0, setAttribute() {}, removeAttribute() {} });

test('the time left is that of this load, and not of the one before', (t) => {
  let now = 1000;
  t.mock.method(performance, 'now', () => now);
  const [line, bar] = [element(), element()];
  const status = new Status(line, bar, element());
  const load = (ms) => {
    status.loading({ phase: 'program', got: 0, total: null });
    now += ms;
    status.loading({ phase: 'weights', got: 50e6, total: 100e6 });
    return line.textContent;
  };
  assert.equal(load(20_000), 'Loading program and weights: 50.0 MB of 100.0 MB, 50 %, 20 s left');
  assert.equal(bar.value, 0.5);
  status.ready();
  now += 1e6;
  assert.match(load(30_000), /, 30 s left$/);
  // One that failed, and nothing told of it.
  assert.match(load(40_000), /, 40 s left$/);
});

test('what should be known is told in whole sentences, one after the other', () => {
  const trouble = element();
  const status = new Status(element(), element(), trouble);
  ['The prompt is too long.', 'The link is old.'].forEach((message) => status.warn(message));
  assert.equal(trouble.textContent, 'The prompt is too long. The link is old.');
  assert.equal(trouble.hidden, false);
});

test('what should be known stands once beside what went wrong, until the next run', () => {
  const trouble = element();
  const status = new Status(element(), element(), trouble);
  status.warn('The link is old.');
  status.fail('The load failed.');
  ['This page has a new version.', 'The link is old.'].forEach((message) => status.warn(message));
  assert.equal(trouble.textContent, 'The load failed. The link is old. This page has a new version.');
  status.fail('The prompt is empty.');
  assert.equal(trouble.textContent, 'The prompt is empty. The link is old. This page has a new version.');
  status.begin();
  assert.equal(trouble.hidden, true);
  status.warn('The prompt is too long.');
  assert.deepEqual([trouble.textContent, trouble.hidden], ['The prompt is too long.', false]);
});
