'use strict';
// The demo page over https, and WebSockets over wss, in headless Chromium; with either backend of TLS.

const assert = require('node:assert/strict');
const { execFileSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');
const { after, before, describe, test } = require('node:test');
const { chromium } = require('playwright-core');
const { binary, within } = require('../peers/node/command');

const SOON = 15_000;

let browser, folder;

before(async () => {
  if (!process.env.CHROMIUM) throw new Error('CHROMIUM is not set: `cargo xtask browser` sets it');
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-'));
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost',
    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-out', 'cert.pem', '-keyout', 'key.pem',
  ], { cwd: folder, stdio: 'ignore' });
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
      '--disable-background-networking', '--disable-component-update'],
  });
});

after(async () => {
  await browser?.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

/** Starts the command with a certificate that no browser trusts by itself. */
async function serve(backend) {
  const child = spawn(binary(), [
    'serve', '--listen', '127.0.0.1:0', '--tls-backend', backend,
    '--tls-cert', path.join(folder, 'cert.pem'), '--tls-key', path.join(folder, 'key.pem'),
  ], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = [];
  child.stderr.on('data', (data) => said.push(data));
  const exited = once(child, 'exit');
  const lines = readline.createInterface({ input: child.stdout });
  const announced = once(lines, 'line').then(([line]) => line);
  const line = await within(Promise.race([announced, exited.then(() => undefined)]), 'the server listens');
  if (line === undefined) return { missing: Buffer.concat(said).toString() };
  const address = /^listening on https:\/\/(.*)\/$/.exec(line);
  assert.ok(address, line);
  return {
    host: address[1],
    async stop() {
      child.kill('SIGTERM');
      const [code] = await within(exited, 'the server ends');
      assert.equal(code, 0);
    },
  };
}

for (const backend of ['rustls', 'openssl']) {
  describe(`Chromium with ${backend}`, () => {
    let server;
    before(async () => { server = await serve(backend); });
    after(() => server.stop?.());

    function unless(t) {
      if (!server.missing) return false;
      assert.match(server.missing, /built without/);
      t.skip(`the command is built without ${backend}`);
      return true;
    }

    async function open() {
      const context = await browser.newContext({ ignoreHTTPSErrors: true });
      context.setDefaultTimeout(SOON);
      const page = await context.newPage();
      await page.goto(`https://${server.host}/`);
      return page;
    }

    test('the page opens its connections over wss', async (t) => {
      if (unless(t)) return;
      const page = await open();
      await page.waitForFunction(() => document.querySelector('#state').dataset.state === 'open');
      assert.equal(await page.evaluate(() => location.protocol), 'https:');
      await page.waitForFunction(() => Number(document.querySelector('#count').textContent.replace(/\D/g, '')) > 1);
      await page.context().close();
    });

    test('messages of all sizes come back', async (t) => {
      if (unless(t)) return;
      const page = await open();
      const closed = await page.evaluate((url) => new Promise((resolve, reject) => {
        const socket = new WebSocket(url);
        socket.binaryType = 'arraybuffer';
        const sizes = [0, 1, 125, 126, 16383, 16384, 16385, 65536, 1 << 20];
        socket.onopen = () => sizes.forEach((size) => socket.send(new Uint8Array(size).fill(7)));
        socket.onerror = () => reject(new Error('an error'));
        socket.onmessage = ({ data }) => {
          const bytes = new Uint8Array(data);
          if (bytes.length !== sizes.shift() || bytes.some((byte) => byte !== 7)) reject(new Error('not what was sent'));
          if (sizes.length === 0) socket.close(1000, 'enough');
        };
        socket.onclose = ({ code, wasClean }) => resolve([code, wasClean]);
      }), `wss://${server.host}/echo`);
      assert.deepEqual(closed, [1000, true]);
      await page.context().close();
    });

    test('without trust there is no page', async (t) => {
      if (unless(t)) return;
      const context = await browser.newContext();
      const page = await context.newPage();
      await assert.rejects(page.goto(`https://${server.host}/`), /ERR_CERT/);
      await context.close();
    });
  });
}
