// How the page looks, measured: on a phone and on a screen, in light and dark, at rest, at work, with pictures and with a brush.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { button, open, outcome, ready, remembered } from './browser.mjs';
import { browser, server } from './faulty.mjs';

/** Where screenshots go, if they are wanted. */
const { FIREFALL_SHOTS: shots } = process.env;

/** Puts into the page what the measurements below share. */
const lookAt = (page) =>
  page.evaluate(() => {
    /** What a hand can use, and what is read beside it. */
    const CONTROLS = 'button, input, select, summary, #pictures canvas, #brush-mask';
    const TEXTS = 'h1, h2, header p, legend, #status, #trouble, #brush-share, progress, footer p';
    const seen = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getBoundingClientRect().width > 0 && !element.matches('.unseen');
    const name = (element) => element.id || element.getAttribute('aria-label') || element.textContent.trim().slice(0, 40) || element.tagName;

    function rgba(text) {
      const numbers = /^rgba?\(([^)]*)\)$/.exec(text)?.[1].split(/[\s,/]+/).map(Number);
      if (!numbers) throw new Error(`${text} is no colour that this test can read`);
      return [...numbers.slice(0, 3), numbers[3] ?? 1];
    }
    const over = ([r, g, b, a], under) => [r, g, b].map((value, i) => a * value + (1 - a) * under[i]);
    /** What is seen behind an element's text, opaque. */
    function behind(element) {
      if (!element) return [255, 255, 255];
      const colour = rgba(getComputedStyle(element).backgroundColor);
      return colour[3] === 1 ? colour.slice(0, 3) : over(colour, behind(element.parentElement));
    }
    /** As WCAG 2 has it. */
    function luminance(colour) {
      const linear = colour.map((value) => value / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
      return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    }
    function contrast(text, element) {
      const under = behind(element);
      const [light, dark] = [luminance(over(rgba(text), under)), luminance(under)].sort((a, b) => b - a);
      return (light + 0.05) / (dark + 0.05);
    }
    const all = (selector) => [...document.querySelectorAll(selector)].filter(seen);
    window.look = { CONTROLS, TEXTS, seen, name, contrast, all };
  });

/** Sentences about what lies over another thing, beyond the edge, or is too small for what is in it. */
const crowded = (page) =>
  page.evaluate(() => {
    const { CONTROLS, TEXTS, name, all } = window.look;
    const faults = [];
    const wide = document.documentElement.scrollWidth;
    if (wide > innerWidth) faults.push(`the page is ${wide} pixels wide, of ${innerWidth}`);
    const boxes = all(`${CONTROLS}, ${TEXTS}`).map((element) => ({ element, box: element.getBoundingClientRect() }));
    for (const [i, { element, box }] of boxes.entries()) {
      if (box.left < 0 || box.right > innerWidth + 0.5) faults.push(`${name(element)} is from ${box.left} to ${box.right}`);
      for (const { element: other, box: its } of boxes.slice(i + 1)) {
        if (element.contains(other)) continue;
        const across = Math.min(box.right, its.right) - Math.max(box.left, its.left);
        const down = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
        if (across > 1 && down > 1) faults.push(`${name(element)} and ${name(other)} share ${across} x ${down} pixels`);
      }
    }
    for (const element of all('button, summary')) {
      if (element.scrollWidth > element.clientWidth + 1) faults.push(`${name(element)} is cut off`);
    }
    for (const element of all(CONTROLS)) {
      const { width, height } = element.getBoundingClientRect();
      if (Math.min(width, height) < 23.9) faults.push(`${name(element)} has ${width} x ${height} pixels for a finger`);
    }
    return faults;
  });

/** Sentences about text that is too faint, but for what cannot be used now. */
const faint = (page) =>
  page.evaluate(() => {
    const { seen, name, contrast, all } = window.look;
    const texts = new Set(all('input, select'));
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (walker.currentNode.data.trim() && seen(element)) texts.add(element);
    }
    const used = [...texts].filter((element) => !element.closest('[aria-disabled=true], :disabled'));
    const ratios = used.map((element) => [name(element), contrast(getComputedStyle(element).color, element)]);
    // Nobody can ask for the colour of a placeholder as it is seen; that of its rule is put on a text in its place.
    const rules = [...document.styleSheets].flatMap(({ cssRules }) => [...cssRules]);
    const probe = document.getElementById('status').appendChild(document.createElement('span'));
    probe.style.color = rules.find(({ selectorText }) => selectorText === '::placeholder')?.style.color ?? '#757575';
    ratios.push(['placeholder', contrast(getComputedStyle(probe).color, document.getElementById('prompt'))]);
    probe.remove();
    return ratios.filter(([, ratio]) => ratio < 4.5).map(([what, ratio]) => `${what} has a contrast of ${ratio.toFixed(2)}`);
  });

/** Goes through the page by Tab: sentences about what is not reached, or not seen to be. */
async function lost(page) {
  const left = await page.evaluate(() => {
    const { CONTROLS, all } = window.look;
    const reachable = all(CONTROLS).filter((element) => !element.matches('canvas:not([tabindex])'));
    window.look.reached = new Set();
    document.getElementById('prompt').focus();
    window.look.reached.add(document.activeElement);
    window.look.reachable = reachable;
    return reachable.length;
  });
  const faults = [];
  for (let presses = 0; presses < left + 5; presses++) {
    await page.keyboard.press('Tab');
    const fault = await page.evaluate(() => {
      const { name, contrast, reached } = window.look;
      const element = document.activeElement;
      if (element === document.body || reached.has(element)) return '';
      reached.add(element);
      const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(element);
      // The ring is beside the element, on what is behind it.
      const ring = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 && contrast(outlineColor, element.parentElement) >= 3;
      const { top, bottom } = element.getBoundingClientRect();
      const view = bottom > 0 && top < innerHeight;
      return ring && view ? '' : `${name(element)} has the focus, and ${ring ? 'is out of view' : 'no ring that is seen'}`;
    });
    if (fault) faults.push(fault);
  }
  const missed = await page.evaluate(() => {
    const { reachable, reached, name } = window.look;
    return reachable.filter((element) => !reached.has(element)).map((element) => `${name(element)} is not reached`);
  });
  return [...faults, ...missed];
}

/** Nothing is amiss with the page as it is now, in `look`, a width and a colour scheme. */
async function fits(page, look, when) {
  if (shots) await page.screenshot({ path: join(shots, `${look} ${when}.png`), fullPage: true });
  assert.deepEqual(await crowded(page), [], when);
  assert.deepEqual(await faint(page), [], when);
}

for (const [width, height] of [[360, 740], [1200, 900]]) {
  for (const colorScheme of ['light', 'dark']) {
    test(`nothing overlaps, is faint, small or out of reach at ${width} pixels, ${colorScheme}`, async () => {
      const page = await open(browser, `${server.url}?device=cpu`, { viewport: { width, height }, colorScheme });
      const look = `${width}-${colorScheme}`;
      await ready(page);
      await lookAt(page);
      await fits(page, look, 'at first');
      await page.getByText('Settings', { exact: true }).click();
      await button(page, 'Make it').click();
      await page.getByRole('alert').waitFor();
      await fits(page, look, 'with a sentence of what is wrong');

      const steps = page.getByRole('spinbutton', { name: 'Steps' });
      for (const field of await steps.all()) await field.fill('1000');
      await page.fill('#prompt', 'a red circle above a blue star');
      await button(page, 'Make it').click();
      await page.waitForFunction(() => /step [1-9]/.test(document.getElementById('status').textContent));
      await fits(page, look, 'at work');
      await button(page, 'Stop').click();
      await outcome(page);

      await button(page, 'As the model has it').click();
      await page.fill('#count', '4');
      await button(page, 'Make it').click();
      assert.match((await outcome(page)).status, /^Done/);
      await remembered(page, 4);
      await fits(page, look, 'with four pictures');
      assert.deepEqual(await lost(page), []);

      await button(page, 'Paint over a part').click();
      await button(page, 'Paint everything').click();
      await page.getByText('More', { exact: true }).click();
      await fits(page, look, 'with the brush');
      assert.deepEqual(await lost(page), []);
      await page.context().close();
    });
  }
}

for (const reducedMotion of ['reduce', 'no-preference']) {
  test(`what moves, with the preference ${reducedMotion}`, async () => {
    const page = await open(browser, `${server.url}?device=cpu`, { reducedMotion });
    await ready(page);
    await page.evaluate(() => {
      [window.moving, window.unknown] = [new Set(), new Set()];
      const bar = document.getElementById('progress');
      const watch = () => {
        document.getAnimations().forEach(({ effect }) => window.moving.add(effect.target.id || effect.target.tagName));
        if (!bar.hidden && bar.position < 0) window.unknown.add(getComputedStyle(bar).appearance);
      };
      // Before the first step nobody knows how far a run is, and a browser lets such a bar run to and fro.
      new MutationObserver(watch).observe(bar, { attributes: true });
      const frame = () => (watch(), requestAnimationFrame(frame));
      frame();
    });
    await page.fill('#prompt', 'a red circle');
    await page.press('#prompt', 'Enter');
    assert.match((await outcome(page)).status, /^Done/);
    await page.getByText('Settings', { exact: true }).click();
    await button(page, 'Paint over a part').click();
    const [moving, unknown] = await page.evaluate(() => [[...window.moving], [...window.unknown]]);
    assert.deepEqual(moving, []);
    assert.equal(unknown.length, 1, 'the bar was seen');
    assert.equal(unknown[0] === 'none', reducedMotion === 'reduce', unknown[0]);
    await page.context().close();
  });
}
