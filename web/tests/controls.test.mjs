// Everything that can be pressed, chosen or filled in, found by its name as a visitor finds it, and what becomes of it in the
// picture, the request and the file.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { button, open, outcome, pixels, ready, remembered } from './browser.mjs';
import { browser, server } from './faulty.mjs';
import { carried, decoded, drop, saved, shown } from './files.mjs';

const text = (page, name) => page.getByRole('textbox', { name, exact: true });
const number = (page, name) => page.getByRole('spinbutton', { name, exact: true });
const list = (page, name) => page.getByRole('combobox', { name, exact: true });
/** The fields of the first stage, or of the second one. */
const stage = (page, index) => page.getByRole('group', { name: index === 0 ? /^Base/ : /^Then/ });
const prompt = (page) => text(page, 'What should the picture show?');
const status = (page) => page.locator('#status').textContent();
const told = (page, words) => page.getByRole('status').filter({ hasText: words }).first().waitFor();

async function visit(options) {
  const page = await open(browser, `${server.url}?device=cpu`, options);
  await ready(page);
  await page.getByText('Settings', { exact: true }).click();
  return page;
}

/** A page whose seed stays as it is filled in. */
async function kept(seed) {
  const page = await visit();
  await text(page, 'Seed').fill(String(seed));
  await page.getByRole('checkbox', { name: 'Keep the seed' }).check();
  return page;
}

/** The end of a run: its first seed, and the first picture. */
async function done(page) {
  const { status, trouble } = await outcome(page);
  assert.match(status, /^Done/, trouble);
  return { seed: /seeds? (\d+)/.exec(status)[1], picture: await pixels(page) };
}

async function make(page, what = 'a red circle') {
  await prompt(page).fill(what);
  await button(page, 'Make it').click();
  return done(page);
}

/** What the file of the picture on show says of its stages. */
const stagesOf = async (page) => JSON.parse((await shown(await saved(page))).settings).stages;

/** What the copied link asks for. */
async function copied(page) {
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await button(page, 'Copy link').click();
  await told(page, 'The link is copied.');
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(link, page.url());
  return { link, asked: Object.fromEntries(new URLSearchParams(new URL(link).hash.slice(1))) };
}

test('every example makes its picture', async () => {
  const page = await visit();
  const examples = await page.getByRole('group', { name: 'Examples' }).getByRole('button').allTextContents();
  assert.ok(examples.length >= 4 && new Set(examples).size === examples.length, examples.join());
  for (const example of examples) {
    await button(page, example).click();
    const { seed } = await done(page);
    assert.equal(await prompt(page).inputValue(), example);
    assert.ok(await page.getByRole('img', { name: `${example}, seed ${seed}`, exact: true }).isVisible());
  }
  await remembered(page, examples.length);
  await page.context().close();
});

test('the examples are of the kinds that the shipped model knows', async () => {
  const page = await visit();
  const examples = await page.getByRole('group', { name: 'Examples' }).getByRole('button').allTextContents();
  const object = '(?:red|orange|yellow|green|cyan|blue|purple|pink|brown|black|gray) (?:circle|square|triangle|star|heart|ring|cross|diamond|hexagon|crescent)';
  const kinds = {
    'one thing': `an? ${object}`,
    'two things': `an? ${object} (?:above|below|left of|right of) an? ${object}`,
    'a place': `an? ${object} (?:at the|in the|on the) (?:top|bottom|left|right|centre)(?: left| right)?`,
    'a number': `(?:two|three|four|five) ${object}s`,
  };
  const of = (example) => Object.keys(kinds).find((kind) => new RegExp(`^${kinds[kind]}$`).test(example));
  assert.deepEqual(examples.filter((example) => !of(example)), []);
  assert.deepEqual([...new Set(examples.map(of))].sort(), Object.keys(kinds).sort());
  await page.context().close();
});

test('a seed is fresh for every picture, unless it is kept', async () => {
  const page = await visit();
  const field = text(page, 'Seed');
  const lock = page.getByRole('checkbox', { name: 'Keep the seed' });
  const first = await make(page);
  assert.equal(await field.inputValue(), first.seed);
  const second = await make(page);
  assert.notEqual(second.seed, first.seed);
  assert.notDeepEqual(second.picture, first.picture);
  await lock.check();
  assert.deepEqual(await make(page), second);
  await button(page, 'Another seed').click();
  const other = await done(page);
  assert.notEqual(other.seed, second.seed);
  assert.equal(await field.inputValue(), other.seed);
  assert.deepEqual(await make(page), other, 'and this one is kept then');
  await lock.uncheck();
  assert.notEqual((await make(page)).seed, other.seed);
  await page.context().close();
});

test('a size is where the stages end', async () => {
  const page = await kept(5);
  const size = list(page, 'Size');
  const sizes = await size.locator('option').allTextContents();
  const widths = sizes.map((label) => parseInt(label, 10));
  const whole = await make(page);
  assert.equal(whole.picture.width, widths.at(-1));
  await size.selectOption({ label: sizes[0] });
  assert.equal((await make(page)).picture.width, widths[0]);
  assert.deepEqual((await stagesOf(page)).map(({ size }) => size), [widths[0]]);
  assert.equal((await copied(page)).asked.stages, '1');
  await size.selectOption({ label: sizes.at(-1) });
  assert.deepEqual(await make(page), whole);
  await page.context().close();
});

for (const index of [0, 1]) {
  test(`steps, guidance and sampler of stage ${index + 1} are its own`, async () => {
    const page = await kept(5);
    const sampler = list(stage(page, index), 'Sampler');
    // Fresh noise on the way, or none: both make other pictures.
    const others = { ddpm: 'ddim', ddim: 'ddpm', 'dpm++2m': 'ddpm', heun: 'ddpm' };
    const changes = {
      steps: [5, () => number(stage(page, index), 'Steps').fill('5')],
      cond_scale: [100, () => number(stage(page, index), 'Guidance').fill('100')],
      sampler: [others[await sampler.inputValue()], () => sampler.selectOption(changes.sampler[0])],
    };
    const plain = await make(page);
    const own = await stagesOf(page);
    for (const [key, [value, change]] of Object.entries(changes)) {
      assert.notEqual(own[index][key], value);
      await change();
      assert.notDeepEqual((await make(page)).picture, plain.picture, `${key} changes the picture`);
      const want = own.map((stage, i) => (i === index ? { ...stage, [key]: value } : stage));
      assert.deepEqual(await stagesOf(page), want);
      await button(page, 'As the model has it').click();
      await text(page, 'Seed').fill('5');
      assert.deepEqual(await make(page), plain, `${key} is as it was`);
    }
    await page.context().close();
  });
}

test('what should not be in the picture goes into picture, file and link', async () => {
  const page = await kept(5);
  // The tiny model of the tests has hardly learnt what words are; so much guidance shows what it has.
  await number(stage(page, 0), 'Guidance').fill('100');
  const plain = await make(page);
  await text(page, 'Not in the picture').fill('a gray circle');
  assert.notDeepEqual((await make(page)).picture, plain.picture);
  assert.equal((await shown(await saved(page))).negative, 'a gray circle');
  const { asked } = await copied(page);
  assert.deepEqual([asked.negative, asked.scale.split(',')[0]], ['a gray circle', '100']);
  await page.context().close();
});

test('several pictures stand in a grid, and the one that is chosen is saved', async () => {
  const page = await kept(5);
  await number(page, 'Pictures').fill('4');
  await make(page);
  const pictures = page.getByRole('button', { name: /^a red circle, seed \d+$/ });
  const boxes = await Promise.all([0, 1, 2, 3].map((i) => pictures.nth(i).boundingBox()));
  assert.equal(await pictures.count(), 4);
  for (const side of ['x', 'y']) assert.equal(new Set(boxes.map((box) => Math.round(box[side]))).size, 2, side);
  const all = await Promise.all([0, 1, 2, 3].map((i) => pixels(page, i)));
  assert.equal(new Set(all.map(({ data }) => String(data))).size, 4);
  const chosen = async () => (await pictures.evaluateAll((all) => all.map((one) => one.getAttribute('aria-pressed')))).indexOf('true');
  assert.equal(await chosen(), 0);
  await button(page, 'a red circle, seed 7').click();
  assert.equal(await chosen(), 2);
  const file = await saved(page);
  assert.deepEqual([(await shown(file)).seed, await decoded(page, file)], ['7', all[2].data]);
  await button(page, 'a red circle, seed 8').press('Enter');
  assert.equal(await chosen(), 3);
  assert.equal((await copied(page)).asked.count, '4');
  await remembered(page, 4);
  await page.context().close();
});

test('a thumbnail brings its picture back, and what made it', async () => {
  const page = await kept(5);
  await text(page, 'Not in the picture').fill('gray');
  await number(stage(page, 0), 'Steps').fill('4');
  await number(page, 'Pictures').fill('2');
  await make(page);
  const second = await pixels(page, 1);
  await button(page, 'As the model has it').click();
  await text(page, 'Seed').fill('9');
  const star = await make(page, 'a blue star');
  await remembered(page, 3);

  await button(page, 'Use again: a red circle, seed 6').click();
  await told(page, 'The picture is back');
  assert.deepEqual(await pixels(page), second);
  assert.ok(await page.getByRole('img', { name: 'a red circle, seed 6', exact: true }).isVisible());
  const fields = [prompt(page), text(page, 'Seed'), text(page, 'Not in the picture'), number(stage(page, 0), 'Steps'), number(page, 'Pictures')];
  const values = await Promise.all(fields.map((field) => field.inputValue()));
  assert.deepEqual(values, ['a red circle', '6', 'gray', '4', '1']);
  const file = await saved(page);
  const { prompt: written, negative, seed, settings } = await shown(file);
  assert.deepEqual([written, negative, seed, JSON.parse(settings).stages[0].steps], ['a red circle', 'gray', '6', 4]);
  assert.deepEqual(await decoded(page, file), second.data);
  const { asked } = await copied(page);
  assert.deepEqual([asked.prompt, asked.seed, asked.count], ['a red circle', '6', undefined]);

  await button(page, 'Use again: a blue star, seed 9').click();
  assert.deepEqual(await pixels(page), star.picture);
  assert.deepEqual(await make(page, 'a blue star'), star, 'the same seed once more');
  await page.context().close();
});

test('a thumbnail leaves a run and a part that is being painted alone', async () => {
  const page = await kept(5);
  const circle = await make(page);
  await remembered(page, 1);
  const thumbnail = button(page, 'Use again: a red circle, seed 5');
  for (const index of [0, 1]) await number(stage(page, index), 'Steps').fill('1000');
  await prompt(page).fill('a blue star');
  await button(page, 'Make it').click();
  await page.waitForFunction(() => /step [1-9]/.test(document.getElementById('status').textContent));
  await thumbnail.click();
  assert.equal(await prompt(page).inputValue(), 'a red circle');
  assert.match(await status(page), /step [1-9]/, 'the run goes on');
  await button(page, 'Stop').click();
  assert.equal((await outcome(page)).status, 'Stopped.');
  assert.deepEqual(await pixels(page), circle.picture);

  await button(page, 'Paint over a part').click();
  await button(page, 'Paint everything').click();
  await prompt(page).fill('a green cross');
  await thumbnail.click();
  await told(page, 'the picture under the brush stays');
  assert.equal(await prompt(page).inputValue(), 'a red circle');
  assert.match(await page.locator('#brush-share').textContent(), /^100 %/);
  assert.ok(await button(page, 'Paint it').isVisible());
  await page.context().close();
});

test('a painted picture that comes back is told to be one', async () => {
  const page = await kept(5);
  await make(page);
  await button(page, 'Paint over a part').click();
  await button(page, 'Paint everything').click();
  await prompt(page).fill('a blue star');
  await button(page, 'Paint it').click();
  const painted = await done(page);
  await remembered(page, 2);
  await button(page, 'Use again: a red circle, seed 5').click();
  await told(page, /settings\.$/);
  await button(page, 'Use again: a blue star, seed 5').click();
  await told(page, 'It was painted over another one');
  assert.deepEqual(await pixels(page), painted.picture);
  await button(page, 'Another seed').click();
  const whole = await done(page);
  assert.notEqual(whole.seed, '5');
  assert.equal(JSON.parse((await shown(await saved(page))).settings).inpaint, undefined);
  await page.context().close();
});

test('pictures of long ago, when there are many bytes of them, leave their thumbnail and their settings', async () => {
  const page = await visit();
  const recalled = await page.evaluate(async () => {
    const { History } = await import(new URL('history.js', document.querySelector('script[type=module]').src));
    const [section, items, recalled] = [document.createElement('section'), document.createElement('ul'), []];
    const history = new History(section, items, (wish, image) => recalled.push([wish.prompt, wish.seed, image?.width ?? null]));
    await history.add({ prompt: 'small', seed: 1 }, [new ImageData(8, 8), new ImageData(8, 8)]);
    await history.add({ prompt: 'large', seed: 3 }, [new ImageData(4096, 4096)]);
    items.querySelectorAll('button').forEach((button) => button.click());
    return recalled;
  });
  assert.deepEqual(recalled, [['large', 3, 4096], ['small', 1, null], ['small', 2, null]]);
  await page.context().close();
});

test('a picture is saved as it is seen, under its prompt and seed', async () => {
  const page = await kept(5);
  const { picture } = await make(page, 'a red circle, please!');
  const file = await saved(page);
  assert.match(file, /-a_red_circle_please__5\.png$/);
  assert.deepEqual(await decoded(page, file), picture.data);
  assert.match(await status(page), /^Saved as a_red_circle_please__5\.png\.$/);
  await page.context().close();
});

test('a link that may not be copied is in the address bar', async () => {
  const page = await open(browser, 'about:blank');
  // As where a page is not served securely.
  await page.addInitScript(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
  await page.goto(`${server.url}?device=cpu`);
  await ready(page);
  const { seed } = await make(page);
  await button(page, 'Copy link').click();
  await told(page, 'The link is in the address bar now');
  const asked = new URLSearchParams(new URL(page.url()).hash.slice(1));
  assert.deepEqual([asked.get('prompt'), asked.get('seed')], ['a red circle', seed]);
  await page.context().close();
});

test('a picture that is dropped brings all its settings', async () => {
  const page = await kept(6);
  await text(page, 'Not in the picture').fill('gray');
  await number(stage(page, 0), 'Steps').fill('4');
  await number(stage(page, 0), 'Guidance').fill('-1.5');
  await list(stage(page, 0), 'Sampler').selectOption('heun');
  const size = list(page, 'Size');
  const [first] = await size.locator('option').allTextContents();
  await size.selectOption({ label: first });
  const { picture } = await make(page, 'a blue star');
  const file = await saved(page);

  const other = await visit();
  const dropping = () => other.evaluate(() => getComputedStyle(document.body).outlineStyle);
  const dataTransfer = await carried(other, 'star.png', file);
  await other.dispatchEvent('main', 'dragover', { dataTransfer });
  assert.equal(await dropping(), 'dashed', 'the page shows that it takes the file');
  await other.dispatchEvent('main', 'dragleave', { dataTransfer });
  assert.equal(await dropping(), 'none');
  await drop(other, 'star.png', file);
  await told(other, 'The settings of star.png are in the form.');
  assert.deepEqual(await pixels(other), picture);
  const fields = [prompt(other), text(other, 'Seed'), text(other, 'Not in the picture'), number(other, 'Pictures')];
  const base = stage(other, 0);
  const values = [...fields, number(base, 'Steps'), number(base, 'Guidance'), list(base, 'Sampler'), list(other, 'Size')];
  const read = await Promise.all(values.map((field) => field.inputValue()));
  assert.deepEqual(read, ['a blue star', '6', 'gray', '1', '4', '-1.5', 'heun', '1']);
  await button(other, 'Make it').click();
  assert.deepEqual(await done(other), { seed: '6', picture });
  await page.context().close();
  await other.context().close();
});

test('a field that says nothing of use is named, and has the focus', async () => {
  const page = await visit();
  await prompt(page).fill('a red circle');
  const bad = [
    [text(page, 'Seed'), '1.5', /^The seed must be a whole number/],
    [number(page, 'Pictures'), '17', /^Pictures must be from 1 to 16\.$/],
    [number(stage(page, 0), 'Steps'), '0', /^Steps must be from 1 to 1000\.$/],
    [number(stage(page, 1), 'Guidance'), '101', /^Guidance must be a number from -100 to 100\.$/],
  ];
  for (const [field, value, sentence] of bad) {
    await field.fill(value);
    await button(page, 'Make it').click();
    await page.getByRole('alert').filter({ hasText: sentence }).waitFor();
    assert.ok(await field.evaluate((field) => field === document.activeElement), value);
    await button(page, 'As the model has it').click();
  }
  assert.match((await make(page)).seed, /^\d+$/);
  await page.context().close();
});
