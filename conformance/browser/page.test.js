'use strict';
// The demo page of `sockeye serve` in headless Chromium: it draws between tabs, it counts, it comes
// back by itself, and it asks nobody else for anything. Screenshots go to $SCREENSHOTS.

const assert = require('node:assert/strict');
const fs = require('node:fs/promises');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { serve } = require('../peers/node/command');
const { SOON, launch } = require('./chromium');

const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };
const SHOTS = process.env.SCREENSHOTS || path.resolve('target/screenshots');

let browser, server;

before(async () => {
  await fs.mkdir(SHOTS, { recursive: true });
  browser = await launch();
  server = await serve();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** The page in a window of its own; `page.troubles` collects what should not be there. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: DESKTOP, ...options });
  context.setDefaultTimeout(SOON);
  const page = await context.newPage();
  page.troubles = [];
  page.on('pageerror', (error) => page.troubles.push(`error: ${error.message}`));
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol !== 'data:' && url.protocol !== 'blob:' && url.host !== server.host) page.troubles.push(`asked for ${url}`);
  });
  await page.goto(`http://${server.host}/`);
  await state(page, 'open');
  return page;
}

async function close(page) {
  assert.deepEqual(page.troubles, []);
  await page.context().close();
}

function state(page, wanted) {
  return page.waitForFunction((name) => document.querySelector('#state').dataset.state === name, wanted);
}

/** How many of the points (in parts of the board's width and height) show something drawn near them. */
function drawn(page, points) {
  return page.evaluate((points) => {
    const board = document.querySelector('#board');
    const copy = document.createElement('canvas');
    [copy.width, copy.height] = [board.width, board.height];
    const context = copy.getContext('2d', { willReadFrequently: true });
    context.drawImage(board, 0, 0);
    const at = (x, y) => context.getImageData(x, y, 1, 1).data.join();
    const paper = at(2, 2);
    const reach = Math.ceil(Math.max(3, board.width / 100));
    return points.filter(([x, y]) => {
      const [left, top] = [Math.round(x * board.width) - reach, Math.round(y * board.height) - reach];
      const data = context.getImageData(left, top, 2 * reach, 2 * reach).data;
      for (let i = 0; i < data.length; i += 4) {
        if (data.slice(i, i + 4).join() !== paper) return true;
      }
      return false;
    }).length;
  }, points);
}

async function eventually(condition, what) {
  const end = Date.now() + SOON;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `not within ${SOON} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Moves the mouse, pressed, along points in parts of the board's width and height. */
async function stroke(page, points, steps = 8) {
  const box = await page.locator('#board').boundingBox();
  const place = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
  await page.mouse.move(...place(points[0]));
  await page.mouse.down();
  for (const point of points.slice(1)) await page.mouse.move(...place(point), { steps });
  await page.mouse.up();
}

const LINE = [[0.2, 0.3], [0.5, 0.7], [0.8, 0.3]];
const ON_THE_LINE = [[0.2, 0.3], [0.35, 0.5], [0.5, 0.7], [0.65, 0.5], [0.8, 0.3]];
const OFF_THE_LINE = [[0.5, 0.3], [0.15, 0.7], [0.85, 0.7]];

test('what one tab draws, the other shows', async () => {
  const [one, two] = [await open(), await open()];
  assert.equal(await drawn(two, [...ON_THE_LINE, ...OFF_THE_LINE]), 0, 'the board is empty at first');
  await stroke(one, LINE);
  await eventually(async () => (await drawn(two, ON_THE_LINE)) === ON_THE_LINE.length, 'the line is on the other board');
  await eventually(async () => (await drawn(one, ON_THE_LINE)) === ON_THE_LINE.length, 'the line is on its own board');
  assert.equal(await drawn(two, OFF_THE_LINE), 0, 'and only the line');
  await stroke(two, [[0.15, 0.7], [0.5, 0.3], [0.85, 0.7]]);
  await eventually(async () => (await drawn(one, OFF_THE_LINE)) === OFF_THE_LINE.length, 'and back');
  await close(one);
  await close(two);
});

test('a finger on a phone draws on a desktop', async () => {
  const desk = await open();
  const phone = await open({ viewport: PHONE, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
  const box = await phone.locator('#board').boundingBox();
  assert.ok(box.x >= 0 && box.x + box.width <= PHONE.width, 'the board fits the phone');
  assert.ok(await phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing to scroll sideways');
  const touch = await phone.context().newCDPSession(phone);
  const at = ([x, y]) => [{ x: box.x + x * box.width, y: box.y + y * box.height }];
  await touch.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: at([0.2, 0.5]) });
  for (let step = 1; step <= 12; step++) {
    await touch.send('Input.dispatchTouchEvent', { type: 'touchMove', touchPoints: at([0.2 + step * 0.05, 0.5]) });
  }
  await touch.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
  await eventually(async () => (await drawn(desk, [[0.3, 0.5], [0.5, 0.5], [0.7, 0.5]])) === 3, 'the line is on the desktop');
  await close(phone);
  await close(desk);
});

test('the counter counts', async () => {
  const page = await open();
  const count = () => page.evaluate(() => Number(document.querySelector('#count').textContent.replace(/\D/g, '')));
  const first = await count();
  await eventually(async () => (await count()) >= first + 10, 'ten steps of the counter');
  await close(page);
});

test('it tells when the server is gone, and comes back by itself', async () => {
  const own = await serve();
  const context = await browser.newContext({ viewport: DESKTOP });
  context.setDefaultTimeout(2 * SOON);
  const page = await context.newPage();
  await page.goto(`http://${own.host}/`);
  await state(page, 'open');
  await own.stop();
  await page.waitForFunction(() => document.querySelector('#state').dataset.state !== 'open');
  await page.screenshot({ path: path.join(SHOTS, 'disconnected.png') });
  const again = await serve('--listen', own.host);
  try {
    await state(page, 'open');
    const before = await page.textContent('#count');
    await page.waitForFunction((text) => document.querySelector('#count').textContent !== text, before);
    await stroke(page, LINE);
    await eventually(async () => (await drawn(page, ON_THE_LINE)) === ON_THE_LINE.length, 'it draws again');
    await context.close();
  } finally {
    await again.stop();
  }
});

test('screenshots in light and dark, on a phone and a desktop', async () => {
  const views = { desktop: { viewport: DESKTOP, deviceScaleFactor: 2 }, phone: { viewport: PHONE, deviceScaleFactor: 2, isMobile: true, hasTouch: true } };
  const papers = {};
  for (const colorScheme of ['light', 'dark']) {
    const pages = {};
    for (const [name, view] of Object.entries(views)) pages[name] = await open({ ...view, colorScheme });
    await picture(pages.desktop);
    for (const [name, page] of Object.entries(pages)) {
      await eventually(async () => (await drawn(page, ON_THE_WAVE)) === ON_THE_WAVE.length, `the picture is on the ${name}`);
      const file = path.join(SHOTS, `${name}-${colorScheme}.png`);
      await page.screenshot({ path: file });
      assert.ok((await fs.stat(file)).size > 10_000, `${file} shows something`);
      papers[`${name} ${colorScheme}`] = await page.evaluate(() => getComputedStyle(document.body).backgroundColor
        + getComputedStyle(document.documentElement).backgroundColor);
    }
    for (const page of Object.values(pages)) await close(page);
  }
  assert.notEqual(papers['desktop light'], papers['desktop dark'], 'dark is another paper');
});

const wave = (height, phase) => Array.from({ length: 25 }, (_, step) => {
  const x = 0.12 + step * 0.0317;
  return [x, height + 0.12 * Math.sin(phase + x * 9)];
});
const ON_THE_WAVE = [wave(0.35, 0)[6], wave(0.35, 0)[18]];

/** Some waves, so that the pictures show what the page is for. */
async function picture(page) {
  const colours = page.locator('#colours input, #colours button');
  const count = await colours.count();
  for (const [index, [height, phase]] of [[0.35, 0], [0.45, 0.5], [0.55, 1], [0.65, 1.5]].entries()) {
    if (count) await colours.nth(Math.floor((index * count) / 4)).evaluate((colour) => colour.click());
    await stroke(page, wave(height, phase), 1);
  }
}
