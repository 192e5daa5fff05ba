'use strict';
// The page of the C examples' test servers in headless Chromium: what one tab draws the other shows,
// the counter counts and can be reset; forked, in one process, and with a loop of the program's own.
// C_EXAMPLES is a folder with the programs.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const net = require('node:net');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { within } = require('../peers/node/command');
const { SOON, launch } = require('./chromium');

const EXAMPLES = process.env.C_EXAMPLES;

let browser;

before(async () => { browser = await launch(); });
after(() => browser?.close());

/** A port that is free just now: the servers have to be told one. */
async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Whether somebody accepts connections there. */
async function isListening(port) {
  const socket = net.connect(port, '127.0.0.1');
  const answered = await Promise.race([once(socket, 'connect'), once(socket, 'error')]).then(() => true, () => false);
  socket.destroy();
  return answered;
}

/** Starts one of the servers; `stop` ends it, and with it the process that it forked. */
async function serve(name, ...args) {
  for (let attempt = 0; ; attempt++) {
    const port = await freePort();
    const child = spawn(path.join(EXAMPLES, name), [`--port=${port}`, '--interface=lo', ...args], { cwd: EXAMPLES, stdio: ['ignore', 'ignore', 'pipe'] });
    const said = [];
    child.stderr.on('data', (data) => said.push(data));
    const exited = once(child, 'exit');
    await eventually(async () => child.exitCode !== null || child.signalCode !== null || isListening(port), `${name} listens`);
    if (child.exitCode === null && child.signalCode === null) {
      return {
        url: `http${args.includes('--ssl') ? 's' : ''}://127.0.0.1:${port}/`,
        async stop() {
          child.kill('SIGTERM');
          await within(exited, `${name} ends`);
          await eventually(async () => !(await isListening(port)), 'nobody listens any more');
        },
      };
    }
    // Somebody may have taken the port meanwhile.
    assert.ok(attempt < 3, `${name} does not start: ${Buffer.concat(said)}`);
  }
}

async function eventually(condition, what) {
  const end = Date.now() + SOON;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `not within ${SOON} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function open(server) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  context.setDefaultTimeout(SOON);
  const page = await context.newPage();
  page.troubles = [];
  page.on('pageerror', (error) => page.troubles.push(error.message));
  page.on('response', (response) => { if (!response.ok()) page.troubles.push(`${response.status()} ${response.url()}`); });
  await page.goto(server.url);
  await page.waitForFunction(() => document.querySelector('#state').dataset.state === 'open');
  return page;
}

async function close(page) {
  assert.deepEqual(page.troubles, []);
  await page.context().close();
}

/** How many of these points of the board have something drawn next to them. */
function drawn(page, points) {
  return page.evaluate((points) => {
    const paper = document.querySelector('#board').getContext('2d');
    return points.filter(([x, y]) => paper.getImageData(x - 3, y - 3, 7, 7).data.some((value) => value !== 0)).length;
  }, points);
}

/** Moves the mouse, pressed, from point to point of the board. */
async function stroke(page, points) {
  const board = page.locator('#board');
  await board.scrollIntoViewIfNeeded();
  const box = await board.boundingBox();
  const scale = box.width / 502; // with the border
  const place = ([x, y]) => [box.x + (x + 1) * scale, box.y + (y + 1) * scale];
  await page.mouse.move(...place(points[0]));
  await page.mouse.down();
  for (const point of points.slice(1)) await page.mouse.move(...place(point), { steps: 8 });
  await page.mouse.up();
}

const LINE = [[100, 75], [250, 175], [400, 75]];
const ON_THE_LINE = [...LINE, [175, 125], [325, 125]];
const OFF_THE_LINE = [[250, 75], [75, 175], [425, 175]];

const count = (page) => page.evaluate(() => Number(document.querySelector('#count').textContent));

for (const [name, ...args] of [
  ['test-server'], ['test-server-nofork'], ['test-server-extpoll'], ['test-server', '--ssl'],
]) {
  describe([name, ...args].join(' '), { skip: !EXAMPLES && 'C_EXAMPLES is not set: `cargo xtask browser` sets it' }, () => {
    let server;
    before(async () => { server = await serve(name, ...args); });
    after(() => server?.stop());

    test('what one tab draws, the other shows', async () => {
      const [one, two] = [await open(server), await open(server)];
      assert.equal(await drawn(two, [...ON_THE_LINE, ...OFF_THE_LINE]), 0, 'the board is empty at first');
      await stroke(one, LINE);
      for (const page of [two, one]) {
        await eventually(async () => (await drawn(page, ON_THE_LINE)) === ON_THE_LINE.length, 'the line is on the board');
        assert.equal(await drawn(page, OFF_THE_LINE), 0, 'and only the line');
      }
      await stroke(two, [[75, 175], [250, 75], [425, 175]]);
      await eventually(async () => (await drawn(one, OFF_THE_LINE)) === OFF_THE_LINE.length, 'and back');
      await close(one);
      await close(two);
    });

    test('each tab counts for itself, and is reset for itself', async () => {
      const one = await open(server);
      await eventually(async () => (await count(one)) >= 40, 'forty steps');
      const two = await open(server);
      await eventually(async () => (await count(two)) >= 5, 'another beginning');
      await one.click('#reset');
      await eventually(async () => (await count(one)) < 30, 'a new beginning');
      const before = await count(two);
      await eventually(async () => (await count(two)) >= before + 5, 'the other goes on');
      await close(one);
      await close(two);
    });
  });
}
