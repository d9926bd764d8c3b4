// Links: what goes in comes out, and what is not understood is told and left out. No browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MAX_SEED, decimal, emptyWish, fromFragment, toFragment } from '../www/share.js';

const SAMPLERS = ['ddpm', 'ddim', 'dpm++2m', 'heun'];

test('a wish comes back from its link', () => {
  const wishes = [
    { ...emptyWish(), prompt: 'a red star' },
    { ...emptyWish(), prompt: 'a&b=c#d%20 +"<é🦊\n', negative: 'x y', seed: MAX_SEED, count: 16, stopAfter: 1 },
    { ...emptyWish(), prompt: 'x', seed: 0, stages: [{ steps: 4, sampler: 'dpm++2m' }, { cond_scale: -1.5 }], model: 'a'.repeat(16) },
    { ...emptyWish(), prompt: 'x', stages: [{}, { steps: 1000, cond_scale: 3 }] },
  ];
  for (const wish of wishes) {
    assert.deepEqual(fromFragment(toFragment(wish), SAMPLERS), { wish, refused: [] }, toFragment(wish));
  }
  assert.equal(fromFragment('', SAMPLERS), null);
  assert.equal(fromFragment('#', SAMPLERS), null);
});

test('the longest texts of the page fit into a link', () => {
  const wish = { ...emptyWish(), prompt: '字'.repeat(2000), negative: '字'.repeat(2000), seed: MAX_SEED, model: 'a'.repeat(16) };
  assert.deepEqual(fromFragment(toFragment(wish), SAMPLERS), { wish, refused: [] });
});

test('a number is read in every form that a field or a file has', () => {
  const numbers = { '.5': 0.5, '-.25': -0.25, '3.': 3, '+2': 2, 1e-7: 1e-7, '1.23456789012345678': 1.2345678901234568, '1e1': 10 };
  for (const [text, value] of Object.entries(numbers)) assert.equal(decimal(text, -100, 100), value, text);
  for (const text of ['', '.', '-', 'e1', '1e', '1e9', 'NaN', 'Infinity', '0x1', '1,5', ' 1', '1'.repeat(50)]) {
    assert.equal(decimal(text, -100, 100), undefined, text);
  }
});

test('what is not understood is told and left out', () => {
  const cases = {
    '#v=2&prompt=x': /no v/,
    '#prompt=x&seed=1e3': /no seed/,
    '#prompt=x&seed=9007199254740992': /no seed/,
    '#prompt=x&count=17': /no count/,
    '#prompt=x&steps=0': /no steps/,
    '#prompt=x&steps=1,2,3,4,5,6,7,8,9': /no steps/,
    '#prompt=x&scale=NaN': /no scale/,
    '#prompt=x&scale=1e9': /no scale/,
    '#prompt=x&sampler=euler': /no sampler/,
    '#prompt=x&model=xyz': /no model/,
    '#prompt=x&prompt=y': /twice/,
    '#prompt=x&__proto__=1': /does not know/,
    '#prompt=x&toString=1': /does not know/,
  };
  for (const [link, why] of Object.entries(cases)) {
    const { wish, refused } = fromFragment(link, SAMPLERS);
    assert.equal(wish.prompt, 'x', link);
    assert.equal(refused.length, 1, link);
    assert.match(refused[0], why);
    assert.deepEqual({ ...wish, prompt: '' }, emptyWish(), link);
  }
});

test('where nothing is understood there is no wish', () => {
  assert.deepEqual(fromFragment('#v=1', SAMPLERS), { wish: null, refused: [] });
  for (const link of ['#top', '#seed=x', '#v=9', `#prompt=${'x'.repeat(50_000)}`]) {
    const { wish, refused } = fromFragment(link, SAMPLERS);
    assert.deepEqual([wish, refused.length], [null, 1], link.slice(0, 20));
  }
  assert.equal(fromFragment('#seed=0', SAMPLERS).wish.seed, 0);
});

test('before there is a model any name may be that of a sampler', () => {
  const { wish, refused } = fromFragment('#prompt=x&sampler=,euler');
  assert.deepEqual([wish.stages, refused], [[{}, { sampler: 'euler' }], []]);
});

test('a long link, and one with much wrong, end soon', () => {
  assert.match(fromFragment(`#prompt=${'x'.repeat(50_000)}`, SAMPLERS).refused[0], /too long/);
  const many = Array.from({ length: 500 }, (_, i) => `k${i}=1`).join('&');
  assert.ok(fromFragment(`#${many}`, SAMPLERS).refused.length <= 6);
});
