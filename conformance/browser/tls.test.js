'use strict';
// The demo page over https, and WebSockets over wss, in headless Chromium; with either backend of TLS.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { secured, serve } = require('../peers/node/command');
const { SOON, launch } = require('./chromium');

let browser;

before(async () => { browser = await launch(); });
after(() => browser?.close());

for (const backend of ['rustls', 'openssl']) {
  describe(`Chromium with ${backend}`, () => {
    let server;
    before(async () => { server = await serve(...secured(backend)); });
    after(() => server?.stop());

    async function open() {
      // The root of the tests is none of the browser's.
      const context = await browser.newContext({ ignoreHTTPSErrors: true });
      context.setDefaultTimeout(SOON);
      const page = await context.newPage();
      await page.goto(server.http('/'));
      return page;
    }

    test('the page opens its connections over wss', async () => {
      const page = await open();
      const sockets = [];
      page.on('websocket', (socket) => sockets.push(socket.url()));
      await page.reload();
      await page.waitForFunction(() => document.querySelector('#state').dataset.state === 'open');
      assert.equal(await page.evaluate(() => location.protocol), 'https:');
      await page.waitForFunction(() => Number(document.querySelector('#count').textContent.replace(/\D/g, '')) > 1);
      assert.ok(sockets.length > 0 && sockets.every((url) => url.startsWith(`wss://${server.host}/`)), sockets.join());
      await page.context().close();
    });

    test('messages of all sizes come back', async () => {
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
      }), server.ws('/echo'));
      assert.deepEqual(closed, [1000, true]);
      await page.context().close();
    });

    test('without trust there is no page', async () => {
      const context = await browser.newContext();
      const page = await context.newPage();
      await assert.rejects(page.goto(server.http('/')), /ERR_CERT_AUTHORITY_INVALID/);
      await context.close();
    });
  });
}
